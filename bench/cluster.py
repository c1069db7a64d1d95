"""Pods bound a second on a real control plane: allocated by Fairlead, and by kube-scheduler alone.

    python bench/cluster.py                                     # the five cases, three alternations each
    python bench/cluster.py --case 100x400x1 --rounds 1         # NODESxPODSxDEVICES
    python bench/cluster.py --case 500x500x8 --sketch           # and what the least program would reach (sketch.py)

Needs Kubernetes' programs (`make kube`). A case has a control plane of its own; both sides take turns on it, with the
same devices, the same creators and the same limits on requests. Measured is from the first creation of a pod to the
last bind, with what the admission policies of `deploy/` take at creation on Fairlead's side. Pods that want more than
one device want all of them with one value of an attribute (matchAttribute). Only side by side do the figures say
anything. Where others use the machine, too, compare the CPU seconds of all processes: when every core is busy, they say
how many pods a second there could be, and they vary less.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

from installed import FINALIZER, GATE, GROUP, OPT_IN, Cluster  # noqa: E402 - found through the path above

from kube import ControlPlane, Options, add_cluster, device_class, fake_node, fake_slice, process_usage  # noqa: E402
from kube.api import wait_for  # noqa: E402

DRIVER = "acc.example.com"
CASES = ("100x400x1", "100x100x8", "500x1000x1", "500x500x8", "2000x2000x8")
CLAIMS = f"{GROUP}/resourceclaims"
PROCESSES = ("controller", "kube-scheduler", "kube-apiserver", "etcd", "kube-controller-manager", "bench")
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


def claim(namespace: str, devices: int, number: int) -> Json:
    """The same as a claim of its own, as the policy would leave it."""
    made = template(namespace, devices)
    metadata = {"name": f"c{number}", "namespace": namespace, "finalizers": [FINALIZER]}
    return {**made, "kind": "ResourceClaim", "metadata": metadata, "spec": made["spec"]["spec"]}


@dataclass(frozen=True, slots=True)
class Shape:
    """A case: how large, and how pods and claims are made."""

    nodes: int
    pods: int
    devices: int
    policies: bool = True
    beforehand: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """Pods bound a second, CPU seconds by process, and requests that the API server answered."""

    rate: float
    cpu: Mapping[str, float]
    requests: Counter[str]


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
def running(cluster: Cluster, side: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """With Fairlead's controller or the sketch running, or neither."""
    if side == "alone":
        yield None
    elif side == "Fairlead":
        with cluster.started() as (process, log):
            wait_for(lambda: '"synced"' in log.read_text(), 60, "the controller to know the cluster")
            yield process
    else:
        config = cluster.account().write_kubeconfig(cluster.plane.folder / "sketch.kubeconfig")
        log = cluster.plane.folder / "logs" / "sketch.log"
        with log.open("w") as output:
            command = [sys.executable, str(ROOT / "bench" / "sketch.py"), str(config)]
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_for(lambda: log.read_text().count("ready") == 2, 60, "the sketch to know the cluster")
            yield process
        finally:
            process.kill()
            process.wait()


def measure(cluster: Cluster, namespace: str, shape: Shape, side: str) -> Measured:
    """Pods bound a second, and what it took."""
    plane, api = cluster.plane, cluster.api
    pods = shape.pods
    cluster.namespace(namespace, OPT_IN if side != "alone" and shape.policies else None)
    api.create(template(namespace, shape.devices))
    made = [pod(namespace, number) for number in range(pods)]
    if shape.beforehand:
        with ThreadPoolExecutor(8) as creators:
            list(creators.map(lambda number: api.create(claim(namespace, shape.devices, number)), range(pods)))
    for number, one in enumerate(made):
        if shape.beforehand:
            one["spec"]["resourceClaims"] = [{"name": "acc", "resourceClaimName": f"c{number}"}]
        if side != "alone" and not shape.policies:
            one["spec"]["schedulingGates"] = [GATE]
    with running(cluster, side) as process:
        bound = Bound(plane, namespace, pods)
        asked, before = requests(plane), usage(plane, process)
        began = time.monotonic()
        path = f"/api/v1/namespaces/{namespace}/pods"
        with ThreadPoolExecutor(8) as creators:
            list(creators.map(lambda one: api.request("POST", path, one), made))
        if not bound.all.wait(1200):
            raise SystemExit(f"only {len(bound)} of {pods} pods were bound in 20 minutes")
        seconds = time.monotonic() - began
        cpu = {name: after - before[name] for name, after in usage(plane, process).items()}
        answered = requests(plane) - asked
        check(plane, pods * shape.devices)
    api.clear(f"/api/v1/namespaces/{namespace}/pods")
    if shape.beforehand:
        api.clear(f"{GROUP}/namespaces/{namespace}/resourceclaims")
    wait_for(lambda: not api.items(CLAIMS, limit="1"), 600, "the claims to go", pause=0.5)
    return Measured(pods / seconds, cpu, answered)


