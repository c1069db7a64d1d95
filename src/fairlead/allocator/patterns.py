"""Prices of kinds: a proof that bins cannot hold a mix, whichever of their ways each is filled.

Give each kind a price. What is wanted then has a worth, and no bin holds more than the worth of its best way to be
filled; where all bins together hold less than what is wanted, there is no room. Prices of accounts (`prices`) let
shares be cut, so that a card of 9 has room for two and a quarter of 4; a way to fill a bin is whole. (It is the dual of
the linear relaxation that Gilmore and Gomory gave of cutting stock, with the few ways of a bin in place of columns that
are generated.)

Prices are looked for by the simplex method on few rows, one for each kind and each sort of bin, in floats: what share
of what is wanted could be held if bins could be filled in part one way and in part another. They are checked with whole
numbers, and then good against any mix of the same kinds in the same bins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from operator import mul
from typing import NamedTuple

from fairlead.allocator.bins import Bin
from fairlead.allocator.mixes import Counts

_MOST_ROWS = 48
"""Kinds and sorts of bins up to which prices are looked for."""

_MOST_ROUNDS = 120
"""Steps of the simplex method before it is given up."""

_MOST_UNITS = 512
"""Units of an account up to which the best way to fill a bin is computed where there are many."""

_NUDGE = 1e-4
"""How much of each kind there seems to be beside the bins, so that no step is one on the spot. Prices stay valid."""

_GOLDEN = 0.6180339887498949
"""A number whose multiples are far from whole ones."""

_TINY = 1e-7
"""What is nothing among floats."""

_FINEST = 1 << 20
"""The worth in whole numbers of all that is wanted, about."""


Cheapest = Callable[[Sequence[float]], tuple[float, Counts]]
"""At prices of kinds, what costs least of all that might be wanted, and what that is."""


class Sort(NamedTuple):
    """Bins that look alike."""

    times: int
    """How many there are."""
    chains: Sequence[Sequence[int]]
    """The kinds that are told apart only outside these bins."""
    ways: Sequence[Counts]
    """The ways to fill one, by chain; empty where there are too many, and the best is computed from the bin."""
    bin: Bin
    most: Counts
    """By chain, how many one may hold, whatever its accounts say."""

    def best(self, prices: Sequence[float]) -> tuple[float, Counts]:
        """The way that is worth most at these prices of kinds, and what it is worth; whole where the prices are."""
        each = [max([prices[kind] for kind in chain]) for chain in self.chains]
        if not self.ways:
            return _fullest(self.bin, self.most, each)
        worths = [sum(map(mul, way, each)) for way in self.ways]
        worth = max(worths)
        return worth, self.ways[worths.index(worth)]


def is_simple(one: Bin) -> bool:
    """Whether the best way to fill the bin can be computed: a device that serves many, one account of few units."""
    return bool(one.shares) and len(one.fields) == 1 and _capacity(one) <= _MOST_UNITS


def _capacity(one: Bin) -> int:
    width, place = one.fields[0]
    return one.left >> place & (1 << width) - 1


def _fullest(one: Bin, most: Counts, each: Sequence[float]) -> tuple[float, Counts]:
    """The bounded knapsack: what is worth most in a bin with one account."""
    width, place = one.fields[0]
    capacity = _capacity(one)
    counts = [0] * len(most)
    values: list[float] = [0] * (capacity + 1)
    free: float = 0
    taken: list[tuple[int, int, int, list[float]]] = []
    for chain, need in one.shares:
        cost = need >> place & (1 << width) - 1
        limit = most[chain] if not cost else min(most[chain], capacity // cost)
        if not limit or not each[chain]:
            continue
        if not cost:
            counts[chain] = limit
            free += limit * each[chain]
            continue
        # Every number up to the limit is a sum of these.
        times = 1
        while limit:
            times = min(times, limit)
            limit -= times
            worth, size = each[chain] * times, cost * times
            taken.append((chain, times, size, values))
            values = values[:size] + [
                without if without > (held := other + worth) else held
                for without, other in zip(values[size:], values, strict=False)
            ]
            times *= 2
    left = capacity
    best = values[left]
    for chain, times, size, before in reversed(taken):
        if values[left] != before[left]:
            counts[chain] += times
            left -= size
        values = before
    return best + free, tuple(counts)


class Patterns:
    """Looks for prices, and counts what that costs."""

    def __init__(self) -> None:
        self.work = 0
        """How much was looked at."""

    def prices_against(self, wanted: Counts, sorts: Sequence[Sort], others: Sequence[Counts] = ()) -> Counts | None:
        """Whole-numbered prices of kinds at which what is wanted is worth more than the bins could hold.

        Args:
            wanted: how many of each kind.
            sorts: the bins.
            others: what might be wanted instead; prices that say the same of many of those are preferred.

        Returns:
            None where the bins could hold it in parts, or where it took too long to see.
        """
        rows = len(wanted) + len(sorts)
        if rows > _MOST_ROWS:
            return None
        whole = self._prices(wanted, sorts, _among(others))
        return whole if whole is not None and sum(map(mul, wanted, whole)) > room_at(whole, sorts) else None

    def prices_against_all(self, kinds: int, sorts: Sequence[Sort], cheapest: Cheapest) -> Counts | None:
        """The same for everything that might be wanted at once.

        Args:
            kinds: how many there are.
            sorts: the bins.
            cheapest: finds what costs least, of all that might be wanted.
        """
        if kinds + len(sorts) > _MOST_ROWS:
            return None
        whole = self._prices(cheapest([1.0] * kinds)[1], sorts, cheapest)
        return whole if whole is not None and cheapest(whole)[0] > room_at(whole, sorts) else None

    def _prices(self, wanted: Counts, sorts: Sequence[Sort], cheapest: Cheapest) -> Counts | None:
        simplex = _Simplex(sorts, len(wanted))
        prices = simplex.prices(wanted, cheapest)
        rows = len(wanted) + len(sorts)
        self.work += simplex.rounds * (rows * rows + 4 * sum([len(sort.ways) or _MOST_UNITS for sort in sorts])) >> 7
        return tuple([round(price * _FINEST) for price in prices]) if prices is not None else None


def _among(mixes: Sequence[Counts]) -> Cheapest:
    """Finds the cheapest of what is listed; infinitely dear where nothing is."""

    def cheapest(prices: Sequence[float]) -> tuple[float, Counts]:
        return min([(sum(map(mul, one, prices)), one) for one in mixes], default=(inf, ()))

    return cheapest


def room_at(prices: Counts, sorts: Sequence[Sort]) -> int:
    """What all bins together hold at most, at whole-numbered prices of kinds."""
    return sum([sort.times * int(sort.best(prices)[0]) for sort in sorts])


class _Simplex:
    """How large a share of what is wanted the bins hold, if they could be filled in part one way and in part another.

    The rows say that of each kind no more is served than is held, and that of each sort no more bins are filled than
    there are. What is wanted may itself be a mixture: what the bins cannot hold of any mixture, they cannot hold of any
    part of it. A share is basic from the first step on, and the rows of all that are basic add up to the prices.
    """

    def __init__(self, sorts: Sequence[Sort], kinds: int) -> None:
        self._sorts = sorts
        self._kinds = kinds
        rows = range(kinds + len(sorts))
        self._inverse = [[float(row == place) for place in rows] for row in rows]
        there = [0] * kinds + [sort.times for sort in sorts]
        self.rounds = 0
        """How many steps were taken."""
        # No two rows are alike, so that steps on the spot do not go round in a circle.
        self._right = [amount + _NUDGE * (1 + (place + 1) * _GOLDEN % 1) for place, amount in enumerate(there)]
        self._shares: set[int] = set()
        """The rows in which shares are basic."""

    def prices(self, wanted: Counts, cheapest: Cheapest) -> list[float] | None:
        """Prices at which all that is wanted is worth more than the bins hold; None where the share is the whole."""
        found: list[float] | None = None
        mixed = [wanted]
        if not self._enter([(kind, float(count)) for kind, count in enumerate(wanted) if count], True):
            return None
        while self.rounds < _MOST_ROUNDS:
            self.rounds += 1
            if sum([self._right[row] for row in self._shares]) >= 1:
                return found
            duals = [sum(column) for column in zip(*[self._inverse[row] for row in self._shares], strict=True)]
            least = min(duals)
            if least < -_TINY:
                # To have some left over is worth something.
                if not self._enter([(duals.index(least), 1.0)]):
                    return found
                continue
            prices = [max(0.0, dual) for dual in duals[: self._kinds]]
            most, held, column = self._best_way(prices, duals)
            worths = [sum(map(mul, one, prices)) for one in mixed]
            if held < (1 - _TINY) * min(worths):
                found = prices
                cost, other = cheapest(prices)
                if cost > held:
                    return found
                mixed.append(other)
                if not self._enter([(kind, float(count)) for kind, count in enumerate(other) if count], True):
                    return found
                continue
            dearest = min(worths)
            if 1 - dearest > max(most, _TINY):
                one = mixed[worths.index(dearest)]
                if not self._enter([(kind, float(count)) for kind, count in enumerate(one) if count], True):
                    return found
            elif not column or not self._enter(column):
                return found
        return found

    def _best_way(self, prices: list[float], duals: list[float]) -> tuple[float, float, list[tuple[int, float]]]:
        """How much the best way to fill a bin is worth more than it costs, what all bins hold, and its column."""
        most = _TINY
        column: list[tuple[int, float]] = []
        held = 0.0
        for place, sort in enumerate(self._sorts, self._kinds):
            worth, way = sort.best(prices)
            held += sort.times * worth
            if worth - duals[place] > most:
                most, column = worth - duals[place], [(place, 1.0)]
                for chain, count in zip(sort.chains, way, strict=True):
                    if count:
                        column.append((max(chain, key=prices.__getitem__), -float(count)))
        return most, held, column

    def _enter(self, column: Sequence[tuple[int, float]], share: bool = False) -> bool:
        """Lets a column into the basis, which is a share of something wanted or not; False where nothing limits it."""
        change = [sum([line[row] * factor for row, factor in column]) for line in self._inverse]
        ratios = [
            (right / by, row) for row, (right, by) in enumerate(zip(self._right, change, strict=True)) if by > _TINY
        ]
        if not ratios:
            return False
        _, out = min(ratios)
        self._shares.discard(out)
        if share:
            self._shares.add(out)
        by = change[out]
        line = self._inverse[out] = [entry / by for entry in self._inverse[out]]
        right = self._right[out] = self._right[out] / by
        for row, factor in enumerate(change):
            if factor and row != out:
                self._inverse[row] = [
                    entry - factor * other for entry, other in zip(self._inverse[row], line, strict=True)
                ]
                self._right[row] = max(0.0, self._right[row] - factor * right)
        return True
