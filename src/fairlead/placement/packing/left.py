"""What is left of a node: CPU, memory, and of each device the part that is free.

A device that is given as a whole is free or not. Of one that is shared, every share takes something of every capacity
that the device has, so what is left of it is what is left of the capacity that is used most. A device that draws on
counters is free while its counter sets can still pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from fairlead.inventory import NodeView, Occupancy
from fairlead.placement.node import NodeState

UNIT: Final = 10**9
"""A whole device. What is left and what is asked for are both rounded down, so nothing that fits is overlooked."""

Free = tuple[int, ...]
"""By device number, what is left of it, in units of 10^-9 of the device."""

Amount = int | float
"""An amount in units of 10^-9; infinity where a node does not say how much it has."""


class Left(NamedTuple):
    """What pods have left of one node."""

    cpu: Amount
    memory: Amount
    free: Free


def cpu_left(node: NodeState) -> Amount:
    """What is left of the node's CPU."""
    return _left(node, "cpu")


def memory_left(node: NodeState) -> Amount:
    """What is left of the node's memory."""
    return _left(node, "memory")


def _left(node: NodeState, resource: str) -> Amount:
    have = node.allocatable.get(resource)
    return math.inf if have is None else have - node.used.get(resource, 0)


def free_parts(view: NodeView) -> Free:
    """What is left of every device of the node."""
    occupancy = view.occupancy
    taken = occupancy.held | (occupancy.exhausted & ~occupancy.started) | ~view.on_node
    parts = [0 if taken >> number & 1 else UNIT for number in range(view.size)]
    for number, consumed in occupancy.consumed.items():
        if parts[number] and view.shared >> number & 1:
            parts[number] = _part_left(view, number, consumed)
    if view.counting:
        for number in range(view.size):
            if view.counting >> number & 1 and not occupancy.started >> number & 1 and parts[number]:
                parts[number] = UNIT if _can_pay(view, number, occupancy) else 0
    return tuple(parts)


def _part_left(view: NodeView, number: int, consumed: Mapping[str, int]) -> int:
    least = UNIT
    for name, capacity in view.device(number).capacity.items():
        have = capacity.value.nano
        if have > 0:
            least = min(least, max(0, have - consumed.get(name, 0)) * UNIT // have)
    return least


def _can_pay(view: NodeView, number: int, occupancy: Occupancy) -> bool:
    pool = view.pool_number(number)
    return all(
        counter.value.nano <= occupancy.counters.get((pool, consumption.counter_set, name), 0)
        for consumption in view.device(number).consumes_counters
        for name, counter in consumption.counters.items()
    )
