"""Two writers on the same devices: kube-scheduler on ungated pods, the controller on gated ones.

    python bench/two_writers.py [ALLOCATIONS [lock|none ...]]

Once under the lock and once without. Supply is exactly enough: 8 devices on each of ALLOCATIONS / 8 nodes, one device a
pod, half of the pods gated. kube-scheduler starts, with all of its pods there, when the first of the others is made:
that is when the time begins, and both are busy together. An observer looks at every event of a watch of all claims.
Without the lock devices are held twice; then some pods find none, and a run is over when nothing changes any more. Each
run has a control plane of its own; only side by side do they say anything. Needs Kubernetes' programs (`make kube`).
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

import running as cluster  # noqa: E402 - found through the path above
from locked import Lock, Observer, locked  # noqa: E402

from kube import ControlPlane, add_cluster  # noqa: E402
from kube.api import wait_for  # noqa: E402

_LIMIT, _STILL = 600.0, 30.0
"""Seconds for all pods to be bound, and without a change after which a run is over."""


def measure(plane: ControlPlane, namespace: str, count: int, lock: Lock | None) -> None:
    """One run; prints a line."""
    api = plane.api
    plane.namespace(namespace)
    add_cluster(api, cluster.nodes(count // 8, namespace))
    api.create(cluster.template(namespace, namespace, 1))
    made = [cluster.pod(namespace, f"p{number}", f"{namespace}-1") for number in range(count)]
    for one in made[::2]:
        del one["spec"]["schedulingGates"]
    random.Random(1).shuffle(made)
    observer = Observer(api)
    observer.start()
    refused = Counter(refusals(lock))
    with cluster.controller(plane):
        plane.halt("kube-scheduler")
        api.create_all(one for one in made if not one["spec"].get("schedulingGates"))
        before = plane.usage()
        began = time.monotonic()
        plane.run("kube-scheduler")
        api.create_all(one for one in made if one["spec"].get("schedulingGates"))
        last = time.monotonic()
        bound = 0
        while bound < count and time.monotonic() < began + _LIMIT and time.monotonic() < last + _STILL:
            time.sleep(0.5)
            try:
                now = len(cluster.bound(api, namespace))
            except OSError:
                continue  # the server closes connections that were idle while others created the pods
            if now != bound:
                bound, last = now, time.monotonic()
        cpu = {name: round(after[1] - before.get(name, (0, 0))[1], 1) for name, after in plane.usage().items()}
    wait_for(lambda: observer.given >= bound or observer.problem, 120, "the observer to have seen all events")
    observer.ended = True
    name = "with the lock" if lock is not None else "without"
    print(f"{name:14} {bound} of {count} bound after {last - began:.1f} s, CPU seconds {cpu}", flush=True)
    print(f"{'':14} held twice at some moment: {len({device for device, _ in observer.twice})} devices", flush=True)
    if lock is not None:
        print(f"{'':14} refused: {dict(Counter(refusals(lock)) - refused)}", flush=True)
    log = (plane.folder / "logs" / "fairlead.log").read_text()
    problems = Counter(json.loads(line).get("status") for line in log.splitlines() if '"problem"' in line)
    print(f"{'':14} refused to the controller, by status: {dict(problems)}", flush=True)
    assert observer.problem is None
    api.clear(f"/api/v1/namespaces/{namespace}/pods")


def refusals(lock: Lock | None) -> Sequence[str]:
    """Who was refused, and with which status, once for each time."""
    if lock is None:
        return []
    lines = [json.loads(line) for line in lock.log.read_text().splitlines() if '"write refused"' in line]
    return [f"{line['user'].rpartition(':')[2]} {line['status']}" for line in lines]


def main() -> None:
    """Runs what is asked for, both by default."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for number, run in enumerate(sys.argv[2:] or ("lock", "none")):
        with ControlPlane() as plane:
            account = plane.service_account("fairlead", cluster.RULES)
            account.write_kubeconfig(plane.folder / "fairlead.kubeconfig")
            with locked(plane, direct=True) if run == "lock" else nullcontext() as lock:
                measure(plane, f"both-{number}", count, lock)


if __name__ == "__main__":
    main()
