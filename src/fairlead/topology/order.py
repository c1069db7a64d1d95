"""The order of levels, widest first: what the rules say, and where they say nothing, how domains lie in each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise


def looped(levels: Sequence[str], chains: Iterable[Sequence[str]]) -> set[str]:
    """The levels that are above themselves."""
    below = _below(levels, chains)
    return {level for level in levels if level in below[level]}


def ordered(levels: Sequence[str], chains: Iterable[Sequence[str]], within: Callable[[str, str], bool]) -> list[str]:
    """The levels, widest first.

    Args:
        levels: without loops.
        chains: orders of some of them, widest first.
        within: whether each domain of the first level lies in one domain of the second.
    """
    below = _below(levels, chains)
    left = list(levels)
    made: list[str] = []
    while left:
        free = [level for level in left if not any(level in below[other] for other in left)]
        widest = next((one for one in free if all(other == one or within(other, one) for other in free)), free[0])
        made.append(widest)
        left.remove(widest)
    return made


def related(levels: Sequence[str], chains: Iterable[Sequence[str]]) -> Mapping[str, set[str]]:
    """For each level those that the chains put below it."""
    return _below(levels, chains)


def _below(levels: Sequence[str], chains: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    known = set(levels)
    next_below: dict[str, set[str]] = {level: set() for level in levels}
    for chain in chains:
        kept = [level for level in chain if level in known]
        for above, under in pairwise(kept):
            next_below[above].add(under)
    below: dict[str, set[str]] = {}
    for level in levels:
        seen: set[str] = set()
        grow = list(next_below[level])
        while grow:
            one = grow.pop()
            if one not in seen:
                seen.add(one)
                grow.extend(next_below[one])
        below[level] = seen
    return below
