"""The inventory kept up to date by events equals one made anew."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CLASSES, DRIVER, claim, convert, counters, device, request, slice_
from fairlead.allocator import Allocator
from fairlead.inventory import Features, Inventory
from fairlead.resource import DeviceClass, ResourceClaim, ResourceSlice


def claims(number: int) -> list[ResourceClaim]:
    return [convert(ResourceClaim, claim(request("r", 1 + i % 2), name=f"claim-{i}")) for i in range(number)]


def pool(node: str) -> list[ResourceSlice]:
    parts = [device(f"part-{i}", uses={"s": {"m": "1"}}) for i in range(3)]
    shared = [device("shared", capacity={"bw": "3"}, allowMultipleAllocations=True)]
    raw = [
        slice_([], pool=node, name=f"{node}-c", count=2, nodeName=node, sharedCounters=counters(s={"m": "2"})),
        slice_(parts + shared, pool=node, name=f"{node}-d", count=2, nodeName=node),
    ]
    return [convert(ResourceSlice, entry) for entry in raw]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "release", "slice"]), st.integers(0, 5)), max_size=25))
def test_events_leave_what_a_new_inventory_would_have(events: list[tuple[str, int]]) -> None:
    nodes = ["node-1", "node-2"]
    slices = [entry for node in nodes for entry in pool(node)]
    inventory = Inventory(slices)
    allocator = Allocator([convert(DeviceClass, entry) for entry in CLASSES], Features())
    pending = claims(6)
    holding: dict[str, ResourceClaim] = {}
    for event, number in events:
        wanted = pending[number]
        node = nodes[number % 2]
        if event == "take" and wanted.key not in holding:
            decision = allocator.allocate(inventory.view(node), [allocator.wanted(wanted)])
            if decision.fits:
                status = msgspec.structs.replace(wanted.status, allocation=decision.allocations()[0])
                holding[wanted.key] = msgspec.structs.replace(wanted, status=status)
                inventory.set_claim(holding[wanted.key])
        elif event == "release" and wanted.key in holding:
            inventory.remove_claim(holding.pop(wanted.key))
        elif event == "slice":
            inventory.add_slice(slices[number % len(slices)])
        anew = Inventory(slices, holding.values())
        for name in nodes:
            assert inventory.view(name).occupancy == anew.view(name).occupancy
            whole, made = (one.pool_view((DRIVER, name)) for one in (inventory, anew))
            assert whole is not None
            assert made is not None
            assert whole.size == inventory.view(name).size
            assert whole.occupancy == made.occupancy
            used = [
                (result.driver, result.pool, result.device)
                for held in holding.values()
                if held.status.allocation
                for result in held.status.allocation.devices.results
                if result.share_id is None
            ]
            assert len(used) == len(set(used)), "no device twice"
    for held in list(holding.values()):
        inventory.remove_claim(held)
    for name in nodes:
        assert inventory.view(name).occupancy == Inventory(slices).view(name).occupancy


def test_all_of_a_pool_is_seen_from_nowhere_and_nothing_of_one_that_is_incomplete() -> None:
    here, there = (slice_(name, pool="p", name=name, count=2, nodeName=name) for name in ("a", "b"))
    inventory = Inventory([convert(ResourceSlice, here)])
    view = inventory.pool_view((DRIVER, "p"))
    assert view is not None
    assert view.size == 0
    inventory.add_slice(convert(ResourceSlice, there))
    view = inventory.pool_view((DRIVER, "p"))
    assert view is not None
    assert [view.device(number).name for number in range(view.size)] == ["a", "b"]
    assert inventory.pool_view((DRIVER, "other")) is None
