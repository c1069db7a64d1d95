"""What is left of a node: CPU, memory, and of each device the part that is free.

A device that is given as a whole is free or not. Of one that is shared, what is left is what is left of the capacity
that is used most; where a device has several capacities, whether one more share fits is told by all of them. A device
that draws on counters is free while its counter sets can still pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView, Occupancy
from fairlead.placement.node import NodeState

UNIT: Final = 10**9
"""A whole device. What is left and what is asked for are both rounded down, so nothing that fits is overlooked."""

Free = tuple[int, ...]
"""By device number, what is left of it, in units of 10^-9 of the device."""

Capacities = Mapping[int, tuple[int, ...]]
"""By number of a shared device with several capacities, parts of each capacity, in units of 10^-9 of it."""

Amount = int | float
"""An amount in units of 10^-9; infinity where a node does not say how much it has."""


class Left(NamedTuple):
    """What pods have left of one node."""

    cpu: Amount
    memory: Amount
    free: Free
    capacities: Capacities = {}  # noqa: RUF012 - never changed


def _left(node: NodeState, resource: str) -> Amount:
    have = node.allocatable.get(resource)
    return math.inf if have is None else have - node.used.get(resource, 0)


def left_of(node: NodeState, view: NodeView) -> Left:
    """What is left of a node.

    Args:
        node: the node.
        view: its devices as they are now.
    """
    free, capacities = _devices_left(view)
    return Left(_left(node, "cpu"), _left(node, "memory"), free, capacities)


def _devices_left(view: NodeView) -> tuple[Free, Capacities]:
    occupancy = view.occupancy
    taken = occupancy.held | (occupancy.exhausted & ~occupancy.started) | ~view.on_node
    parts = [0 if taken >> number & 1 else UNIT for number in range(view.size)]
    capacities: dict[int, tuple[int, ...]] = {}
    for number in bits(view.shared & ~taken):
        consumed = occupancy.consumed.get(number)
        device = view.device(number)
        if consumed is None and len(device.capacity) <= 1:
            continue
        left = tuple(
            max(0, capacity.value.nano - (consumed or {}).get(name, 0)) * UNIT // (capacity.value.nano or 1)
            for name, capacity in device.capacity.items()
        )
        if left:
            parts[number] = min(left)
        if len(left) > 1:
            capacities[number] = left
    for number in bits(view.counting & ~taken & ~occupancy.started):
        if not _can_pay(view, number, occupancy):
            parts[number] = 0
            capacities.pop(number, None)
    return tuple(parts), capacities


def _can_pay(view: NodeView, number: int, occupancy: Occupancy) -> bool:
    pool = view.pool_number(number)
    return all(
        counter.value.nano <= occupancy.counters.get((pool, consumption.counter_set, name), 0)
        for consumption in view.device(number).consumes_counters
        for name, counter in consumption.counters.items()
    )
