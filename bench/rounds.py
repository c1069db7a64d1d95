"""How long the controller's core takes to decide, on 1,000 nodes with 8 GPUs each: one planner a round.

    python bench/rounds.py [NODES]

Every figure is the best of three, on a cluster with half of the devices taken. No API server: what is measured is
`Core.decide`, the snapshot and the planner included.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from fairlead.controller import KINDS, Core, Listed, PlannedRound
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
    """Nodes, slices, a class, and a bound pod with four of the eight GPUs of every node."""
    selector = {"cel": {"expression": f'device.driver == "{DRIVER}"'}}
    objects: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    objects["DeviceClass"].append(made(DeviceClass, metadata={"name": "gpu"}, spec={"selectors": [selector]}))
    for number in range(nodes):
        name = f"node-{number:04d}"
        status = {"allocatable": {"cpu": "64", "memory": "512Gi", "pods": "110"}}
        objects["Node"].append(made(Node, metadata={"name": name, "resourceVersion": "1"}, status=status))
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        devices = [
            {"name": f"gpu-{one}", "attributes": {"index": {"int": one}, "uuid": {"string": f"{name}-{one}"}}}
            for one in range(8)
        ]
        spec = {"driver": DRIVER, "nodeName": name, "pool": pool, "devices": devices}
        objects["ResourceSlice"].append(
            made(ResourceSlice, metadata={"name": f"{name}-gpu", "resourceVersion": "1"}, spec=spec)
        )
        objects["Pod"].append(made(Pod, metadata=meta(f"old-{number}"), spec={"nodeName": name}))
        results = [{"request": "gpu", "driver": DRIVER, "pool": name, "device": f"gpu-{one}"} for one in range(4)]
        status = {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": f"old-{number}", "uid": f"uid-old-{number}"}],
        }
        objects["ResourceClaim"].append(made(ResourceClaim, metadata=meta(f"old-{number}"), status=status))
    return objects


def pending(objects: dict[str, list[Any]], pods: int, count: int, group: bool) -> None:
    """Gated pods with a claim of `count` devices each."""
    for number in range(pods):
        name = f"new-{number}"
        labels = {"fairlead.dev/group": "new", "fairlead.dev/group-size": str(pods)} if group else {}
        request = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count}}
        claim = made(ResourceClaim, metadata=meta(name), spec={"devices": {"requests": [request]}})
        spec = {
            "schedulingGates": [{"name": "fairlead.dev/allocation"}],
            "resourceClaims": [{"name": "gpus", "resourceClaimName": name}],
        }
        objects["ResourceClaim"].append(claim)
        objects["Pod"].append(made(Pod, metadata=meta(name, labels=labels), spec=spec))


def decide(nodes: int, pods: int, count: int, group: bool) -> tuple[float, float, int]:
    """Seconds to take the lists, seconds to decide, and writes."""
    best = (1e9, 1e9, 0)
    for _ in range(3):
        objects = cluster(nodes)
        pending(objects, pods, count, group)
        core = Core(lambda snapshot: PlannedRound(snapshot, lambda: ""))
        began = time.perf_counter()
        for kind in KINDS:
            core.handle(Listed(kind, objects[kind], 1), NOW)
        listed = time.perf_counter()
        writes = core.decide(NOW)
        best = min(best, (listed - began, time.perf_counter() - listed, len(writes)), key=lambda one: one[1])
    return best


def main() -> None:
    """Prints a table."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{nodes} nodes, {8 * nodes} devices, half of them taken")
    for text, pods, count, group in (
        ("one pod, 1 device", 1, 1, False),
        ("one pod, 4 devices", 1, 4, False),
        ("one pod, 8 devices: fits nowhere, with reasons", 1, 8, False),
        ("400 pods, 1 device", 400, 1, False),
        ("a gang of 64 pods, 4 devices", 64, 4, True),
        ("50 pods, 8 devices: fit nowhere, with reasons", 50, 8, False),
    ):
        lists, seconds, writes = decide(nodes, pods, count, group)
        print(f"{text:50} {seconds * 1000:8.1f} ms to decide, {lists * 1000:6.1f} ms for the lists, {writes} writes")


if __name__ == "__main__":
    main()
