"""The lock on a control plane: two replicas as processes of their own, and what stands for their Service.

Rights and registration are those of deploy/manifests/webhook, but that the API server asks an address on loopback.
There a front passes connections on to the replica whose pod has the label, as kube-proxy does in a cluster. Also here:
an observer who looks at every event of a watch of all claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kube import Api, ApiError, ControlPlane
from kube.api import wait_for

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "deploy" / "manifests" / "webhook"
SYSTEM = "fairlead-system"
GROUP = "/apis/resource.k8s.io/v1"
PODS = f"/api/v1/namespaces/{SYSTEM}/pods"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
FAIRLEAD = [sys.executable, "-c", "from fairlead.cli import main; main()"]

Json = dict[str, Any]
Device = tuple[str, str, str]


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


@dataclass
class Replica:
    """One webhook process and the pod that stands for it."""

    name: str
    port: int
    metrics: str
    """Address of its metrics."""
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL: nothing is handed over."""
        self.process.kill()
        self.process.wait()


@dataclass
class Lock:
    """The lock as it is installed."""

    plane: ControlPlane
    certificate: Path
    key: Path
    kubeconfig: Path
    port: int = field(default_factory=free_port)
    replicas: dict[str, Replica] = field(default_factory=dict)
    passed: int = 0
    """Connections that the front passed on."""

    @property
    def log(self) -> Path:
        return self.plane.folder / "logs" / "webhook.log"

    def start(self, name: str) -> Replica:
        """A further replica."""
        api = self.plane.api
        gate = {"name": "example.com/not-a-pod"}
        pod = {"containers": [{"name": "webhook", "image": "none"}], "schedulingGates": [gate]}
        with contextlib.suppress(ApiError):
            api.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": SYSTEM},
                    "spec": pod,
                }
            )
        port, metrics = free_port(), f"127.0.0.1:{free_port()}"
        command = [*FAIRLEAD, "webhook", f"--listen=127.0.0.1:{port}", f"--kubeconfig={self.kubeconfig}"]
        command += [f"--cert={self.certificate}", f"--key={self.key}", f"--pod={SYSTEM}/{name}", f"--metrics={metrics}"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        self.replicas[name] = Replica(name, port, metrics, process)
        return self.replicas[name]

    def labelled(self) -> list[str]:
        """The pods with the label."""
        pods = self.plane.api.items(PODS, labelSelector="fairlead.dev/lock=answers")
        return [pod["metadata"]["name"] for pod in pods]

    def answering(self) -> Replica:
        """The replica that answers, as soon as there is one."""

        def found() -> Replica | None:
            names = [name for name in self.labelled() if self.replicas[name].process.poll() is None]
            return self.replicas[names[0]] if len(names) == 1 else None

        return wait_for(found, 60, "a replica to answer")

    def register(self, direct: bool = False) -> None:
        """Has the API server ask the lock; `direct`: past the front, only the replica that answers now."""
        port = self.answering().port if direct else self.port
        (made,) = [one for one in documents("40-registration.yaml") if one["kind"].startswith("Validating")]
        (webhook,) = made["webhooks"]
        webhook["clientConfig"] = {
            "url": f"https://127.0.0.1:{port}/review",
            "caBundle": self.plane.authority.bundle(),
        }
        self.plane.api.create(made)
        # The API server takes a moment to notice. A claim that takes a device of nobody is refused from then on.
        api = self.plane.api
        probe = api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"generateName": "probe-", "namespace": SYSTEM},
                "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "none"}}]}},
            }
        )
        path = f"{GROUP}/namespaces/{SYSTEM}/resourceclaims/{probe['metadata']['name']}"

        def asked() -> bool:
            try:
                give(api, path, [("nobody.example.com", "none", "none")], request="r", dry_run=True)
            except ApiError as error:
                return "lock.fairlead.dev" in error.message
            return False

        wait_for(asked, 30, "the API server to ask the lock")
        api.delete(path)

    def unregister(self) -> None:
        with contextlib.suppress(ApiError):
            self.plane.api.delete(f"{REGISTRATION}/fairlead-lock")

    def stop(self) -> None:
        for replica in self.replicas.values():
            replica.process.kill()
        for replica in self.replicas.values():
            replica.process.wait()


def documents(name: str) -> list[Json]:
    return [one for one in yaml.safe_load_all((MANIFESTS / name).read_text()) if one]


