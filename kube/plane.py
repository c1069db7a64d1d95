"""A Kubernetes control plane on loopback in a temporary folder: etcd, API server, controller manager, scheduler.

    with ControlPlane() as plane:
        plane.api.create({...})
        subprocess.run(["kubectl", "--kubeconfig", plane.kubeconfig, "get", "nodes"])

Invariants: every program listens on loopback or on a socket in a folder that only this user may enter; users have
tokens and RBAC decides; when the `with` block or the starting process ends, however it ends, the programs end
(`guard`). The folder is removed at the end, unless the start failed or `keep` says otherwise.

No node-lifecycle controller and no TaintNodesByCondition admission run: nodes have no kubelet that renews a lease, and
would be tainted not-ready.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from kube.api import Api, ApiError, wait_for
from kube.binaries import CONTROL_PLANE, find_programs
from kube.certificates import LOOPBACK, Authority
from kube.commands import Place, command_line

START_SECONDS = 90.0
USERS = {
    "admin": ("admin", ["system:masters"]),
    "kube-controller-manager": ("system:kube-controller-manager", []),
    "kube-scheduler": ("system:kube-scheduler", []),
}
SERVED_HOSTS = (*LOOPBACK, "IP:10.0.0.1", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")


class PlaneError(Exception):
    """The control plane does not come up or a program of it ended; the message has its last lines and the folder."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a control plane is run.

    Attributes:
        components: which programs run; etcd and kube-apiserver are always needed.
        gates: feature gates; None turns on every gate of DRA, {} leaves Kubernetes' defaults.
        qps: requests per second that controller manager and scheduler allow themselves (Kubernetes' default is 50).
        flags: further flags, by program.
        scheduler: fields of the KubeSchedulerConfiguration, such as `{"parallelism": 1}`.
        keep: whether the folder with the logs stays.
    """

    components: Sequence[str] = CONTROL_PLANE
    gates: Mapping[str, bool] | None = None
    qps: int = 5000
    flags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = False


class ControlPlane:
    """One running control plane; see the module.

    Attributes:
        api: access as cluster administrator.
        kubeconfig: the same for programs.
        folder: where everything is; `logs/` has one file a program.
        start_seconds: how long `start` took.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.start_seconds = 0.0
        self._guard: subprocess.Popen[str] | None = None
        self._pids: dict[str, int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the programs and waits until all of them say they are ready, and pods can be made in `default`.

        Raises:
            MissingProgramError: a program is not on this machine.
            CertificateError: openssl is missing or failed.
            PlaneError: one ended or was not ready in time; nothing runs any more, and the folder stays.
            TimeoutError: the controller manager made no service account in time; the same.
        """
        began = time.monotonic()
        programs = find_programs(self.options.components)
        self.folder = Path(tempfile.mkdtemp(prefix="fairlead-kube-"))
        self._start_guard()
        try:
            self._prepare(programs)
            for name in ("etcd", "kube-apiserver"):
                self.run(name)
            self.wait_ready("kube-apiserver")
            rest = [name for name in self.options.components if name not in ("etcd", "kube-apiserver")]
            for name in rest:
                self.run(name)
            for name in rest:
                self.wait_ready(name)
            self._wait_for_account("default")
        except BaseException:
            self.stop(keep=True)
            raise
        self.start_seconds = time.monotonic() - began

    def stop(self, keep: bool | None = None) -> None:
        """Stops all programs, and removes the folder unless `keep`, or else the options, say that it stays."""
        if self._guard is None:
            return
        if keep if keep is not None else self.options.keep:
            self._ask(do="remove", folder=None)
        guard, self._guard = self._guard, None
        self._pids.clear()
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()

    def run(self, name: str) -> None:
        """Starts one program again that was halted."""
        argv = command_line(name, self._place, self.options)
        answer = self._ask(do="start", name=name, argv=argv, log=str(self.log(name)))
        self._pids[name] = answer["pid"]

    def halt(self, name: str) -> None:
        """Stops one program, as benches do that create pods before there is a scheduler."""
        self._ask(do="stop", name=name)
        self._pids.pop(name, None)

    def pid(self, name: str) -> int:
        """The process of a program that runs, for tests that make it stand still."""
        return self._pids[name]

    def crash(self, name: str) -> None:
        """Ends one program with SIGKILL, as a fault; `run` starts it again on what it left."""
        os.kill(self._pids[name], signal.SIGKILL)
        self.halt(name)

    def log(self, name: str) -> Path:
        """The file with what a program says."""
        return self.folder / "logs" / f"{name}.log"

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Makes a namespace in which pods can be made at once: its default service account is there.

        With labels from the beginning no admission policy can see it without them.
        """
        metadata = {"name": name, "labels": dict(labels or {})}
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self._wait_for_account(name)
        return name

    def _wait_for_account(self, namespace: str) -> None:
        """Until pods can be made in it: the controller manager, where there is one, makes their service account."""
        if "kube-controller-manager" in self._pids:
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
            wait_for(lambda: self._exists(account), 30, f"the default service account of namespace {namespace}")

    def service_account(self, name: str, rules: Sequence[Mapping[str, Any]], namespace: str = "default") -> Api:
        """Access as a new service account that may do what `rules` (of a ClusterRole) say, in all namespaces."""
        group = "rbac.authorization.k8s.io"
        account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        labelled = f"{namespace}:{name}"
        self.api.create(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        )
        role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": labelled}, "rules": [*rules]}
        self.api.create(role)
        self.api.create(
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": labelled},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": labelled},
                "subjects": [account],
            }
        )
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
        token = self.api.request("POST", path, asked)["status"]["token"]
        return Api(self.api.server, token, self.authority.certificate)

    def usage(self) -> dict[str, tuple[float, float]]:
        """What each program takes: resident memory in MiB, and CPU seconds since its start."""
        return {name: process_usage(pid) for name, pid in self._pids.items()}

    def _prepare(self, programs: Mapping[str, Path]) -> None:
        """Certificates, tokens, kubeconfigs and ports."""
        certificates = self.folder / "certificates"
        for folder in (certificates, self.folder / "logs"):
            folder.mkdir()
        self.authority = Authority.create(certificates)
        self.authority.issue("apiserver", SERVED_HOSTS)
        self.authority.signing_key("service-accounts")
        tokens = {user: secrets.token_urlsafe(24) for user in USERS}
        lines = [",".join([tokens[key], user, user, *groups]) + "\n" for key, (user, groups) in USERS.items()]
        _private(self.folder / "tokens.csv", "".join(lines))
        ports = free_ports(3)
        self._place = Place(self.folder, programs, dict(zip(CONTROL_PLANE[1:], ports, strict=True)))
        accesses = {user: Api(self._place.server, tokens[user], self.authority.certificate) for user in USERS}
        for user, access in accesses.items():
            access.write_kubeconfig(self._place.kubeconfig(user))
        self.api = accesses["admin"]
        self.kubeconfig = self._place.kubeconfig("admin")

    def wait_ready(self, name: str) -> None:
        """Waits until a program answers its probe.

        Raises:
            PlaneError: one ended, or it takes too long.
        """
        probe = Api(self._place.address(name), self.api.token, self.authority.certificate)
        path = "/readyz" if name == "kube-apiserver" else "/healthz"

        def ready() -> bool:
            ended = [(name, code) for name, code in self._ask(do="poll")["codes"].items() if code is not None]
            for ended_name, code in ended:
                raise PlaneError(f"{ended_name} ended with status {code}:\n{self._last_lines(ended_name)}")
            try:
                probe.get(path)
            except (OSError, ApiError):
                return False
            return True

        try:
            wait_for(ready, START_SECONDS, f"{name} to be ready")
        except TimeoutError as error:
            raise PlaneError(f"{error}:\n{self._last_lines(name)}") from None

    def _last_lines(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()[-8:]
        return "".join(f"  {line[:400]}\n" for line in lines) + f"All logs are in {self.folder / 'logs'}"

    def _exists(self, path: str) -> bool:
        try:
            self.api.get(path)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    def _start_guard(self) -> None:
        script = Path(__file__).parent / "guard.py"
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._ask(do="remove", folder=str(self.folder))

    def _ask(self, **command: object) -> dict[str, Any]:
        """One command to the guard, and its answer."""
        with self._lock:
            if self._guard is None:
                raise PlaneError("the control plane is not running")
            assert self._guard.stdin is not None
            assert self._guard.stdout is not None
            try:
                self._guard.stdin.write(json.dumps(command) + "\n")
                line = self._guard.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise PlaneError("the process that guards the control plane is gone, and its programs with it")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PlaneError(answer["error"])
        return answer


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def process_usage(pid: int) -> tuple[float, float]:
    """What a process takes: resident memory in MiB, and CPU seconds since its start."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return resident / 1024, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
