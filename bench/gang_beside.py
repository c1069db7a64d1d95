"""A gang of 64 pods with 8 devices each on 200 nodes, while kube-scheduler gives out the same devices to other pods.

    python bench/gang_beside.py [ROUNDS]

Under the lock. Ungated pods with one device each come all the time, live some seconds and go, so that nodes fill and
empty all over the cluster while the gang is planned and written. Printed are for each round the seconds until the gang
is bound, the racks it got and the least number of racks that would have done, by what claims held at each moment from
its creation to its first claim with devices, and how often the lock refused whom. An observer looks at every event of
all claims. Needs Kubernetes' programs (`make kube`).
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "cluster")]

import running as cluster  # noqa: E402 - found through the path above
from locked import Lock, Observer, locked  # noqa: E402

from kube import Api, ApiError, ControlPlane, add_cluster  # noqa: E402
from kube.api import wait_for  # noqa: E402
from two_writers import refusals  # noqa: E402

NODES, RACK, PODS, DEVICES = 200, 8, 64, 8
EVERY, LIFE = 0.1, 4.0
"""Seconds between two pods of the stream, and for how long each is there."""


class Watcher(Observer):
    """An observer that notes in how many racks a gang has room, from when it is asked to until the gang has devices."""

    gang = ""
    """The prefix of its claims, `namespace/name`."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self.least: list[int] = []
        """The least numbers of racks, one after each event."""

    def _take(self, event: dict[str, Any]) -> None:
        super()._take(event)
        if not self.gang:
            return
        if any(key.startswith(self.gang) for key in self._of):
            self.gang = ""
            return
        taken = {pool for (_, pool, _), holders in self.held.items() if holders}
        names = (f"gpu-{number:03d}" for number in range(NODES))
        free = Counter(rack_of(name) for name in names if name not in taken)
        sums = list(itertools.accumulate(sorted(free.values(), reverse=True)))
        self.least.append(next((number for number, total in enumerate(sums, start=1) if total >= PODS), 0))


def hardware() -> Iterator[dict[str, Any]]:
    """Nodes with eight GPUs each, eight to a rack, which is said by a label that the topology rules know."""
    for one in cluster.nodes(NODES, "gpu"):
        if one["kind"] == "Node":
            rack = rack_of(one["metadata"]["name"])
            one["metadata"]["labels"]["cloud.provider.com/topology-rack"] = f"rack-{rack:02d}"
        yield one


def rack_of(node: str) -> int:
    """The number of a node's rack."""
    return int(node.rpartition("-")[2]) // RACK


class Stream(threading.Thread):
    """Makes ungated pods, and deletes them after a while, until it is told to stop."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        super().__init__(daemon=True)
        self._api = plane.api
        self._namespace = namespace
        self.made = 0
        self.stopped = False

    def run(self) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        living: list[tuple[float, str]] = []
        while not self.stopped:
            name = f"other-{self.made}"
            one = cluster.pod(self._namespace, name, "gpu-1")
            del one["spec"]["schedulingGates"]
            self._api.create(one)
            self.made += 1
            living.append((time.monotonic() + LIFE, name))
            while living and living[0][0] < time.monotonic():
                try:
                    self._api.delete(f"{path}/{living.pop(0)[1]}", grace_seconds=0)
                except ApiError as error:
                    if error.code != 404:
                        raise
            time.sleep(EVERY)


def measure(plane: ControlPlane, lock: Lock, observer: Watcher, number: int) -> None:
    """One gang; prints its line."""
    api = plane.api
    namespace = plane.namespace(f"gang-{number}")
    api.create(cluster.template(namespace, "gpu", DEVICES))
    labels = {"fairlead.dev/group": "train", "fairlead.dev/group-size": str(PODS)}
    before = Counter(refusals(lock))
    observer.least.clear()
    observer.gang = f"{namespace}/worker"
    began = time.monotonic()
    api.create_all(cluster.pod(namespace, f"worker-{one}", f"gpu-{DEVICES}", labels) for one in range(PODS))
    try:
        wait_for(lambda: len(cluster.bound(api, namespace)) == PODS, 120, "the gang", pause=0.1)
        where = cluster.bound(api, namespace)
        racks = len({rack_of(node) for node in where.values()})
        text = f"bound after {time.monotonic() - began:.1f} s on {len(set(where.values()))} nodes, "
        text += f"{racks} racks; {min(observer.least)} to {max(observer.least)} were needed at least"
    except TimeoutError:
        text = f"{len(cluster.bound(api, namespace))} of {PODS} bound after 2 minutes"
    print(f"gang {number}: {text}; refused by the lock: {dict(Counter(refusals(lock)) - before)}", flush=True)
    api.clear(f"/api/v1/namespaces/{namespace}/pods")
    held = f"{cluster.GROUP}/namespaces/{namespace}/resourceclaims"
    wait_for(lambda: not api.items(held), 60, "its claims to go", pause=0.2)


def main() -> None:
    """Runs the rounds that were asked for."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with ControlPlane() as plane:
        account = plane.service_account("fairlead", cluster.RULES)
        account.write_kubeconfig(plane.folder / "fairlead.kubeconfig")
        with locked(plane, direct=True) as lock, cluster.controller(plane):
            add_cluster(plane.api, hardware())
            others = plane.namespace("others")
            plane.api.create(cluster.template(others, "gpu", 1))
            observer = Watcher(plane.api)
            observer.start()
            stream = Stream(plane, others)
            stream.start()
            time.sleep(LIFE + 2)
            for number in range(rounds):
                measure(plane, lock, observer, number)
            stream.stopped = True
            stream.join()
            print(f"{stream.made} other pods; {observer.given} claims got devices", flush=True)
            print(f"held twice at some moment: {len({device for device, _ in observer.twice})} devices", flush=True)
            assert observer.problem is None


if __name__ == "__main__":
    main()
