"""A real node: kubelet and containerd on a machine of their own, joined to a control plane.

    with ControlPlane() as plane, RealNode(plane) as node:
        plane.api.create({"kind": "Pod", ... "hostNetwork": True, "image": IMAGE})
        node.power_off()
        node.start()

Everything is in a temporary folder and in namespaces of its own (`machine`): what drivers and kubelet find at
/var/lib/kubelet and /run is not this machine's. Programs of the same machine, such as drivers, are started with `run`.
Pods share this machine's network (`hostNetwork: true`), for there is no CNI plugin, and their images are the one that
is here: `IMAGE`, with `imagePullPolicy: Never`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

from kube.api import ApiError, wait_for
from kube.binaries import GUEST, NODE, find_programs
from kube.gates import dra_gates
from kube.images import write_image
from kube.node_config import IMAGE, SOCKET, containerd_config, find_runc, kubeconfig, kubelet_config
from kube.plane import ControlPlane, free_ports

START_SECONDS = 60.0


class NodeError(Exception):
    """The node does not come up, or this machine can have none; the message says why."""


class RealNode:
    """One running node; see the module.

    Attributes:
        name: the node's name: `localhost`, for kubelet takes no other on a machine that it can reach by loopback only.
        folder: where everything is; `logs/` has one file a program.
        boot_id: of the machine that runs now; another one after each start.
        root: the machine's file system as it is seen from outside.
    """

    name = "localhost"

    def __init__(self, plane: ControlPlane, gates: Mapping[str, bool] | None = None, keep: bool = False) -> None:
        """Starts nothing yet.

        Args:
            plane: the control plane that it joins.
            gates: kubelet's feature gates; None turns on every gate of DRA, {} leaves Kubernetes' defaults.
            keep: whether the folder with the logs stays.
        """
        self._plane = plane
        self._gates = gates
        self._keep = keep
        self._machine: subprocess.Popen[str] | None = None
        self._first = 0

    def __enter__(self) -> RealNode:
        try:
            self.create()
            self.start()
        except BaseException:
            self.stop(keep=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def create(self) -> None:
        """Writes the folder.

        Raises:
            NodeError: this machine can have no node.
            MissingProgramError: a program is not on this machine.
        """
        if reason := why_not():
            raise NodeError(reason)
        self._programs = find_programs(NODE)
        self.folder = Path(tempfile.mkdtemp(prefix="fairlead-node-"))
        for name in ("logs", "etc"):
            (self.folder / name).mkdir()
        self._port, self._probe = free_ports(2)
        self._configure()
        write_image(self.folder / "image.tar", IMAGE, self._programs[GUEST], ["pause"])

    def start(self) -> None:
        """Switches the machine on: containerd, then kubelet, until the node is ready.

        Raises:
            NodeError: it does not come up; the folder stays.
        """
        self.boot_id = str(uuid.uuid4())
        plan = {"folder": str(self.folder), "boot_id": self.boot_id, "cgroup": self.folder.name}
        (self.folder / "remove").touch()
        self._machine = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).parent / "machine.py"), json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._first = self._read()["pid"]
        self._ask(do="poll")
        self.root = Path(f"/proc/{self._first}/root")
        self.run_containerd()
        imported = self._ctr("images", "import", str(self.folder / "image.tar"))
        if imported.returncode != 0:
            raise NodeError(f"ctr images import failed: {imported.stderr.strip()}")
        self.run_kubelet()

    def run_containerd(self) -> None:
        """Starts containerd, and waits until it answers."""
        config = self.folder / "etc" / "containerd.toml"
        self.run("containerd", [str(self._programs["containerd"]), "--config", str(config)])
        self._wait("containerd", lambda: (self.root / SOCKET[1:]).exists() and self._ctr("version").returncode == 0)

    def run_kubelet(self) -> None:
        """Starts kubelet, and waits until it has said that the node is ready."""
        argv = [
            str(self._programs["kubelet"]),
            f"--config={self.folder / 'etc/kubelet.yaml'}",
            f"--kubeconfig={self.folder / 'etc/kubelet.kubeconfig'}",
            f"--hostname-override={self.name}",
            "-v=3",
        ]
        self.run("kubelet", argv)
        self._wait("kubelet", self._is_ready)

    def power_off(self) -> None:
        """Ends everything on the machine at once, as a power cut does; the folder stays for the next start."""
        (self.folder / "remove").unlink(missing_ok=True)
        if self._machine is not None:
            if self._first:
                os.kill(self._first, signal.SIGKILL)
            self._end()

    def stop(self, keep: bool | None = None) -> None:
        """Ends everything, and removes the folder unless `keep`, or else the node's own option, say that it stays."""
        if not hasattr(self, "folder"):
            return
        if keep if keep is not None else self._keep:
            (self.folder / "remove").unlink(missing_ok=True)
        removed = (self.folder / "remove").exists()
        if self._machine is not None:
            self._end()
        if removed:
            shutil.rmtree(self.folder, ignore_errors=True)  # where it was never switched on

    def run(self, name: str, argv: Sequence[str]) -> None:
        """Starts a program on the machine; its log is added to `log(name)`."""
        self._ask(do="start", name=name, argv=[*argv], log=str(self.log(name)))

    def halt(self, name: str) -> int | None:
        """Tells a program to end, and waits for it: its exit status, below 0 for a signal; None where none runs."""
        code: int | None = self._ask(do="stop", name=name)["code"]
        return code

    def signal(self, name: str, number: int) -> None:
        """Sends a signal to a program, and does not wait for what it does."""
        self._ask(do="signal", name=name, number=int(number))

    def runs(self, name: str) -> bool:
        """Whether a program was started and has not ended."""
        codes = self._ask(do="poll")["codes"]
        return name in codes and codes[name] is None

    def log(self, name: str) -> Path:
        """The file with what a program says."""
        return self.folder / "logs" / f"{name}.log"

    def do(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Runs a program on the machine and waits for its end."""
        return subprocess.run([*self.inside(), *argv], capture_output=True, text=True, check=False, timeout=60)

    def inside(self) -> list[str]:
        """What a command line begins with to run on the machine, with this machine's files elsewhere."""
        return ["nsenter", f"--target={self._first}", "--mount", "--pid", "--"]

    def execute(self, container: str, *argv: str) -> str:
        """Runs a program in a container and returns what it prints.

        Args:
            container: its ID as the pod's status has it, `containerd://...`.
            argv: the program and its arguments.

        Raises:
            NodeError: there is no such container, or the program failed.
        """
        name = container.removeprefix("containerd://")
        done = self._ctr("task", "exec", "--exec-id", uuid.uuid4().hex[:12], name, *argv)
        if done.returncode != 0:
            raise NodeError(f"{' '.join(argv)} in {name} failed: {done.stderr.strip()}")
        return done.stdout

    def kill(self, container: str) -> None:
        """Kills a container behind kubelet's back.

        Raises:
            NodeError: there is no such container.
        """
        done = self._ctr("task", "kill", "--signal", "SIGKILL", container.removeprefix("containerd://"))
        if done.returncode != 0:
            raise NodeError(f"cannot kill {container}: {done.stderr.strip()}")

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.do(str(self._programs["ctr"]), "--address", SOCKET, "--namespace", "k8s.io", *arguments)

    def _configure(self) -> None:
        etc = self.folder / "etc"
        (etc / "containerd.toml").write_text(containerd_config(self.folder, find_runc()))
        (etc / "cni").mkdir()
        network = {"cniVersion": "1.0.0", "name": "none", "plugins": [{"type": "loopback"}]}
        (etc / "cni" / "10-none.conflist").write_text(json.dumps(network))
        gates = dra_gates(self._programs["kubelet"]) if self._gates is None else dict(self._gates)
        settings = kubelet_config(self.folder, self._plane.authority.certificate, self._port, self._probe, gates)
        (etc / "kubelet.yaml").write_text(json.dumps(settings, indent=1))
        certificate, key = self._plane.authority.issue(f"system:node:{self.name}", organizations=["system:nodes"])
        access = kubeconfig(self._plane.api.server, self._plane.authority.certificate, certificate, key)
        (etc / "kubelet.kubeconfig").write_text(json.dumps(access, indent=1))

    def _is_ready(self) -> bool:
        """Whether kubelet is well, and has said in this boot that the node is."""
        try:
            with urlopen(f"http://127.0.0.1:{self._probe}/healthz", timeout=5):
                pass
        except OSError:
            return False
        try:
            node = self._plane.api.get(f"/api/v1/nodes/{self.name}")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        if node["status"].get("nodeInfo", {}).get("bootID") != self.boot_id:
            return False
        return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        def ready_or_ended() -> bool:
            if not self.runs(name):
                raise NodeError(f"{name} ended:\n{self._last_lines(name)}")
            return ready()

        try:
            wait_for(ready_or_ended, START_SECONDS, f"{name} to be ready")
        except TimeoutError as error:
            raise NodeError(f"{error}:\n{self._last_lines(name)}") from None

    def _last_lines(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-8:]
        return "".join(f"  {line[:400]}\n" for line in lines) + f"All logs are in {self.folder / 'logs'}"

    def _end(self) -> None:
        machine, self._machine, self._first = self._machine, None, 0
        assert machine is not None
        assert machine.stdin is not None
        assert machine.stdout is not None
        machine.stdin.close()
        machine.wait()
        machine.stdout.close()

    def _ask(self, **command: object) -> dict[str, Any]:
        if self._machine is None:
            raise NodeError("the node is switched off")
        assert self._machine.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._machine.stdin.write(json.dumps(command) + "\n")
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._machine is not None
        assert self._machine.stdout is not None
        line = self._machine.stdout.readline()
        answer: dict[str, Any] = json.loads(line or '{"error": "the machine of the node has ended"}')
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer


def why_not() -> str:
    """Why this machine can have no node; empty where it can."""
    if sys.platform != "linux":
        return "a node needs Linux"
    if os.geteuid() != 0:
        return "a node needs root, for mounts, namespaces and cgroups"
    if shutil.which("nsenter") is None:
        return "a node needs nsenter (Debian: util-linux)"
    if not find_runc():
        return "a node needs runc (Debian: apt-get install runc)"
    with tempfile.TemporaryDirectory(prefix="fairlead-node-probe-") as folder:
        plan = {"folder": folder, "boot_id": str(uuid.uuid4()), "cgroup": Path(folder).name}
        script = Path(__file__).parent / "machine.py"
        tried = subprocess.run(
            [sys.executable, "-I", str(script), json.dumps(plan)],
            input='{"do": "poll"}\n',
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        for answer in map(json.loads, tried.stdout.splitlines()):
            if "error" in answer:
                return f"a node cannot be had here: {answer['error']}"
        if tried.returncode != 0:
            return f"a node cannot be had here: {(tried.stderr.strip().splitlines() or ['?'])[-1]}"
    return ""
