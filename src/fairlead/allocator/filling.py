"""Fills bins one after another until a mix has found room, or none of their ways is left.

Counts that failed with the bins that are left are remembered for the whole decision; untouched bins come last, so most
states have that end in common. The last bin has most left, and so most ways to fill it; where it is one device that
serves many, whether what remains has room in it is seen without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import gt, mul

from fairlead.allocator.bins import Bin, Bins, TooManyError
from fairlead.allocator.mixes import Counts

_MOST_WEIGHTS = 3
"""Prices of kinds, beside the plain ones, at which what is wanted is compared with what the bins could hold."""


class Filler:
    """What was learned in one decision."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._failed: set[object] = set()
        self._ends: dict[tuple[Bin, ...], int] = {}
        """A number for each sequence of bins at the end."""
        self._worths: dict[object, list[int]] = {}
        self._effort = 0
        self._steps = 0
        self._before = 0

    @property
    def steps(self) -> int:
        """How many steps were taken since the beginning."""
        return self._steps + (self._bins.work - self._before >> 4)

    def begin(self, effort: int, spent: int) -> None:
        """Starts counting steps.

        Args:
            effort: how many may be taken.
            spent: how many were taken already.
        """
        self._effort, self._steps, self._before = effort, spent, self._bins.work

    def fill(self, mix: Counts, bins: Sequence[Bin], repeats: Counts) -> list[Counts] | None:
        """What goes into each bin so that the whole mix has room; None where it has none.

        Args:
            mix: what is wanted.
            bins: the bins in the order in which they are filled.
            repeats: by kind, how often a device that serves many can serve it.

        Raises:
            TooManyError: it took too many steps, or a bin has too many ways to be filled.
        """
        most = tuple(map(min, mix, repeats))
        lazy = bool(bins and bins[-1].shares)
        ways = [self._bins.ways(one, most) for one in (bins[:-1] if lazy else bins)]
        ends = [self._ends.setdefault(tuple(bins[place:]), len(self._ends)) for place in range(len(bins))]
        weights = _weights(mix, bins)
        worths = [
            self._worth(one, most, weights, None if lazy and place + 1 == len(bins) else ways[place])
            for place, one in enumerate(bins)
        ]
        # What all bins from each one on could hold at most.
        for place in range(len(bins) - 2, -1, -1):
            worths[place] = [here + later for here, later in zip(worths[place], worths[place + 1], strict=True)]

        def fill(place: int, rest: Counts) -> list[Counts] | None:
            if not any(rest):
                return []
            if place == len(bins):
                return None
            if lazy and place + 1 == len(bins):
                return [rest] if bins[place].has_room(rest, repeats) else None
            key = rest, ends[place], repeats if any(map(gt, rest, repeats)) else None
            if key in self._failed:
                return None
            if not any(
                sum(map(mul, rest, prices)) > worth for prices, worth in zip(weights, worths[place], strict=True)
            ):
                tried = set()
                for way in ways[place]:
                    after = tuple([max(0, wanted - served) for wanted, served in zip(rest, way, strict=True)])
                    if after in tried:
                        continue
                    tried.add(after)
                    self._steps += 1
                    if self.steps > self._effort:
                        raise TooManyError
                    later = fill(place + 1, after)
                    if later is not None:
                        return [way, *later]
            self._failed.add(key)
            return None

        return fill(0, mix)

    def _worth(self, one: Bin, most: Counts, weights: Sequence[Counts], ways: Sequence[Counts] | None) -> list[int]:
        """By weights, what the bin could hold at most."""
        key = one, most, tuple(weights)
        known = self._worths.get(key)
        if known is None:
            if ways is None:
                known = [_most_worth(one, most, prices) for prices in weights]
            else:
                known = [max([sum(map(mul, way, prices)) for way in ways], default=0) for prices in weights]
                self._steps += len(ways) * len(weights) >> 5
            self._worths[key] = known
        return known


def _weights(mix: Counts, bins: Sequence[Bin]) -> list[Counts]:
    """Prices of kinds: each kind alone, all the same, and what they cost in some of the bins."""
    kinds = len(mix)
    weights = [tuple([int(kind == other) for other in range(kinds)]) for kind in range(kinds) if mix[kind]]
    weights.append((1,) * kinds)
    costs = {}
    for one in bins:
        if one.shares and len(one.fields) == 1:
            needs = dict(one.shares)
            costs[tuple([needs.get(kind, 0) if mix[kind] else 0 for kind in range(kinds)])] = None
    return weights + [cost for cost in costs if len(set(cost)) > 2][:_MOST_WEIGHTS]


def _most_worth(one: Bin, most: Counts, prices: Counts) -> int:
    """What a device that serves many could hold at most, if shares could be cut."""
    best = sum(map(mul, most, prices))
    served = dict(one.shares)
    for width, place in one.fields:
        field = (1 << width) - 1
        left = one.left >> place & field
        worth = 0
        offers = sorted(
            [(need >> place & field, kind) for kind, need in served.items() if most[kind] and prices[kind]],
            key=lambda offer: offer[0] / prices[offer[1]],
        )
        for need, kind in offers:
            count = most[kind] if not need else min(most[kind], left // need)
            worth += count * prices[kind]
            left -= count * need
            if count < most[kind]:
                worth += -(-left * prices[kind] // need)
                break
        best = min(best, worth)
    return best
