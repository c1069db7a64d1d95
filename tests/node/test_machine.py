"""The machine of a node: what is different in there, what stays over a power cut, and that nothing else stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import kube
from kube import why_not
from kube.api import wait_for
from kube.machine import hierarchies, remove_cgroups

pytestmark = pytest.mark.node


class Machine:
    """One start of a machine, without anything on it."""

    def __init__(self, folder: Path, boot_id: str = "a-boot") -> None:
        self.cgroup = f"fairlead-node-test-{os.getpid()}"
        plan = {"folder": str(folder), "boot_id": boot_id, "cgroup": self.cgroup}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(Path(kube.__file__).parent / "machine.py"), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.first: int = self.read()["pid"]
        self.ask(do="poll")

    def read(self) -> dict[str, int]:
        assert self.process.stdout is not None
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        assert "error" not in answer
        return answer

    def ask(self, **command: object) -> dict[str, int]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        return self.read()

    def sh(self, script: str) -> str:
        """What a shell on the machine prints."""
        inside = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--", "sh", "-c", script]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not Path(f"/proc/{self.first}").exists(), 10, "the first process to end")
        remove_cgroups(self.cgroup)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if reason := why_not():
        pytest.skip(reason)
    return tmp_path


@pytest.fixture
def machine(folder: Path) -> Iterator[Machine]:
    made = Machine(folder)
    yield made
    made.end()


def test_what_is_different_on_it(machine: Machine, folder: Path) -> None:
    assert machine.sh("cat /proc/sys/kernel/random/boot_id") == "a-boot\n"
    assert machine.sh("ls /run") == "lock\n"
    settings = Path("/proc/sys/vm/overcommit_memory").read_text()
    assert machine.sh("echo 2 > /proc/sys/vm/overcommit_memory; cat /proc/sys/vm/overcommit_memory") == "2\n"
    assert Path("/proc/sys/vm/overcommit_memory").read_text() == settings
    machine.sh("mkdir /var/lib/of-the-node")
    assert not Path("/var/lib/of-the-node").exists()
    assert (folder / "var/lib/of-the-node").is_dir()


def test_a_power_cut(machine: Machine, folder: Path) -> None:
    machine.sh("touch /run/before /var/lib/before")
    os.kill(machine.first, signal.SIGKILL)
    machine.process.wait()
    again = Machine(folder, "another-boot")
    try:
        assert again.sh("cat /proc/sys/kernel/random/boot_id; ls /run; ls /var/lib/before") == (
            "another-boot\nlock\n/var/lib/before\n"
        )
    finally:
        again.end()


@pytest.mark.parametrize("how", ["told to", "killed"])
def test_nothing_stays(machine: Machine, folder: Path, how: str) -> None:
    (folder / "remove").touch()
    machine.ask(do="start", name="sleep", argv=["sleep", "1000"], log=str(folder / "log"))
    cgroup = hierarchies()[0] / machine.cgroup / "cgroup.procs"
    machine.sh(f"setsid sleep 1000 >/dev/null 2>&1 & echo $! > {cgroup}")
    inside = machine.sh("ps -o comm= ax").split()
    assert inside.count("sleep") == 2
    if how == "killed":
        machine.process.kill()
        wait_for(lambda: not Path(f"/proc/{machine.first}").exists(), 10, "the first process to end")
        return  # the folder and empty cgroups stay: nobody is left to remove them
    assert machine.process.stdin is not None
    machine.process.stdin.close()
    machine.process.wait(20)
    assert not Path(f"/proc/{machine.first}").exists()
    assert not folder.exists()
    assert [root for root in hierarchies() if (root / machine.cgroup).exists()] == []
