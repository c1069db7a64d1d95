"""The finder gives the node that asking every node in order would give."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CLASSES, ROOT, claim, convert, device, labelled, match, request, slice_
from fairlead.allocator import Allocator, Decision, Wanted
from fairlead.inventory import Features, Inventory
from fairlead.placement.finder import Finder
from fairlead.resource import DeviceClass, ResourceClaim, ResourceSlice

NODES = [f"node-{number}" for number in range(6)]


def node_slices(name: str, gpus: int, model: str = "A") -> list[ResourceSlice]:
    members = [device(f"gpu-{i}", {ROOT: f"pci{i // 2}", "model": model, "uuid": f"{name}-{i}"}) for i in range(gpus)]
    return [convert(ResourceSlice, slice_(members, pool=name, name=name, nodeName=name))]


def fabric(zone: str) -> ResourceSlice:
    members = [device(f"remote-{i}", {"model": "F"}) for i in range(2)]
    return convert(
        ResourceSlice,
        slice_(members, pool=f"fabric-{zone}", name=f"fabric-{zone}", nodeSelector=labelled("zone", zone)),
    )


def kind(number: int) -> ResourceClaim:
    model = 'device.attributes["gpu.example.com"].model == "{}"'
    kinds = [
        claim(request("r", 1)),
        claim(request("r", 2), constraints=[match(ROOT)]),
        claim(request("r", 3, model.format("B"))),
        claim(request("r", 1, model.format("F"))),
        claim(request("r", 4)),
        claim(request("r", 9)),
    ]
    return convert(ResourceClaim, kinds[number])


LABELS = {name: {"zone": "z1" if number < 4 else "z2"} for number, name in enumerate(NODES)}


def naive(inventory: Inventory, allocator: Allocator, wanted: list[Wanted], labels: dict[str, dict[str, str]]) -> str:
    for name in NODES:
        if allocator.allocate(inventory.view(name, labels[name]), wanted).fits:
            return name
    return ""


def chosen(decision: Decision | None) -> str:
    return decision.view.name if decision is not None and decision.fits else ""


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "take", "release", "slice", "fabric", "relabel"]), st.integers(0, 5)),
    max_size=40,
)


@settings(max_examples=120, deadline=None)
@given(EVENTS)
def test_same_node_as_asking_all_of_them(events: list[tuple[str, int]]) -> None:
    labels = dict(LABELS)
    slices = [entry for n, name in enumerate(NODES) for entry in node_slices(name, 2 + n % 3, "AB"[n % 2])]
    inventory = Inventory([*slices, fabric("z1")])
    allocator = Allocator([convert(DeviceClass, entry) for entry in CLASSES], Features())
    finder = Finder(inventory, allocator, labels)
    holding: list[ResourceClaim] = []
    for count, (event, number) in enumerate(events):
        if event in ("ask", "take"):
            pending = msgspec.structs.replace(
                kind(number), metadata=msgspec.structs.replace(kind(number).metadata, name=f"c{count}")
            )
            wanted = [allocator.wanted(pending)]
            decision = next(finder.find(wanted), None)
            assert chosen(decision) == naive(inventory, allocator, wanted, labels)
            if event == "take" and decision is not None and decision.fits:
                status = msgspec.structs.replace(pending.status, allocation=decision.allocations()[0])
                holding.append(msgspec.structs.replace(pending, status=status))
                inventory.set_claim(holding[-1])
        elif event == "release" and holding:
            inventory.remove_claim(holding.pop(number % len(holding)))
        elif event == "slice":
            inventory.add_slice(node_slices(NODES[number], 1 + count % 4, "AB"[count % 2])[0])
        elif event == "fabric":
            zone = f"z{1 + number % 2}"
            if number < 3:
                inventory.add_slice(fabric(zone))
            else:
                inventory.remove_slice(f"fabric-{zone}")
        elif event == "relabel":
            labels[NODES[number]] = {"zone": f"z{1 + count % 2}"}
            finder.put(NODES[number], labels[NODES[number]])


@pytest.fixture
def cluster() -> tuple[Inventory, Allocator, Finder]:
    inventory = Inventory([entry for name in NODES for entry in node_slices(name, 2)])
    allocator = Allocator([convert(DeviceClass, entry) for entry in CLASSES], Features())
    return inventory, allocator, Finder(inventory, allocator, LABELS)


def test_nodes_come_in_order_and_on_demand(cluster: tuple[Inventory, Allocator, Finder]) -> None:
    _, allocator, finder = cluster
    found = finder.find([allocator.wanted(kind(0))])
    assert [decision.view.name for decision in found] == NODES


def test_only_nodes_that_are_asked_about(cluster: tuple[Inventory, Allocator, Finder]) -> None:
    _, allocator, finder = cluster
    found = finder.find([allocator.wanted(kind(0))], {"node-2", "node-5"}.__contains__)
    assert [decision.view.name for decision in found] == ["node-2", "node-5"]


def test_an_error_for_every_node_ends_the_search(cluster: tuple[Inventory, Allocator, Finder]) -> None:
    _, allocator, finder = cluster
    broken = convert(ResourceClaim, claim(request("r", 1, 'device.attributes["gpu.example.com"].none == 1')))
    found = list(finder.find([allocator.wanted(broken)]))
    assert len(found) == 1
    assert "no such key: none" in found[0].error
