"""`fairlead simulate`: a tiny trace end to end, and what is wrong with input in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands import Program, Run, write

NODES = "sn,cpu_milli,memory_mib,gpu,model\nn-0,8000,8192,2,T4\nn-1,8000,8192,2,V100\n"
PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
a,1000,1024,1,500,
b,1000,1024,1,500,
c,1000,1024,1,1000,V100
d,1000,1024,2,1000,T4
"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The options that name both files."""
    nodes, pods = write(tmp_path / "nodes.csv", NODES), write(tmp_path / "pods.csv", PODS)
    return ["--nodes", str(nodes), "--trace", str(pods)]


def test_json_has_the_figures_of_every_policy_and_seed(run: Run, files: list[str]) -> None:
    options = ["--policy", "pack", "--policy", "best-fit", "--seeds", "1-2,5", "-o", "json", "--jobs", "1"]
    result = run("simulate", *files, *options)
    assert result.exit_code == 0
    assert result.stderr == ""
    record = json.loads(result.stdout)
    assert (record["nodes"], record["devices"], record["pods"], record["inflate"]) == (2, 4, 4, 0.0)
    assert list(record["policies"]) == ["pack", "best-fit"]
    # Whatever the order: the halves fit together, the pair fits on the T4s.
    assert record["policies"]["pack"] == {
        "allocated_percent": {"mean": 100.0, "stdev": 0.0, "seeds": {"1": 100.0, "2": 100.0, "5": 100.0}},
        "fragmentation_percent": {"mean": 0.0, "stdev": 0.0, "seeds": {"1": 0.0, "2": 0.0, "5": 0.0}},
        "pods_arrived": {"seeds": {"1": 4, "2": 4, "5": 4}},
        "pods_placed": {"seeds": {"1": 4, "2": 4, "5": 4}},
    }
    again = run("simulate", *files, *options[:-4], "-o", "yaml", "--jobs", "2")
    assert yaml.safe_load(again.stdout) == record


def test_the_table_has_a_line_for_each_policy_the_fullest_first(run: Run, files: list[str]) -> None:
    result = run("simulate", *files, "--policy", "first-fit", "--policy", "pack", "--seeds", "3", "--jobs", "1")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0] == "2 nodes with 4 GPUs; the 4 pods of the trace; 1 seed."
    assert lines[2].split()[:3] == ["POLICY", "ALLOCATED", "%"]
    assert sorted(line.split()[0] for line in lines[3:]) == ["first-fit", "pack"]
    shares = [float(line.split()[1]) for line in lines[3:]]
    assert shares == sorted(shares, reverse=True)


def test_as_a_program_it_runs_in_processes(program: Program, files: list[str]) -> None:
    result = program("simulate", *files, "--seeds", "1-4", "--jobs", "2", "-o", "json")
    assert (result.returncode, result.stderr) == (0, b"")
    assert list(json.loads(result.stdout)["policies"]["pack"]["allocated_percent"]["seeds"]) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "x"], "'x': must be a number, or two with a dash between, for example 42-51"),
        (["--seeds", "1,"], "'': must be a number"),
        (["--seeds", "5-1"], "'5-1': the second number must not be less than the first"),
        (["--seeds", "0-999999999"], "'0-999999999': more than 10000 seeds"),
        (["--inflate", "nan"], "nan is not a number"),
        (["--inflate", "-1"], "-1"),
        (["--policy", "worst-fit"], "'worst-fit' is not one of"),
        (["--jobs", "0"], "0 is not in the range"),
    ],
)
def test_bad_options_are_refused(run: Run, files: list[str], options: list[str], message: str) -> None:
    result = run("simulate", *files, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_both_files_are_needed(run: Run, files: list[str]) -> None:
    result = run("simulate", *files[:2])
    assert result.exit_code == 2
    assert "Missing option '--trace'." in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PODS.replace("2,1000,T4", "two,1000,T4").encode(), "line 5, column num_gpu: 'two' is not a whole number"),
        (PODS.partition("\n")[0].encode(), "there is no pod in it"),
        (b"", "line 1, column name: the file is empty"),
        (b"name\xff", "not UTF-8 text (byte 4)"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(run: Run, files: list[str], content: bytes, message: str) -> None:
    Path(files[3]).write_bytes(content)
    result = run("simulate", *files)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert f"Error: {files[3]}" in result.stderr
    assert message in result.stderr


def test_a_file_that_is_not_there_is_an_error_of_the_system(run: Run, files: list[str]) -> None:
    result = run("simulate", "--nodes", files[1], "--trace", files[3] + "x")
    assert result.exit_code == 2
    assert result.stderr == f"Error: {files[3]}x: No such file or directory\n"
