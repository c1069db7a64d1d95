"""Wired nodes in a few words, for tests: GPUs and NICs with their places, and what a policy chooses on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import places

import builders
from fairlead.allocator import Across, Allocator, Decision
from fairlead.inventory import Features, Inventory, NodeView
from fairlead.placement.wiring import Choice, Chooser, DevicePolicy, Score, Setting, given
from fairlead.placement.wiring.parts import Scene
from fairlead.resource import DeviceClass, ResourceClaim, ResourceSlice
from fairlead.topology import Rules, default_rules, read_rules

GPUS = "gpu.nvidia.com"
NICS = "dra.net"
SXM = "NVIDIA A100-SXM4-40GB"
PCIE = "NVIDIA L40S"
CX7 = "MT2910 Family [ConnectX-7]"
NUMA = "resource.kubernetes.io/numaNode"
ROOT = "resource.kubernetes.io/pcieRoot"
BUS = "resource.kubernetes.io/pciBusID"
SWITCH = "example.com/switch"

RULES = read_rules("attributes: {switch: [example.com/switch]}\n", "test", default_rules())
"""The shipped rules, and an attribute for PCIe switches, which no driver of today publishes."""

CLASSES = [
    {"metadata": {"name": name}, "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{driver}"'}}]}}
    for name, driver in (("gpu", GPUS), ("nic", NICS), ("disk", "disk.example.com"))
] + [{"metadata": {"name": "any"}, "spec": {}}]


def gpu(name: str, model: str = SXM, **place: Any) -> dict[str, Any]:
    """A GPU at a place: `numa=0, root="a", switch="s"`; other fields as in `builders.device`."""
    return _device(name, {"productName": model, "type": "gpu"}, place)


def nic(name: str, model: str = CX7, **place: Any) -> dict[str, Any]:
    """An RDMA NIC at a place."""
    return _device(name, {"dra.net/pciDevice": model, "dra.net/rdma": True}, place)


def _device(name: str, attributes: dict[str, object], place: dict[str, Any]) -> dict[str, Any]:
    for key, attribute in (
        ("numa", NUMA),
        ("root", ROOT),
        ("switch", SWITCH),
        ("bus", builders.ROOT[:-8] + "pciBusID"),
    ):
        if (value := place.pop(key, None)) is not None:
            attributes[attribute] = value
    more: Mapping[str, object] = place.pop("attributes", {})
    return builders.device(name, {**attributes, **more}, **place)


def slices(
    *devices: Mapping[str, Any], node: str = "node-1", sets: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The slices of a node: GPUs and NICs (by their names) of their drivers, other devices of another."""
    made = []
    for driver, prefix in ((GPUS, "gpu"), (NICS, "nic"), ("disk.example.com", "disk")):
        members = [device for device in devices if device["name"].startswith(prefix)]
        if not members:
            continue
        count = 2 if sets and driver == GPUS else 1
        made.append(builders.slice_(members, driver=driver, pool=node, nodeName=node, count=count))
        if count == 2:
            shared = {"sharedCounters": builders.counters(**(sets or {}))}
            made.append(
                builders.slice_([], driver=driver, pool=node, nodeName=node, count=2, name="counters", **shared)
            )
    return made


class Node:
    """One node with an allocator, and a chooser that remembers."""

    def __init__(
        self, made: Sequence[Mapping[str, Any]], held: Sequence[str] = (), name: str = "node-1", rules: Rules = RULES
    ) -> None:
        self.features = Features()
        claims = []
        if held:
            results = [
                {"request": "r", "driver": GPUS if one.startswith("gpu") else NICS, "pool": name, "device": one}
                for one in held
            ]
            status = {"allocation": {"devices": {"results": results}}}
            claims.append(places.read(ResourceClaim, builders.claim(name="holder") | {"status": status}))
        read = [places.read(ResourceSlice, one) for one in made]
        self.inventory = Inventory(read, claims, (), self.features)
        self.allocator = Allocator([places.read(DeviceClass, one) for one in CLASSES], self.features)
        self.view: NodeView = self.inventory.view(name, {}, frozenset())
        self.rules = rules
        self.chooser = Chooser(self.allocator, rules)
        self.setting = Setting.of(self.view, rules)
        self.scene = Scene(self.setting, self.view)

    def first(self, *claims: Mapping[str, Any], across: tuple[Across, ...] = ()) -> Decision:
        """The allocator's own decision."""
        wanted = [self.allocator.wanted(places.read(ResourceClaim, one)) for one in claims]
        return self.allocator.allocate(self.view, wanted, across=across)

    def choose(
        self, policy: DevicePolicy, *claims: Mapping[str, Any], across: tuple[Across, ...] = ()
    ) -> tuple[Decision, Choice]:
        """The policy's decision; the claims must fit."""
        return self.chooser.choose(self.first(*claims, across=across), policy, across)

    def names(self, decision: Decision) -> list[str]:
        """The devices of a decision, request after request."""
        assert decision.picks is not None
        return [self.setting.names[pick.number] for pick in decision.picks]

    def valid(self, decision: Decision, across: tuple[Across, ...] = ()) -> Iterator[int]:
        """Every set of devices that satisfies the claims of a decision (without alternatives), one after another.

        No device may be shared: the allocator, asked for many devices, can then not make do with fewer.
        """
        for numbers in combinations(range(self.view.size), given(decision).bit_count()):
            mask = sum(1 << number for number in numbers)
            if self.allocator.allocate(self.view, decision.claims, mask, across).fits:
                yield mask

    def assignments(self, decision: Decision) -> Iterator[int]:
        """The same where devices may be shared without limits and nothing constrains them: by who gets what."""
        problem = decision.problem
        free = ~self.view.occupancy.held
        ways = []
        for (slot,) in problem.alternatives:
            if slot.unit.admin_access:
                continue
            numbers = [number for number in range(self.view.size) if slot.mask & free & 1 << number]
            ways.append(list(combinations(numbers, len(numbers) if slot.unit.all_devices else slot.unit.count)))
        for chosen in product(*ways):
            taken = Counter(number for numbers in chosen for number in numbers)
            if all(count == 1 or problem.shared >> number & 1 for number, count in taken.items()):
                yield sum(1 << number for number in taken)

    def best(self, policy: DevicePolicy, decision: Decision, across: tuple[Across, ...] = ()) -> list[Score]:
        """The scores of all valid sets, best first, by looking at every subset of the devices."""
        sets = self.assignments(decision) if decision.problem.shared else self.valid(decision, across)
        scores = [policy.score(self.scene, mask) for mask in set(sets)]
        return sorted(scores, key=lambda score: score.key, reverse=True)
