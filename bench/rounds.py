"""How long the controller's core takes: to start, and to decide once it runs.

    python bench/rounds.py [NODES ...]

Nodes have 20 devices, 8 GPUs and 12 NICs, and half of the GPUs are taken. No API server: what is measured is
`Core.handle` and `Core.decide`, with the objects made beforehand. Figures of one kind are the median of several, the
first of them left out; a cold figure is one. Last, what the process has in memory, the objects included.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from fairlead.controller import KINDS, Core, Event, Gone, Listed, PlannedRound, Seen, Write, memory
from fairlead.resource import DeviceClass, Node, Pod, ResourceClaim, ResourceSlice, decode_hook

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRIVER = "gpu.example.com"


def made(struct: type[Any], **value: Any) -> Any:
    """An object out of JSON values."""
    return msgspec.convert(value, struct, dec_hook=decode_hook)


def meta(name: str, **more: Any) -> dict[str, Any]:
    """Metadata in namespace `ml`."""
    return {"name": name, "namespace": "ml", "uid": f"uid-{name}", "resourceVersion": "1", **more}


def cluster(nodes: int) -> dict[str, list[Any]]:
    """Nodes in racks, slices, a class, and a bound pod with four of the eight GPUs of every node."""
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    objects: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    objects["DeviceClass"].append(made(DeviceClass, metadata={"name": "gpu"}, spec={"selectors": [selector]}))
    for number in range(nodes):
        objects["Node"].append(node(number))
        for kind, driver, count in (("gpu", DRIVER, 8), ("nic", "nic.example.com", 12)):
            objects["ResourceSlice"].append(slice_(number, kind, driver, count))
        name = f"old-{number}"
        objects["Pod"].append(made(Pod, metadata=meta(name), spec={"nodeName": f"node-{number:04d}"}))
        pool = f"node-{number:04d}"
        results = [{"request": "gpu", "driver": DRIVER, "pool": pool, "device": f"gpu-{one}"} for one in range(4)]
        status = {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"uid-{name}"}],
        }
        objects["ResourceClaim"].append(made(ResourceClaim, metadata=meta(name), status=status))
    return objects


def node(number: int, version: int = 1) -> Node:
    """A node; heartbeats make other versions of it."""
    labels = {"topology.kubernetes.io/zone": f"z{number // 400}", "topology.kubernetes.io/rack": f"r{number // 16}"}
    metadata = {"name": f"node-{number:04d}", "resourceVersion": str(version), "labels": labels}
    status = {"allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110"}}
    return cast(Node, made(Node, metadata=metadata, status=status))


def slice_(number: int, kind: str, driver: str, count: int, version: int = 1) -> ResourceSlice:
    """A slice with devices of one kind."""
    name = f"node-{number:04d}"
    devices = [
        {
            "name": f"{kind}-{one}",
            "attributes": {
                "index": {"int": one},
                "uuid": {"string": f"{name}-{one}"},
                "version": {"int": version},
                "resource.kubernetes.io/pcieRoot": {"string": f"pci{one % 4}"},
            },
        }
        for one in range(count)
    ]
    spec = {
        "driver": driver,
        "nodeName": name,
        "pool": {"name": name, "generation": version, "resourceSliceCount": 1},
        "devices": devices,
    }
    return cast(
        ResourceSlice,
        made(ResourceSlice, metadata={"name": f"{name}-{kind}", "resourceVersion": str(version)}, spec=spec),
    )


def pending(name: str, pods: int, count: int, group: bool = False) -> list[Seen]:
    """The events of gated pods that come, with a claim of `count` GPUs each."""
    events = []
    for number in range(pods):
        pod = f"{name}-{number}"
        labels = {"fairlead.dev/group": name, "fairlead.dev/group-size": str(pods)} if group else {}
        request = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count}}
        claim = made(ResourceClaim, metadata=meta(pod), spec={"devices": {"requests": [request]}})
        spec = {
            "schedulingGates": [{"name": "fairlead.dev/allocation"}],
            "resourceClaims": [{"name": "gpus", "resourceClaimName": pod}],
        }
        events.append(Seen("ResourceClaim", claim))
        events.append(Seen("Pod", made(Pod, metadata=meta(pod, labels=labels), spec=spec)))
    return events


def milliseconds(core: Core, events: Sequence[Event], now: datetime = NOW) -> tuple[float, list[Write]]:
    """How long events and the round after them take, and the writes."""
    began = time.perf_counter()
    for event in events:
        core.handle(event, now)
    writes = core.decide(now)
    return (time.perf_counter() - began) * 1000, writes


def resident() -> float:
    """MiB that the process has in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def show(text: str, figure: float, note: str = "") -> None:
    """A line of the table."""
    print(f"  {text:58} {figure:9.1f} ms   {note}", flush=True)


