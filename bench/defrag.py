"""How long `defragment` takes on clusters in pieces, and how often its plan is proven to have the fewest moves.

    PYTHONPATH=src python bench/defrag.py

Nodes have eight GPUs and are in racks of sixteen. In the half-full clusters one to four pods of one, two or four GPUs
run on each node; in the dense ones every GPU is taken but for the given part. Some pods are too important to move.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

from fairlead.placement import Cluster
from fairlead.placement.defrag import defragment
from fairlead.resource import bound_pods, expand, read_text

Document = dict[str, Any]
_V1 = "resource.k8s.io/v1"
_CASES = (
    # nodes, part of the GPUs free (None: half full), pods of the gang, GPUs each, in one rack
    (200, None, 4, 8, True),
    (1000, None, 4, 8, False),
    (1000, None, 16, 8, False),
    (1000, None, 8, 8, True),
    (100, 0.05, 1, 8, False),
    (500, 0.02, 1, 8, False),
    (1000, 0.05, 4, 8, False),
    (500, 0.0, 8, 1, False),
)


def main() -> None:
    print("nodes  running  gang        seconds  moves  at least  tried")
    for nodes, free, pods, gpus, rack in _CASES:
        documents = list(manifests(random.Random(1), nodes, free, pods, gpus, rack))
        objects, problems = read_text(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}).encode(), "made"
        )
        assert not problems, problems[0]
        names = [node.name for node in objects.nodes]
        waiting, left_out = expand(objects, names)
        assert not left_out, left_out[0]
        bound = bound_pods(objects)
        on = Cluster(objects.nodes, objects.slices, objects.classes, objects.claims, pods=bound)
        begin = time.perf_counter()
        found = defragment(on, [waiting])
        seconds = time.perf_counter() - begin
        moves = "none" if found.moves is None else str(len(found.moves))
        gang = f"{pods} x {gpus}{' rack' if rack else ''}"
        print(f"{nodes:5}  {len(bound):7}  {gang:10}  {seconds:7.2f}  {moves:>5}  {found.at_least:8}  {found.tried:5}")


def manifests(
    rng: random.Random, nodes: int, free: float | None, pods: int, gpus: int, rack: bool
) -> Iterator[Document]:
    """The cluster and the gang."""
    yield {"apiVersion": _V1, "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}
    number = 0
    for at in range(nodes):
        name = f"n{at:04}"
        labels = {"cloud.provider.com/topology-rack": f"r{at // 16}"}
        yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        spec = {
            "driver": "gpu.example.com",
            "nodeName": name,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"gpu-{device}"} for device in range(8)],
        }
        yield {"apiVersion": _V1, "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec}
        left = list(range(8))
        for _ in range(rng.choice((1, 1, 2, 3, 4)) if free is None else 8):
            taken = min(len(left), rng.choice((1, 1, 2, 2, 4)))
            devices, left = left[:taken], left[taken:]
            if devices and (free is None or rng.random() >= free):
                yield from running(f"p{number}", name, devices, number, rng.choice((0, 0, 0, 50, 200)))
                number += 1
    annotations = {"fairlead.dev/gang": '{"required": ["rack"]}'} if rack else {}
    yield {
        "apiVersion": _V1,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "gpus", "namespace": "ml"},
        "spec": {"spec": asked(gpus)},
    }
    job = {
        "parallelism": pods,
        "completions": pods,
        "completionMode": "Indexed",
        "template": {
            "metadata": {"annotations": annotations},
            "spec": {
                "priority": 100,
                "containers": [{"name": "main"}],
                "resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "gpus"}],
            },
        },
    }
    yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train", "namespace": "ml"}, "spec": job}


def running(name: str, node: str, devices: list[int], number: int, priority: int) -> Iterator[Document]:
    """A pod with its claim."""
    kind = "Job" if number % 7 == 0 else "ReplicaSet"
    owner = {"apiVersion": "apps/v1", "kind": kind, "name": f"w{number // 5}", "uid": "", "controller": True}
    results = [{"request": "gpu", "driver": "gpu.example.com", "pool": node, "device": f"gpu-{one}"} for one in devices]
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", "ownerReferences": [owner]},
        "spec": {
            "nodeName": node,
            "priority": priority,
            "containers": [{"name": "main"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "some"}],
        },
        "status": {"phase": "Running", "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": name}]},
    }
    yield {
        "apiVersion": _V1,
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": asked(len(devices)),
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": name, "uid": ""}],
        },
    }


def asked(count: int) -> Document:
    """The spec of a claim for GPUs."""
    return {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": count}}]}}


if __name__ == "__main__":
    main()
