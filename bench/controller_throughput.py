"""Pods bound a second on a real control plane: allocated by the controller, and by kube-scheduler alone.

    python bench/controller_throughput.py [NODES PODS DEVICES_PER_POD [ROUNDS]]

Needs Kubernetes' programs (`make kube`). Both sides run on one control plane, one after the other, from the first
pod created to the last one bound. Only side by side do the figures say anything.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

import test_controller as cluster  # noqa: E402 - found through the path above

from kube import ControlPlane, add_cluster  # noqa: E402
from kube.api import wait_for  # noqa: E402


def measure(plane: ControlPlane, namespace: str, pods: int, devices: int, ours: bool) -> None:
    """One side; prints a line."""
    api = plane.api
    plane.namespace(namespace)
    api.create(cluster.template(namespace, "acc", devices))
    made = [cluster.pod(namespace, f"p{number}", f"acc-{devices}") for number in range(pods)]
    if not ours:
        for one in made:
            del one["spec"]["schedulingGates"]
    before = plane.usage()
    began = time.monotonic()
    api.create_all(made)
    wait_for(lambda: len(cluster.bound(api, namespace)) == pods, 300, "every pod to be bound")
    seconds = time.monotonic() - began
    cpu = {name: round(after[1] - before[name][1], 1) for name, after in plane.usage().items()}
    who = "Fairlead" if ours else "kube-scheduler alone"
    print(f"{who:22} {pods / seconds:6.0f} pods/s, CPU seconds {cpu}", flush=True)
    assert cluster.held_twice(api) == []
    api.clear(f"/api/v1/namespaces/{namespace}/pods")
    wait_for(lambda: not api.items(f"{cluster.GROUP}/resourceclaims"), 120, "the claims to go")


def main() -> None:
    """Runs both sides in turn."""
    given = [int(text) for text in sys.argv[1:]]
    nodes, pods, devices, rounds = (*given, *(100, 400, 1, 1)[len(given) :])
    with ControlPlane() as plane:
        account = plane.service_account("fairlead", cluster.RULES)
        account.write_kubeconfig(plane.folder / "fairlead.kubeconfig")
        add_cluster(plane.api, cluster.nodes(nodes, "acc"))
        for number in range(rounds):
            with cluster.controller(plane):
                measure(plane, f"ours-{number}", pods, devices, True)
            measure(plane, f"alone-{number}", pods, devices, False)


if __name__ == "__main__":
    main()
