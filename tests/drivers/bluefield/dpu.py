"""The side of an e-switch in a network namespace of its own: real bridges, real interfaces as representors.

In DPU mode that is the DPU, with the agent as a process; in NIC mode a host, whose driver a test starts in it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.drivers.bluefield import tools

MISSING = next((one for one in ("/usr/sbin/ip", "/usr/sbin/bridge", "/usr/bin/unshare") if not Path(one).exists()), "")
AGENT = "from fairlead.cli import main; main()"


class Dpu:
    """One side; `start` starts the agent of a DPU, which may be killed and started again."""

    def __init__(self, folder: Path, host: Path, holder: int, side: str = "dpu") -> None:
        self.folder = folder
        self.socket = folder / "agent.sock"
        self.enter = ("nsenter", "-t", str(holder), "-n")
        """Runs a command in the namespace."""
        self.programs = tools.install(folder, host, side)
        self._process: subprocess.Popen[bytes] | None = None
        for bridge in ("br-tenant", "br-other"):
            self.ip("link", "add", bridge, "type", "bridge")
        for pf in range(2):
            for name in (f"pf{pf}hpf", *(f"pf{pf}vf{vf}" for vf in range(tools.VFS))):
                self.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-host")

    def ip(self, *arguments: str) -> Any:
        """The real ip, in the DPU's namespace."""
        command = [*self.enter, "/usr/sbin/ip", "-j", *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def members(self) -> dict[str, str]:
        """Interfaces that are ports of a bridge, as the kernel says."""
        return {one["ifname"]: one["master"] for one in self.ip("link", "show") if "master" in one}

    def state(self) -> dict[str, Any]:
        """What devlink has."""
        found: dict[str, Any] = json.loads((self.folder / "devlink.json").read_text())
        return found

    def sfs(self) -> list[str]:
        """The sub-functions that there are, as devlink and as the kernel say."""
        ports = [one["netdev"] for one in self.state()["ports"].values() if one["flavour"] == "pcisf"]
        links = [one["ifname"] for one in self.ip("link", "show") if "sf" in one["ifname"]]
        assert sorted(ports) == sorted(links)
        return sorted(ports)

    def claims(self) -> dict[str, str]:
        """What the agent holds: claims and their states."""
        path = self.folder / "state.json"
        return (
            {uid: one["state"] for uid, one in json.loads(path.read_text())["claims"].items()} if path.exists() else {}
        )

    def clean(self) -> bool:
        """Whether nothing of any claim is left."""
        return not (self.members() or self.sfs() or self.claims() or set(self.state()["rates"].values()) - {"0mbit"})

    def changes(self) -> list[str]:
        """The commands that changed something."""
        path = self.folder / "changes"
        return path.read_text().splitlines() if path.exists() else []

    def faults(self, **faults: Any) -> None:
        """What happens from now on; changes are counted anew."""
        (self.folder / "changes").unlink(missing_ok=True)
        (self.folder / "faults.json").write_text(json.dumps(faults))

    def start(self, *options: str, listen: str = "", wait: bool = True) -> None:
        """Starts the agent, and waits until it answers."""
        listen = listen or f"unix:{self.socket}"
        command = [*self.enter, sys.executable, "-c", AGENT, "dpu-agent"]
        before = self.log().count('"listening"') if (self.folder / "log").exists() else 0
        with open(self.folder / "log", "a") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", listen, "--state", str(self.folder / "state.json"), *options],
                env=os.environ
                | {"PATH": f"{self.programs}:{os.environ['PATH']}", "FAIRLEAD_TEST_DPU": str(self.folder)},
                stderr=log,
            )
        until = time.monotonic() + 30
        while wait and self.log().count('"listening"') == before:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        """What the agents wrote."""
        return (self.folder / "log").read_text()

    def ended(self, seconds: float = 30) -> int:
        """Waits until the agent has ended; its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Ends the agent; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(by)
        return self.ended()


@contextmanager
def dpu(folder: Path, host: Path, side: str = "dpu") -> Iterator[Dpu]:
    """A side, `dpu` or `nic` as in `tools`, whose namespace and processes go afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = subprocess.Popen(["unshare", "-n", "sleep", "3600"])
    own = os.readlink("/proc/self/ns/net")
    made: Dpu | None = None
    try:
        until = time.monotonic() + 10
        while os.readlink(f"/proc/{holder.pid}/ns/net") == own and time.monotonic() < until:
            time.sleep(0.01)
        made = Dpu(folder, host, holder.pid, side)
        yield made
    finally:
        if made is not None:
            made.stop(signal.SIGKILL)
        holder.kill()
        holder.wait()


def certificates(folder: Path, names: Sequence[str]) -> None:
    """An authority `ca.crt`, and for each name a certificate NAME.crt with NAME.key for 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "2")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in names:
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        sign = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *sign)
