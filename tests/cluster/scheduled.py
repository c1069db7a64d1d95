"""Small cases for kube-scheduler and `fairlead plan`: devices of one node, claims of pods one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from builders import claim, counters, device, devices, distinct, either, match, request, slice_

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One node, whose name is that of the case.

    Attributes:
        name: also the name of the node and its pools.
        slices: made by `builders.slice_`; node and pool are set to the case's.
        pods: for each pod the specs of its claims, which become templates.
        unplaced: how many of the pods, the last ones, fit nowhere.
    """

    name: str
    slices: list[Json]
    pods: list[list[Json]] = field(default_factory=list)
    unplaced: int = 0


def spec(*requests: Json, **more: Any) -> Json:
    made: Json = claim(*requests, **more)["spec"]
    return {"devices": {key: value for key, value in made["devices"].items() if value}}


def located(name: str, root: str, numa: int, **fields: Any) -> Json:
    return device(name, {"root": root, "numa": numa}, **fields)


ROOTS = [located("gpu-0", "a", 0), located("gpu-1", "b", 0), located("gpu-2", "b", 1), located("gpu-3", "a", 1)]
ROOT, NUMA = "gpu.example.com/root", "gpu.example.com/numa"
BIG = 'device.capacity["gpu.example.com"].memory.compareTo(quantity("40Gi")) >= 0'

PARTS = [
    device("whole", uses={"gpu": {"memory": "40Gi"}}),
    device("half-0", uses={"gpu": {"memory": "20Gi"}}),
    device("half-1", uses={"gpu": {"memory": "20Gi"}}),
    device("quarter", uses={"gpu": {"memory": "10Gi"}}),
]
PARTITIONED = [
    slice_("", sharedCounters=counters(gpu={"memory": "40Gi"}), name="counters", count=2),
    slice_(PARTS, name="devices", count=2),
]
SHARED = [
    device(
        "gpu-0",
        allowMultipleAllocations=True,
        capacity={
            "memory": {
                "value": "10Gi",
                "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "step": "2Gi"}},
            }
        },
    ),
    device("gpu-1", allowMultipleAllocations=True, capacity={"memory": "8Gi"}),
]
TAINT = {"key": "example.com/broken", "effect": "NoSchedule"}

CASES = [
    Case("one-each", [slice_("gpu-0 gpu-1 gpu-2")], [[spec(request("gpu"))]] * 4, unplaced=1),
    Case("several", [slice_("gpu-0 gpu-1 gpu-2 gpu-3")], [[spec(request("gpu", 3))], [spec(request("gpu", 2))]], 1),
    Case("all-of-them", [slice_("gpu-0 gpu-1 gpu-2")], [[spec(request("gpu", "All"))]]),
    Case(
        "selector",
        [slice_([device("small", capacity={"memory": "24Gi"}), device("big", capacity={"memory": "80Gi"})])],
        [[spec(request("gpu", 1, BIG))], [spec(request("gpu"))], [spec(request("gpu"))]],
        unplaced=1,
    ),
    Case("match-attribute", [slice_(ROOTS)], [[spec(request("gpu", 2), constraints=[match(ROOT)])]] * 2),
    Case(
        "match-two-attributes",
        [slice_([*ROOTS, located("gpu-4", "b", 0)])],
        [[spec(request("gpu", 2), constraints=[match(ROOT), match(NUMA)])]],
    ),
    Case(
        "match-over-drivers",
        [
            slice_([device("gpu-0", {"example.com/root": "a"}), device("gpu-1", {"example.com/root": "b"})]),
            slice_([device("nic-0", {"example.com/root": "b"})], driver="nic.example.com"),
        ],
        [[spec(request("gpu"), request("nic", device_class="nic"), constraints=[match("example.com/root")])]],
    ),
    Case("distinct-attribute", [slice_(ROOTS)], [[spec(request("gpu", 2), constraints=[distinct(NUMA)])]]),
    Case(
        "prioritized-list",
        [slice_([device("small", capacity={"memory": "24Gi"}), device("big", capacity={"memory": "80Gi"})])],
        [[spec(either("gpu", request("big", 1, BIG), request("any", 1)))]] * 3,
        unplaced=1,
    ),
    Case(
        "prioritized-list-matched",
        [slice_(ROOTS)],
        [[spec(either("gpu", request("three", 3), request("two", 2)), constraints=[match(ROOT)])]] * 2,
    ),
    Case("counters", PARTITIONED, [[spec(request("gpu"))], [spec(request("gpu"))]], unplaced=1),
    Case("counters-of-one-claim", PARTITIONED, [[spec(request("gpu", 2))], [spec(request("gpu"))]], unplaced=1),
    Case("counters-exceeded", PARTITIONED, [[spec(request("gpu", 3))]], unplaced=1),
    Case(
        "consumable-capacity",
        [slice_(SHARED)],
        [
            [spec(request("gpu", capacity={"memory": "4Gi"}))],
            [spec(request("gpu"))],
            [spec(request("gpu", capacity={"memory": "6Gi"}))],
            [spec(request("gpu", capacity={"memory": "6Gi"}))],
        ],
        unplaced=1,
    ),
    Case(
        "consumable-and-distinct",
        [slice_(SHARED)],
        [[spec(request("gpu", 2, capacity={"memory": "3Gi"}), constraints=[distinct(ROOT)])]],
        unplaced=1,
    ),
    Case(
        "taints",
        [slice_([device("gpu-0", taints=[TAINT]), *devices("gpu-1 gpu-2")])],
        [
            [spec(request("gpu"))],
            [spec(request("gpu", tolerations=[{"key": "example.com/broken", "operator": "Exists"}]))],
        ],
    ),
    Case("two-claims", [slice_("gpu-0 gpu-1 gpu-2")], [[spec(request("gpu")), spec(request("other", 2))]]),
    Case(
        "configured",
        [slice_("gpu-0")],
        [
            [
                spec(
                    request("gpu"),
                    config=[{"requests": ["gpu"], "opaque": {"driver": "gpu.example.com", "parameters": {"a": 1}}}],
                )
            ]
        ],
    ),
]
