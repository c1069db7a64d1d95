"""What stands against a claim's having the devices that it is to take.

All arithmetic is the inventory's (`fairlead.inventory`): the question is asked of an inventory in which the claim has
its devices already, and only what concerns the devices taken is looked at. So who was overdrawn before keeps what he
has, and nobody else gets in.

* A device without a share id: nobody else may hold it or a share of it.
* A share: nobody may hold the device for himself, and the shares together fit into each of its capacities.
* A partition: the devices in use fit into every counter set that it draws from, and have a compatibility group in
  common there.
* A device that no complete pool publishes: what it would take cannot be told, so it is not given.
* Admin access takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.inventory import DeviceId, Inventory, InventoryError, NodeView
from fairlead.resource import Device, DeviceRequestAllocationResult, Quantity

_SHOWN = 3
"""Holders that a text names."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a device cannot be taken, and which claims (`namespace/name`) are in the way."""

    device: DeviceId
    problem: str
    holders: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"device {self.device} {self.problem}{_named(self.holders)}"


def device_of(result: DeviceRequestAllocationResult) -> DeviceId:
    """The device that a result names."""
    return DeviceId(result.driver, result.pool, result.device)


def conflicts(inventory: Inventory, claim: str, taken: Sequence[DeviceRequestAllocationResult]) -> Iterator[Conflict]:
    """What stands against it.

    Args:
        inventory: where the claim has the devices already.
        claim: `namespace/name` of the claim.
        taken: its results with devices that it did not have before.
    """
    for result in taken:
        device = device_of(result)
        try:
            view = inventory.pool_view((result.driver, result.pool))
        except InventoryError as error:
            yield Conflict(device, f"is in a pool that cannot be understood: {error}")
            continue
        number = view.number_of(device) if view is not None else None
        if view is None or number is None:
            yield Conflict(device, "is in no complete pool now")
            continue
        published = view.device(number)
        shared = result.share_id is not None and bool(published.allow_multiple_allocations)
        holdings = inventory.holdings
        holders = holdings.holding_alone(device) if shared else holdings.holders(device)
        if others := _without(holders, claim):
            yield Conflict(device, "is held by", others)
            continue
        if shared:
            yield from _short_capacity(view, number, published, claim)
        yield from _short_counters(view, number, published, claim)


def _short_capacity(view: NodeView, number: int, published: Device, claim: str) -> Iterator[Conflict]:
    for name, amount in view.occupancy.consumed.get(number, {}).items():
        capacity = published.capacity.get(name)
        has = capacity.value if capacity is not None else Quantity(0)
        if amount > has.nano:
            would = Quantity.from_nano(amount, has.format)
            problem = f"has {has} of {name}, its shares would take {would}; it is shared by"
            yield Conflict(view.device_id(number), problem, _without(view.holders(number), claim))


def _short_counters(view: NodeView, number: int, published: Device, claim: str) -> Iterator[Conflict]:
    for consumption in published.consumes_counters:
        name = consumption.counter_set
        short = [one for one in consumption.counters if view.occupancy.counters[0, name, one] < 0]
        problem = f"needs more of {', '.join(short)} than counter set {name} has left; it is used by" if short else ""
        if view.occupancy.groups.get((0, name)) == frozenset():
            problem = f"goes with none of the devices that use counter set {name}, of"
        if problem:
            users = {
                holder
                for other in range(view.size)
                if any(one.counter_set == name for one in view.device(other).consumes_counters)
                for holder in view.holders(other)
            }
            yield Conflict(view.device_id(number), problem, _without(sorted(users), claim))


def _without(holders: Sequence[str], claim: str) -> tuple[str, ...]:
    return tuple(holder for holder in holders if holder != claim)


def _named(holders: Sequence[str]) -> str:
    if not holders:
        return ""
    more = f" and {len(holders) - _SHOWN} more" if len(holders) > _SHOWN else ""
    return f" claim{'s' if len(holders) > 1 else ''} {', '.join(holders[:_SHOWN])}{more}"
