"""Real interfaces and network namespaces of this machine's kernel, for tests that run as root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from fairlead.drivers.network.hook import pins


def _reason() -> str:
    if os.geteuid() != 0:
        return "needs root: makes network namespaces and interfaces"
    tried = f"fl{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "link", "add", tried, "type", "veth"], capture_output=True, text=True)
    if made.returncode:
        return f"this kernel makes no veth: {made.stderr.strip()}"
    subprocess.run(["ip", "link", "del", tried], check=False)
    return ""


def needs_kernel():
    """A mark for tests that need real interfaces."""
    try:
        reason = _reason()
    except FileNotFoundError:
        reason = "needs the program ip (iproute2)"
    return pytest.mark.skipif(bool(reason), reason=reason)


def shell(command: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Pod:
    """A network namespace with a process in it, which stands for a container; it may have a name, as runtimes give."""

    def __init__(self, folder: Path, named: bool = False) -> None:
        self.name = f"fl-{uuid.uuid4().hex[:8]}" if named else ""
        if named:
            shell(f"ip netns add {self.name}")
        enter = ["ip", "netns", "exec", self.name] if named else ["unshare", "-n"]
        self.process = subprocess.Popen([*enter, "sleep", "300"])
        ours = os.readlink("/proc/self/ns/net")
        until = time.monotonic() + 20
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == ours:
            assert time.monotonic() < until, "no namespace was made"
            time.sleep(0.01)
        self.place = f"/proc/{self.process.pid}/ns/net"
        self.bundle = folder / f"bundle-{self.process.pid}"
        self.bundle.mkdir()
        space = {"type": "network"} | ({"path": f"/var/run/netns/{self.name}"} if named else {})
        (self.bundle / "config.json").write_text(json.dumps({"linux": {"namespaces": [{"type": "pid"}, space]}}))

    @property
    def state(self) -> str:
        """What a runtime writes to a hook's stdin."""
        return json.dumps(
            {"ociVersion": "1.2.0", "id": "c", "status": "created", "pid": self.process.pid, "bundle": str(self.bundle)}
        )

    def run(self, command: str) -> str:
        """A command in the namespace."""
        return shell(f"nsenter -n -t {self.process.pid} {command}")

    def links(self) -> dict[str, dict]:
        """The interfaces in it."""
        return {one["ifname"]: one for one in json.loads(self.run("ip -json -d addr"))}

    def stop(self) -> None:
        """The container ends; a namespace with a name lives on."""
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        """The namespace ends, too."""
        self.stop()
        if self.name:
            subprocess.run(["ip", "netns", "del", self.name], check=False)
            self.name = ""


def let_go(card: str) -> None:
    """Ends the namespaces that are kept for an interface."""
    for place in pins.FOLDER.glob(f"dra-*-{card}*"):
        pins.unpin(place.name)


def links() -> dict[str, dict]:
    """The interfaces of the node."""
    return {one["ifname"]: one for one in json.loads(shell("ip -json -d addr"))}


def call_hook(program: Path, order: Path, state: str) -> subprocess.CompletedProcess[str]:
    """The hook as a runtime calls it: another process, without any library, with nothing in its environment."""
    command = [sys.executable, "-I", "-S", str(program), str(order)]
    return subprocess.run(command, input=state, capture_output=True, text=True, env={})
