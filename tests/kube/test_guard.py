"""Whatever ends the starter of a control plane, its programs end and its folder goes. Runs `sleep`, not Kubernetes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kube.api import wait_for

GUARD = Path(__file__).parents[2] / "kube" / "guard.py"
SECONDS = 10
DEAF = "trap '' TERM; exec sleep 60"

STARTER = """
import json, subprocess, sys, time
guard = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         start_new_session=True, bufsize=1)
pids = [guard.pid]
for command in map(json.loads, sys.argv[2:]):
    guard.stdin.write(json.dumps(command) + "\\n")
    pids.append(json.loads(guard.stdout.readline()).get("pid"))
print(json.dumps(pids), flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("victim", ["starter", "guard"])
def test_killing_the_starter_or_the_guard_ends_the_programs(victim: str, tmp_path: Path) -> None:
    folder = tmp_path / "plane"
    folder.mkdir()
    commands = [
        {"do": "remove", "folder": str(folder)},
        {"do": "start", "name": "one", "argv": ["sleep", "60"], "log": str(folder / "one.log")},
        {
            "do": "start",
            "name": "deaf",
            "argv": ["sh", "-c", "trap '' TERM; sleep 60"],
            "log": str(folder / "deaf.log"),
        },
    ]
    arguments = [sys.executable, "-c", STARTER, str(GUARD), *map(json.dumps, commands)]
    starter = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    guard, _, *programs = json.loads(starter.stdout.readline())
    assert all(alive(pid) for pid in programs)
    os.kill(starter.pid if victim == "starter" else guard, signal.SIGKILL)
    wait_for(lambda: not any(alive(pid) for pid in (guard, *programs)), SECONDS, "the programs to end")
    # Nobody is left to remove the folder when the guard itself is killed.
    assert folder.exists() == (victim == "guard")
    starter.kill()
    starter.wait()


def test_a_program_that_cannot_start_is_an_answer(tmp_path: Path) -> None:
    command = {"do": "start", "name": "x", "argv": [str(tmp_path / "none")], "log": str(tmp_path / "log")}
    done = subprocess.run(
        [sys.executable, str(GUARD)], input=json.dumps(command), capture_output=True, text=True, check=True
    )
    assert "No such file" in json.loads(done.stdout)["error"]
