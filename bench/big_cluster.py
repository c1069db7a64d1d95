"""The controller on a real control plane with 5,000 nodes and 100,000 devices: start, memory, decisions.

    python bench/big_cluster.py [NODES]          # 5,000 nodes take about 3 minutes to make

Needs Kubernetes' programs (`make kube`). Printed are the seconds from the start of the process until it knows the
cluster, its memory then and at the most, and how long decisions take as its log says: first ones of a shape, and later
ones, for single pods and for a gang.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

from installed import OPT_IN, Cluster  # noqa: E402 - found through the path above

from kube import ControlPlane, device_class, fake_node, fake_slice, process_usage  # noqa: E402
from kube.api import wait_for  # noqa: E402

DRIVER = "acc.example.com"
DEVICES = 20
Json = dict[str, Any]


def hardware(nodes: int) -> Iterator[Json]:
    """Nodes with twenty devices each, sixteen to a rack."""
    for number in range(nodes):
        name = f"node-{number:04d}"
        yield fake_node(name, {"cloud.provider.com/topology-rack": f"rack-{number // 16:03d}"})
        devices = [
            {
                "name": f"acc-{device:02d}",
                "attributes": {
                    "index": {"int": device},
                    "model": {"string": "A1"},
                    "uuid": {"string": f"{name}-{device}"},
                    "resource.kubernetes.io/numaNode": {"int": device // 10},
                },
                "capacity": {"memory": {"value": "80Gi"}},
            }
            for device in range(DEVICES)
        ]
        yield fake_slice(name, DRIVER, devices, "acc")


def wanted(namespace: str, devices: int) -> Json:
    """A claim template."""
    requests = [{"name": "acc", "exactly": {"deviceClassName": "acc", "count": devices}}]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": f"acc-{devices}", "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": requests}}},
    }


def pod(namespace: str, name: str, devices: int, labels: dict[str, str] | None = None) -> Json:
    """A pod with a claim."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {
            "containers": [{"name": "main", "image": "none", "resources": {"claims": [{"name": "acc"}]}}],
            "resourceClaims": [{"name": "acc", "resourceClaimTemplateName": f"acc-{devices}"}],
        },
    }


def decisions(log: Path, since: int) -> list[float]:
    """The milliseconds of the decisions that the log tells of after a size, those that write something."""
    lines = (json.loads(line) for line in log.read_bytes()[since:].splitlines())
    return [line["milliseconds"] for line in lines if line["event"] == "decided"]


def bind(cluster: Cluster, log: Path, namespace: str, pods: list[Json], text: str) -> None:
    """Creates pods, waits until all have nodes, and prints the decisions that took."""
    before = log.stat().st_size
    began = time.monotonic()
    path = f"/api/v1/namespaces/{namespace}/pods"
    names = {one["metadata"]["name"] for one in pods}
    cluster.api.create_all(pods)
    open_pods = set(names)
    for event in cluster.api.watch(path, fieldSelector="spec.nodeName!="):
        open_pods.discard(event["object"]["metadata"]["name"])
        if not open_pods:
            break
    took = decisions(log, before)
    print(
        f"{text:40} {time.monotonic() - began:6.1f} s until bound; {len(took)} decisions, "
        f"median {statistics.median(took):.1f}, first {took[0]:.1f}, worst {max(took):.1f} ms",
        flush=True,
    )


def main() -> None:
    """Makes the cluster, runs the controller on it, and prints what it takes."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    with ControlPlane() as plane:
        cluster = Cluster(plane)
        cluster.install(one_writer=False)
        began = time.monotonic()
        plane.api.create(device_class("acc", f'device.driver == "{DRIVER}"'))
        plane.api.create_all(hardware(nodes))
        print(f"{nodes} nodes, {nodes * DEVICES} devices: made in {time.monotonic() - began:.0f} s", flush=True)
        cluster.namespace("big", OPT_IN)
        for devices in (1, 8, 20):
            plane.api.create(wanted("big", devices))
        began = time.monotonic()
        with cluster.started() as (process, log):
            wait_for(lambda: '"synced"' in log.read_text(), 300, "the controller to know the cluster")
            seconds = time.monotonic() - began
            memory, cpu = process_usage(process.pid)
            print(f"in step after {seconds:.1f} s ({cpu:.1f} s of CPU), {memory:.0f} MiB", flush=True)
            bind(cluster, log, "big", [pod("big", "first", 1)], "the first pod")
            bind(cluster, log, "big", [pod("big", "second", 1)], "the second pod")
            bind(cluster, log, "big", [pod("big", f"one-{number}", 1) for number in range(100)], "100 pods x 1")
            bind(cluster, log, "big", [pod("big", f"eight-{number}", 8) for number in range(50)], "50 pods x 8")
            for turn in ("first", "second"):
                labels = {"fairlead.dev/group": turn, "fairlead.dev/group-size": "64"}
                gang = [pod("big", f"{turn}-{number}", 20, labels) for number in range(64)]
                bind(cluster, log, "big", gang, f"a gang of 64 x 20, the {turn}")
            memory, cpu = process_usage(process.pid)
            peak = next(
                int(line.split()[1]) / 1024
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                if line.startswith("VmHWM:")
            )
            print(f"at the end {memory:.0f} MiB, at most {peak:.0f} MiB, {cpu:.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
