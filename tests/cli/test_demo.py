"""`fairlead demo`, and the commands as a whole."""

from __future__ import annotations

import json
import time

import pytest
from commands import Program, Run

from fairlead.cli.demo import FILES


def test_the_demonstration_reads_well(program: Program) -> None:
    start = time.monotonic()
    result = program("demo")
    assert time.monotonic() - start < 60
    assert (result.returncode, result.stderr) == (0, b"")
    text = result.stdout.decode()
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "6 of 7 pods placed" in text
    assert "held by claims ml/train-0-devices" in " ".join(text.split())


def test_its_files_say_what_it_tells(run: Run) -> None:
    result = run("plan", "-f", FILES, "-o", "json")
    assert result.exit_code == 1
    pods = {pod["pod"]: pod for pod in json.loads(result.stdout)}
    assert [pods[f"train-{i}"]["node"] for i in range(4)] == ["falcon-1", "falcon-1", "falcon-2", "falcon-2"]
    chats = [pods[f"chat-{i}"] for i in range(2)]
    assert [chat["node"] for chat in chats] == ["falcon-1", "swift-1"]
    assert len({chat["claims"][0]["name"] for chat in chats}) == 1
    assert pods["evaluate-0"]["node"] is None


def test_its_files_are_valid(run: Run) -> None:
    assert run("validate", "-f", FILES).exit_code == 0


@pytest.mark.parametrize("command", [[], ["plan"], ["validate"], ["demo"], ["allocate"]])
def test_every_command_has_help_with_an_example(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout


def test_the_version(run: Run) -> None:
    assert run("--version").stdout == "fairlead, version 0.1.0\n"


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    assert run("plane").exit_code == 2