def give(api: Api, path: str, devices: list[Device], request: str = "gpu", dry_run: bool = False, **more: Any) -> Json:
    """Gives a claim devices, as a scheduler would; `more` are further fields of the results."""
    results = [{"request": request, "driver": d[0], "pool": d[1], "device": d[2], **more} for d in devices]
    body = {"status": {"allocation": {"devices": {"results": results}, "allocationTimestamp": "2026-11-24T00:00:00Z"}}}
    query = {"dryRun": "All"} if dry_run else None
    return api.request("PATCH", f"{path}/status", body, query, "application/merge-patch+json")


@contextmanager
def locked(plane: ControlPlane, replicas: int = 2, direct: bool = False) -> Iterator[Lock]:
    """The lock, answering and registered, while the block runs; without the front where nobody takes over."""
    api = plane.api
    with contextlib.suppress(ApiError):
        plane.namespace(SYSTEM)
    for one in documents("10-rights.yaml"):
        with contextlib.suppress(ApiError):
            api.create(one)
    path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/fairlead-webhook/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
    token = api.request("POST", path, asked)["status"]["token"]
    kubeconfig = plane.folder / "webhook.kubeconfig"
    kubeconfig.unlink(missing_ok=True)
    Api(api.server, token, plane.authority.certificate).write_kubeconfig(kubeconfig)
    lock = Lock(plane, *plane.authority.issue("webhook"), kubeconfig)
    front = _Front(lock)
    front.start()
    try:
        for number in range(replicas):
            lock.start(f"webhook-{number}")
        lock.answering()
        lock.register(direct)
        yield lock
    finally:
        lock.unregister()
        front.stop()
        lock.stop()


class _Front(threading.Thread):
    """Passes connections on to the replica that has the label, as a Service does; closes them when there is none."""

    def __init__(self, lock: Lock) -> None:
        super().__init__(daemon=True)
        self._lock = lock
        self._loop = asyncio.new_event_loop()
        self._target = 0
        self._looking = True

    def run(self) -> None:
        looking = threading.Thread(target=self._look, daemon=True)
        looking.start()
        self._loop.run_until_complete(self._serve())

    def stop(self) -> None:
        self._looking = False
        self._loop.call_soon_threadsafe(self._ended.set)
        self.join()

    def _look(self) -> None:
        while self._looking:
            with contextlib.suppress(ApiError, OSError, KeyError):
                names = self._lock.labelled()
                self._target = self._lock.replicas[names[0]].port if names else 0
            time.sleep(0.1)

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._pass, "127.0.0.1", self._lock.port)
        await self._ended.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not self._target:
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._lock.passed += 1
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(2**16):
            sink.write(data)
            await sink.drain()
    sink.close()


class Observer(threading.Thread):
    """Looks at every event of all claims: `twice` are the devices that were held by two claims at any moment."""

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self._api = api
        self.held: dict[Device, set[str]] = {}
        self._of: dict[str, list[Device]] = {}
        self.twice: list[tuple[Device, tuple[str, ...]]] = []
        self.events = 0
        self.given = 0
        """How often a claim got devices."""
        self.problem: Exception | None = None
        self.ended = False
        """To be set by who wants no more."""

    def run(self) -> None:
        since = ""
        try:
            while not self.ended:
                # The server ends watches of clients that are too slow; the next one begins where this one ended.
                for event in self._api.watch(f"{GROUP}/resourceclaims", since):
                    self._take(event)
                    since = event["object"]["metadata"]["resourceVersion"]
                    if self.ended:
                        break
        except Exception as error:  # who started this asks for it
            self.problem = error

    def _take(self, event: Json) -> None:
        self.events += 1
        meta = event["object"]["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        allocation = event["object"].get("status", {}).get("allocation")
        now: list[Device] = []
        if allocation and event["type"] != "DELETED":
            now = [(one["driver"], one["pool"], one["device"]) for one in allocation["devices"]["results"]]
        before = self._of.pop(key, [])
        if now == before:
            if now:
                self._of[key] = now
            return
        for device in before:
            self.held[device].discard(key)
        if now:
            self._of[key] = now
            self.given += 1
        for device in now:
            holders = self.held.setdefault(device, set())
            holders.add(key)
            if len(holders) > 1:
                self.twice.append((device, tuple(sorted(holders))))