def measure(nodes: int) -> None:
    """Prints a table for a cluster."""
    objects = cluster(nodes)
    empty = resident()
    print(f"{nodes} nodes, {20 * nodes} devices; {empty:.0f} MiB before the core has seen anything")
    core = Core(lambda snapshot: PlannedRound(snapshot, lambda: ""))
    began = time.perf_counter()
    for kind in KINDS:
        core.handle(Listed(kind, objects[kind], 1), NOW)
    show("to take the lists", (time.perf_counter() - began) * 1000)
    show("first round, one pod", milliseconds(core, pending("first", 1, 1))[0])
    memory.settle(again=False)

    def several(text: str, make: Callable[[int], Sequence[Event]], times: int = 9) -> None:
        figures, writes = [], 0
        for number in range(times + 1):
            figure, made_writes = milliseconds(core, make(number))
            figures.append(figure)
            writes = len(made_writes)
        show(text, statistics.median(figures[1:]), f"first {figures[0]:.1f}, {writes} writes")

    several("one pod, 1 GPU", lambda number: pending(f"one-{number}", 1, 1))
    several("one pod, 4 GPUs", lambda number: pending(f"four-{number}", 1, 4))
    several("400 pods, 1 GPU", lambda number: pending(f"many-{number}", 400, 1), 1)
    several("a gang of 64 pods, 4 GPUs", lambda number: pending(f"gang-{number}", 64, 4, True), 3)
    several("a node's heartbeat", lambda number: [Seen("Node", node(7, number + 2))])
    several(
        "a slice with other attributes", lambda number: [Seen("ResourceSlice", slice_(7, "gpu", DRIVER, 8, number + 2))]
    )
    several(
        "one pod after a slice of its node changed",
        lambda number: [
            Seen("ResourceSlice", slice_(nodes - 1, "gpu", DRIVER, 8, number + 2)),
            *pending(f"after-{number}", 1, 1),
        ],
    )
    several("a pod that fits nowhere, with reasons and advice", lambda number: pending(f"none-{number}", 1, 8))
    several("50 such pods", lambda number: pending(f"few-{number}", 50, 8), 1)
    several("a gang of 64 that fits nowhere", lambda number: pending(f"large-{number}", 64, 8, True), 2)

    def ends(number: int) -> list[Event]:
        key = nodes - 1 - number
        pod, claim = objects["Pod"][key], objects["ResourceClaim"][key]
        return [Gone("Pod", replaced(pod)), Gone("ResourceClaim", replaced(claim))]

    waiting = len(core._waiting)
    several(f"a pod ends and its devices are free; {waiting} units wait", ends)
    print(f"  {resident():.0f} MiB", flush=True)


def replaced(item: Any) -> Any:
    """The last version of an object."""
    return msgspec.structs.replace(item, metadata=msgspec.structs.replace(item.metadata, resource_version="2"))


def main() -> None:
    """Prints a table for each size."""
    memory.prepare()
    for nodes in [int(text) for text in sys.argv[1:]] or [1000, 5000]:
        measure(nodes)


if __name__ == "__main__":
    main()
