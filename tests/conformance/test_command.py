"""`fairlead conformance` as people type it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from fairlead.cli import main
from fairlead.conformance import catalogue

RAW = str(Path(__file__).parent / "raw_driver.py")
FOLDERS = ("{plugins}", "{registry}", "{cdi}", "{node}")
COMMAND = [sys.executable, "-c", "from fairlead.cli import main; main()", "conformance"]


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for sockets."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as folder:
        yield Path(folder)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["conformance", *arguments])


def test_the_list_says_of_each_check_what_it_expects_and_why() -> None:
    plain = call("--list")
    assert plain.exit_code == 0
    listed = json.loads(call("--list", "-o", "json").stdout)
    assert [one["id"] for one in listed] == [one.id for one in catalogue()]
    for one in listed:
        assert one["id"] in plain.stdout
        assert all(one[key].endswith(".") for key in ("expected", "why")), one["id"]
        assert one["source"]
    chosen = json.loads(call("--list", "-o", "json", "--check", "cdi", "--skip", "*-version").stdout)
    assert {one["group"] for one in chosen} == {"cdi"}
    assert "cdi-version" not in [one["id"] for one in chosen]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give the driver's command after --"),
        (["--", "/no/such/program"], "/no/such/program: no such program"),
        (["--beside", "/no/such", "--", "true"], "--beside '/no/such': no such program"),
        (["--check", "nothing", "--", "true"], "nothing: is no check"),
        (["--check", "cdi", "--skip", "cdi", "--", "true"], "no check is left"),
        (["/tmp"], "/tmp: for a driver that runs already give --kubeconfig-out"),
        (["--kubeconfig-out", "/tmp/k", "/no/folder"], "with --kubeconfig-out give one folder"),
        (["--config", RAW, "--", "true"], "raw_driver.py: "),
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str], says: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_driver_that_ends_at_once_fails(short: Path) -> None:
    result = call("--patience", "5", "--dir", str(short), "--", "sh", "-c", "echo no hardware here; exit 3")
    assert result.exit_code == 1
    assert "FAIL  registration-info" in result.stdout
    assert "the driver ended with status 3: no hardware here" in result.stdout
    assert "no driver: 0 passed, 1 failed" in result.stdout
    some = call("--patience", "5", "--dir", str(short), "--check", "cdi", "--", "false")
    assert some.exit_code == 1
    assert "no driver: 0 passed, 1 failed, 4 skipped" in some.stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_the_report_for_programs(short: Path, output: str) -> None:
    arguments = ["--check", "prepare-alternative", "--check", "registration", "--dir", str(short), "-o", output]
    result = call(*arguments, "--", sys.executable, RAW, "alternative-kept", *FOLDERS)
    assert result.exit_code == 1
    report = json.loads(result.stdout) if output == "json" else yaml.safe_load(result.stdout)
    assert (report["driver"], report["devices"]) == ("raw.example.com", 4)
    assert (report["passed"], report["failed"], report["skipped"]) == (4, 1, 0)
    failed = report["checks"][-1]
    assert (failed["id"], failed["verdict"]) == ("prepare-alternative", "fail")
    assert failed["seen"] == "requests named in the answer: main/first"


def test_a_driver_that_passes_ends_with_0(short: Path) -> None:
    result = call("--check", "cdi", "--dir", str(short), "--", sys.executable, RAW, "none", *FOLDERS)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "cdi")
    assert "driver raw.example.com, 4 devices: 5 passed, 0 failed, 0 skipped" in result.stdout


def test_a_driver_that_runs_already_is_tried_without_restarts(short: Path) -> None:
    kubeconfig, registry, cdi = short / "kubeconfig", short / "registry", short / "cdi"
    for folder in (registry, cdi):
        folder.mkdir()
    arguments = [str(registry), "--kubeconfig-out", str(kubeconfig), "--cdi-dir", str(cdi), "-o", "json"]
    more = ["--dir", str(short / "kit"), "--check", "cdi", "--check", "restart"]
    with subprocess.Popen([*COMMAND, *arguments, *more], stdout=subprocess.PIPE) as kit:
        until = time.monotonic() + 60
        while not kubeconfig.exists() and time.monotonic() < until:
            time.sleep(0.05)
        command = [sys.executable, RAW, "none", str(short / "plugins"), str(registry), str(cdi), "node-1"]
        with subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}) as driver:
            output, _ = kit.communicate(timeout=120)
            driver.terminate()
    report = json.loads(output)
    assert (kit.returncode, report["passed"], report["failed"]) == (0, 5, 0)
    skipped = [one["seen"] for one in report["checks"] if one["verdict"] == "skip"]
    assert len(skipped) == 4
    assert all("the kit did not start the driver" in one for one in skipped)


def test_told_to_end_it_ends_the_driver(short: Path) -> None:
    command = [*COMMAND, "--dir", str(short), "--", sys.executable, RAW, "none", *FOLDERS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as kit:
        socket = short / "plugins_registry" / "raw.example.com-reg.sock"
        until = time.monotonic() + 60
        while not socket.exists() and time.monotonic() < until:
            time.sleep(0.05)
        kit.send_signal(signal.SIGTERM)
        assert kit.wait(30) == 128 + signal.SIGTERM
    assert not socket.exists()
