"""Runs the command line: in this process for what it prints, in another for what it is as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairlead.cli import main

sys.path.insert(0, str(Path(__file__).parent))

from commands import CLUSTER, WORKLOAD, Program, Run, write


@pytest.fixture
def run() -> Run:
    """Runs arguments; a traceback is a failure of the test."""

    def invoke(*arguments: str | Path, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def program() -> Program:
    """Runs `fairlead` as users do."""

    def start(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", "from fairlead.cli import main; main(prog_name='fairlead')", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)

    return start


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A file with one node's slice: two GPUs."""
    return write(tmp_path / "cluster.yaml", CLUSTER)


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    """A file with a Deployment of two replicas with a GPU each."""
    return write(tmp_path / "workload.yaml", WORKLOAD)
