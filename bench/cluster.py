"""Pods bound a second on a real control plane: allocated by Fairlead, and by kube-scheduler alone.

    python bench/cluster.py                                     # the five cases, three alternations each
    python bench/cluster.py --case 100x400x1 --rounds 1         # NODESxPODSxDEVICES

Needs Kubernetes' programs (`make kube`). A case has a control plane of its own; both sides take turns on it, with the
same devices, the same creators and the same limits on requests. Measured is from the first creation of a pod to the
last bind, with what the admission policies of `deploy/` take at creation on Fairlead's side. Pods that want more than
one device want all of them with one value of an attribute (matchAttribute). Only side by side do the figures say
anything.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

from installed import OPT_IN, Cluster  # noqa: E402 - found through the path above

from kube import ControlPlane, Options, add_cluster, device_class, fake_node, fake_slice, process_usage  # noqa: E402
from kube.api import wait_for  # noqa: E402

DRIVER = "acc.example.com"
CASES = ("100x400x1", "100x100x8", "500x1000x1", "500x500x8", "2000x2000x8")
CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
PROCESSES = ("fairlead", "kube-scheduler", "kube-apiserver", "etcd", "kube-controller-manager")
Json = dict[str, Any]


def hardware(nodes: int) -> Iterator[Json]:
    """Nodes with eight devices each, of one domain."""
    domain = {f"{DRIVER}/domain": {"string": "one"}}
    for number in range(nodes):
        name = f"node-{number:04d}"
        yield fake_node(name)
        devices = [{"name": f"acc-{device}", "attributes": domain} for device in range(8)]
        yield fake_slice(name, DRIVER, devices, "acc")
    yield device_class("acc", f'device.driver == "{DRIVER}"')


def template(namespace: str, devices: int) -> Json:
    """What each pod wants."""
    wanted: Json = {"requests": [{"name": "acc", "exactly": {"deviceClassName": "acc", "count": devices}}]}
    if devices > 1:
        wanted["constraints"] = [{"requests": ["acc"], "matchAttribute": f"{DRIVER}/domain"}]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "wanted", "namespace": namespace},
        "spec": {"spec": {"devices": wanted}},
    }


def pod(namespace: str, number: int) -> Json:
    """A pod that wants it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p{number}", "namespace": namespace},
        "spec": {
            "containers": [{"name": "main", "image": "none", "resources": {"claims": [{"name": "acc"}]}}],
            "resourceClaims": [{"name": "acc", "resourceClaimTemplateName": "wanted"}],
        },
    }


class Bound:
    """Counts the pods of a namespace that get a node, over a watch of its own."""

    def __init__(self, plane: ControlPlane, namespace: str, expected: int) -> None:
        self._names: set[str] = set()
        self._expected = expected
        self._api = plane.api
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self.all = threading.Event()
        threading.Thread(target=self._count, daemon=True).start()

    def __len__(self) -> int:
        return len(self._names)

    def _count(self) -> None:
        since = self._api.get(self._path, limit="1")["metadata"]["resourceVersion"]
        while len(self._names) < self._expected:
            # The server ends the watch of a process that is too busy to read it.
            for event in self._api.watch(self._path, since, fieldSelector="spec.nodeName!="):
                since = event["object"]["metadata"]["resourceVersion"]
                self._names.add(event["object"]["metadata"]["name"])
                if len(self._names) == self._expected:
                    break
        self.all.set()


@contextmanager
def side(cluster: Cluster, ours: bool) -> Iterator[subprocess.Popen[bytes] | None]:
    """With Fairlead's controller running, or without."""
    if not ours:
        yield None
        return
    with cluster.started() as (process, log):
        wait_for(lambda: '"synced"' in log.read_text(), 60, "the controller to know the cluster")
        yield process


def measure(cluster: Cluster, namespace: str, pods: int, devices: int, ours: bool) -> tuple[float, Mapping[str, float]]:
    """Pods bound a second, and the CPU seconds of each process."""
    plane, api = cluster.plane, cluster.api
    cluster.namespace(namespace, OPT_IN if ours else None)
    api.create(template(namespace, devices))
    with side(cluster, ours) as process:
        bound = Bound(plane, namespace, pods)
        before = usage(plane, process)
        began = time.monotonic()
        path = f"/api/v1/namespaces/{namespace}/pods"
        with ThreadPoolExecutor(8) as creators:
            list(creators.map(lambda number: api.request("POST", path, pod(namespace, number)), range(pods)))
        if not bound.all.wait(1200):
            raise SystemExit(f"only {len(bound)} of {pods} pods were bound in 20 minutes")
        seconds = time.monotonic() - began
        cpu = {name: after - before[name] for name, after in usage(plane, process).items()}
        check(plane, pods * devices)
    api.clear(f"/api/v1/namespaces/{namespace}/pods")
    wait_for(lambda: not api.items(CLAIMS, limit="1"), 600, "the claims to go", pause=0.5)
    return pods / seconds, cpu


def usage(plane: ControlPlane, process: subprocess.Popen[bytes] | None) -> dict[str, float]:
    """CPU seconds by process."""
    taken = {name: cpu for name, (_, cpu) in plane.usage().items()}
    taken["fairlead"] = process_usage(process.pid)[1] if process is not None else 0.0
    return taken


def check(plane: ControlPlane, expected: int) -> None:
    """No device is held twice, and as many are held as were asked for."""
    held = [
        (one["driver"], one["pool"], one["device"])
        for claim in plane.api.items(CLAIMS)
        for one in claim["status"]["allocation"]["devices"]["results"]
    ]
    assert len(set(held)) == len(held) == expected, (len(set(held)), len(held), expected)


def run(case: str, rounds: int, gates: Mapping[str, bool] | None) -> None:
    """One case; prints its lines."""
    nodes, pods, devices = (int(part) for part in case.split("x"))
    with ControlPlane(Options(gates=gates)) as plane:
        cluster = Cluster(plane)
        cluster.install(one_writer=False)
        add_cluster(plane.api, hardware(nodes))
        rates: dict[bool, list[float]] = {True: [], False: []}
        cpus: dict[bool, list[Mapping[str, float]]] = {True: [], False: []}
        for number in range(rounds):
            for ours in (number % 2 == 0, number % 2 == 1):
                namespace = f"{'ours' if ours else 'alone'}-{number}"
                rate, cpu = measure(cluster, namespace, pods, devices, ours)
                rates[ours].append(rate)
                cpus[ours].append(cpu)
                print(f"  {namespace:8} {rate:6.1f} pods/s", file=sys.stderr, flush=True)
    ours, alone = (statistics.median(rates[side]) for side in (True, False))
    print(f"{nodes} nodes, {pods} pods x {devices}: {ours / alone:.2f} times")
    for text, one in (("Fairlead", True), ("alone", False)):
        seconds = ", ".join(
            f"{name} {statistics.median(cpu.get(name, 0.0) for cpu in cpus[one]):.1f}" for name in PROCESSES
        )
        print(
            f"  {text:9} {', '.join(f'{rate:.0f}' for rate in rates[one]):16} pods/s; CPU seconds: {seconds}",
            flush=True,
        )


def main() -> None:
    """Runs the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="NODESxPODSxDEVICES; may be given several times")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default %(default)s)")
    parser.add_argument("--gates", choices=["dra", "default"], default="dra", help="all of DRA, or Kubernetes' own")
    arguments = parser.parse_args()
    for case in arguments.case or CASES:
        run(case, arguments.rounds, {} if arguments.gates == "default" else None)


if __name__ == "__main__":
    main()