def requests(plane: ControlPlane) -> Counter[str]:
    """How many requests the API server answered so far, by verb and resource, and how if not well."""
    connection = plane.api._connect(timeout=60)
    with closing(connection):
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {plane.api.token}"})
        text = connection.getresponse().read().decode()
    counted: Counter[str] = Counter()
    for labels, number in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
        said = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        name = "/".join(part for part in (said["resource"], said["subresource"]) if part)
        code = "" if said["code"].startswith("2") else f" {said['code']}"
        counted[f"{said['verb']} {name}{code}"] += round(float(number))
    return counted


def usage(plane: ControlPlane, process: subprocess.Popen[bytes] | None) -> dict[str, float]:
    """CPU seconds by process."""
    taken = {name: cpu for name, (_, cpu) in plane.usage().items()}
    taken["controller"] = process_usage(process.pid)[1] if process is not None else 0.0
    taken["bench"] = time.process_time()
    return taken


def check(plane: ControlPlane, expected: int) -> None:
    """No device is held twice, and as many are held as were asked for."""
    held = [
        (one["driver"], one["pool"], one["device"])
        for claim in plane.api.items(CLAIMS)
        for one in claim["status"]["allocation"]["devices"]["results"]
    ]
    assert len(set(held)) == len(held) == expected, (len(set(held)), len(held), expected)


def run(shape: Shape, sides: Sequence[str], rounds: int, gates: Mapping[str, bool] | None, count: bool) -> None:
    """One case; prints its lines."""
    with ControlPlane(Options(gates=gates)) as plane:
        cluster = Cluster(plane)
        cluster.install(one_writer=False)
        add_cluster(plane.api, hardware(shape.nodes))
        measured: dict[str, list[Measured]] = {side: [] for side in sides}
        for number in range(rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                namespace = f"{side.lower()}-{number}"
                one = measure(cluster, namespace, shape, side)
                measured[side].append(one)
                print(f"  {namespace:10} {one.rate:6.1f} pods/s", file=sys.stderr, flush=True)
    rates = {side: statistics.median(one.rate for one in measured[side]) for side in sides}
    totals = {side: statistics.median(sum(one.cpu.values()) for one in measured[side]) for side in sides}
    times = ", ".join(
        f"{side} {rates[side] / rates['alone']:.2f} times, by CPU seconds {totals['alone'] / totals[side]:.2f}"
        for side in sides
        if side != "alone"
    )
    print(f"{shape.nodes} nodes, {shape.pods} pods x {shape.devices}: {times}")
    for side in sides:
        seconds = ", ".join(
            f"{name} {statistics.median(one.cpu.get(name, 0.0) for one in measured[side]):.1f}" for name in PROCESSES
        )
        each = ", ".join(f"{one.rate:.0f}" for one in measured[side])
        print(f"  {side:9} {each:16} pods/s; CPU seconds: {seconds}", flush=True)
        if count:
            for request, times_ in measured[side][-1].requests.most_common():
                if times_ >= shape.pods / 20:
                    print(f"    {times_ / shape.pods:5.2f} a pod  {request}")


def main() -> None:
    """Runs the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="NODESxPODSxDEVICES; may be given several times")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default %(default)s)")
    parser.add_argument("--gates", choices=["dra", "default"], default="dra", help="all of DRA, or Kubernetes' own")
    parser.add_argument("--sketch", action="store_true", help="bench/sketch.py as a third side")
    parser.add_argument("--requests", action="store_true", help="requests a pod that the API server answered, by kind")
    parser.add_argument(
        "--claims",
        choices=["template", "beforehand"],
        default="template",
        help="made from a template while it is measured, or there before",
    )
    parser.add_argument(
        "--no-policies", dest="policies", action="store_false", help="gates stand in the pods; no policy at creation"
    )
    arguments = parser.parse_args()
    sides = ["Fairlead", "alone", *(["sketch"] if arguments.sketch else [])]
    for case in arguments.case or CASES:
        shape = Shape(*(int(part) for part in case.split("x")), arguments.policies, arguments.claims == "beforehand")
        run(shape, sides, arguments.rounds, {} if arguments.gates == "default" else None, arguments.requests)


if __name__ == "__main__":
    main()
