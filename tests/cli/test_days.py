"""`fairlead simulate --cluster`: days of jobs on a synthetic cluster, and what cannot be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Program, Run, write

DAY = ["simulate", "--cluster", "h100:nodes=4", "--hours", "6", "--jobs", "1"]
TRACE = "name,arrival_s,duration_s,kind,pods,gpus,nics\na,0,3600,training,2,8,8\nb,10,60,small,1,2,2\n"


def test_policies_stand_side_by_side(run: Run) -> None:
    result = run(*DAY, "--policy", "first-fit", "--policy", "pack", "--devices", "first-fit", "--devices", "compact")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("4 nodes with 32 GPUs; ")
    names = [line.split("  ")[0] for line in lines[3:7]]
    assert names == ["first-fit / first-fit", "first-fit / compact", "pack / first-fit", "pack / compact"]


def test_the_same_seeds_give_the_same_json_in_one_process_or_two(run: Run) -> None:
    options = ["--seeds", "1-2", "--devices", "compact", "-o", "json"]
    one = run(*DAY, *options)
    assert json.loads(one.stdout)["setups"][0]["devices"] == "compact"
    assert run(*DAY[:-1], "2", *options).stdout == one.stdout


def test_jobs_of_a_trace(run: Run, tmp_path: Path) -> None:
    trace = write(tmp_path / "jobs.csv", TRACE)
    record = json.loads(run(*DAY, "--trace", trace, "-o", "json").stdout)
    assert record["trace"] == str(trace)
    (setup,) = record["setups"]
    assert (setup["jobs"], setup["never_started"], setup["wait_minutes"]["mean"]) == (2, 0, 0.0)
    # 16 GPUs for one hour of six and 2 for a minute, of 32.
    assert setup["allocated"] == pytest.approx(16 / 32 / 6, rel=0.03)


def test_a_report_is_written_whole(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "day.html"
    assert run(*DAY, "--report", page).exit_code == 0
    assert page.read_text().startswith("<!doctype html>")
    assert page.read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--nodes", "x.csv"], "--nodes cannot be used with --cluster"),
        (["--inflate", "1.3"], "--inflate cannot be used with --cluster"),
        (["--hours", "0"], "0.1<=x<=744"),
        (["--hours", "nan"], "nan is not a number"),
        (["--load", "0"], "0.01<=x<=10"),
        (["--devices", "best"], "'best' is not one of"),
        (["--policy", "best"], "'best' is not one of"),
        (["--trace", "TRACE", "--load", "1"], "--load cannot be used with --trace"),
        (["--trace", "TRACE", "--warm-up", "1"], "--warm-up cannot be used with --trace"),
        (["--trace", "none.csv"], "No such file"),
        (["--report", "no/such/place.html"], "No such file"),
    ],
)
def test_what_cannot_be_asked_for(run: Run, tmp_path: Path, options: list[str], words: str) -> None:
    trace = write(tmp_path / "jobs.csv", TRACE)
    result = run(*DAY, *[str(trace) if option == "TRACE" else option for option in options])
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_report_that_cannot_be_written_is_refused_before_the_run(run: Run, tmp_path: Path) -> None:
    result = run("simulate", "--cluster", "h100:nodes=4000", "--report", tmp_path / "no" / "day.html")
    assert result.exit_code == 2
    assert "No such file or directory" in result.stderr


@pytest.mark.parametrize("option", ["--hours", "--load", "--warm-up", "--devices", "--report"])
def test_days_need_a_cluster(run: Run, option: str) -> None:
    result = run("simulate", option, {"--devices": "compact"}.get(option, "1"))
    assert result.exit_code == 2
    assert f"{option} cannot be used without --cluster" in result.stderr


def test_a_cluster_without_gpus(run: Run) -> None:
    result = run("simulate", "--cluster", "power")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the cluster has no whole GPUs" in result.stderr


def test_a_bad_trace_and_a_bad_spec_are_named(run: Run, tmp_path: Path) -> None:
    trace = write(tmp_path / "jobs.csv", TRACE.replace("small", "tiny"))
    assert (
        f'{trace}: line 3: kind: "tiny" must be one of training, small, inference' in run(*DAY, "--trace", trace).stderr
    )
    assert "parts[0].nodes" in run("simulate", "--cluster", "h100:nodes=0").stderr


def test_as_a_program_in_processes(program: Program) -> None:
    result = program(*DAY[:-1], "2", "--seeds", "1-2", "--devices", "first-fit", "--devices", "compact")
    assert result.returncode == 0
    assert result.stdout.startswith(b"4 nodes with 32 GPUs")
