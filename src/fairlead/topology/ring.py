"""The ring through all members whose slowest hop is as fast as possible (bottleneck travelling salesman).

The answer is a weight that occurs between two members, so it is enough to ask, for each such weight from the greatest
down, whether the links at least that fast contain a ring. Exact for up to `EXACT` members, and beyond it whenever one
of the quick tests decides: a member with fewer than two links, or a part that hangs on one member, has no ring; and
(Dirac) where every member has links to half of them there is one. What is left beyond `EXACT` is decided by a search
with a limit and may say less than the best ring, never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

EXACT: Final = 12
"""Up to so many members the answer is exact."""
_STEPS: Final = 20_000
"""Steps of the search for larger sets, for one weight."""


def best_ring(weights: Sequence[Sequence[float]]) -> float:
    """The slowest hop of the best ring.

    Args:
        weights: symmetric matrix of two or more members; the diagonal is not read. Two members make a ring of one link.
    """
    size = len(weights)
    if size == 2:
        return weights[0][1]
    tried = sorted({weights[a][b] for a in range(size) for b in range(a)}, reverse=True)
    low, high = 0, len(tried) - 1
    # The slowest weight has all links, so it has a ring; faster ones have fewer links.
    while low < high:
        middle = (low + high) // 2
        if _has_ring(_links(weights, tried[middle])):
            high = middle
        else:
            low = middle + 1
    return tried[high]


def _links(weights: Sequence[Sequence[float]], least: float) -> list[int]:
    """For each member the set of those that it has a link to."""
    size = len(weights)
    return [sum(1 << b for b in range(size) if b != a and weights[a][b] >= least) for a in range(size)]


def _has_ring(links: Sequence[int]) -> bool:
    size = len(links)
    degrees = [near.bit_count() for near in links]
    if min(degrees) < 2 or not _holds_together(links):
        return False
    if 2 * min(degrees) >= size:
        return True
    return _exact(links) if size <= EXACT else _search(links)


def _holds_together(links: Sequence[int]) -> bool:
    """Whether the rest stays connected whichever member is left out, as it does in a ring."""
    everyone = (1 << len(links)) - 1
    for out in range(len(links)):
        rest = everyone & ~(1 << out)
        seen = grown = rest & -rest
        while grown:
            member = (grown & -grown).bit_length() - 1
            grown &= grown - 1
            new = links[member] & rest & ~seen
            seen |= new
            grown |= new
        if seen != rest:
            return False
    return True


def _exact(links: Sequence[int]) -> bool:
    """Held and Karp: for each set of members with member 0, where a path from 0 through all of them can end."""
    size = len(links)
    ends = {1: 1}
    for _ in range(size - 1):
        longer: dict[int, int] = {}
        for members, last in ends.items():
            while last:
                member = (last & -last).bit_length() - 1
                last &= last - 1
                steps = links[member] & ~members
                while steps:
                    step = steps & -steps
                    steps &= steps - 1
                    longer[members | step] = longer.get(members | step, 0) | step
        ends = longer
    return any(last & links[0] for last in ends.values())


def _search(links: Sequence[int]) -> bool:
    """Depth first, to the member with the fewest ways on first (Warnsdorff), giving up after a number of steps."""
    everyone = (1 << len(links)) - 1
    left = _STEPS

    def go(member: int, visited: int) -> bool:
        nonlocal left
        if visited == everyone:
            return bool(links[member] & 1)
        left -= 1
        ways = [b for b in range(len(links)) if links[member] & ~visited & (1 << b)]
        ways.sort(key=lambda way: ((links[way] & ~visited).bit_count(), way))
        return any(left > 0 and go(way, visited | 1 << way) for way in ways)

    return go(0, 1)
