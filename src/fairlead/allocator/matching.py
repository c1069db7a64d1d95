"""Whether demands on a common supply can all be met: Hall's condition, by augmenting paths over demands.

A demand is a set of items and how many different ones of it are needed; an item serves one demand. Items are bits.
"""

from __future__ import annotations

from collections.abc import Sequence

Demand = tuple[int, int]
"""Items that serve it, and how many it needs."""


def unmet(demands: Sequence[Demand]) -> list[int]:
    """The demands that together need more items than there are for them; empty when all can be met.

    Returns:
        Positions in `demands`, ascending: their needs exceed the number of items in the union of their sets.
    """
    if _obviously_met(demands):
        return []
    given = [0] * len(demands)
    free = 0
    for items, _ in demands:
        free |= items
    for position, (_, need) in enumerate(demands):
        for _ in range(need):
            item, reached = _hand_over(position, demands, given, free)
            if not item:
                return reached
            free ^= item
    return []


def _obviously_met(demands: Sequence[Demand]) -> bool:
    """Each demand finds enough even when all demands that overlap with it have taken theirs."""
    for items, need in demands:
        if need and items.bit_count() < sum(other_need for other, other_need in demands if other & items):
            return False
    return True


def _hand_over(start: int, demands: Sequence[Demand], given: list[int], free: int) -> tuple[int, list[int]]:
    """Gives `start` one more item; others pass items on along the shortest chain that ends at a free one.

    Returns:
        The item that is no longer free, or 0 and the demands that were reached.
    """
    passes: dict[int, tuple[int, int]] = {start: (start, 0)}
    """By demand: to whom it would pass an item, and which."""
    queue = [start]
    for demand in queue:
        items = demands[demand][0] & ~given[demand]
        if found := items & free:
            taken = item = found & -found
            while True:
                given[demand] |= item
                if demand == start:
                    return taken, []
                receiver, passed = passes[demand]
                given[demand] &= ~passed
                demand, item = receiver, passed
        for other, have in enumerate(given):
            if other not in passes and (common := items & have):
                passes[other] = (demand, common & -common)
                queue.append(other)
    return 0, sorted(passes)
