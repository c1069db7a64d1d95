"""Fills bins one after another until a mix has found room, or none of their ways is left.

Counts that failed with the bins that are left are remembered for the whole decision; untouched bins come last, so most
states have that end in common. The last bin has most left, and so most ways to fill it; where it is one device that
serves many, whether what remains has room in it is seen without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import mul

from fairlead.allocator.bins import Bin, Bins, TooManyError
from fairlead.allocator.courses import Course
from fairlead.allocator.mixes import Counts, Kind
from fairlead.allocator.patterns import Patterns, Sort, is_simple, room_at

_MOST_WEIGHTS = 3
"""Prices of kinds, beside the plain ones, at which what is wanted is compared with what the bins could hold."""

_MANY_WAYS = 100
"""Ways to fill a bin from which on the best at some prices is computed, if it can be."""

_MOST_LEARNED = 3
"""Prices that are tried before others are looked for, which costs about as much as trying so many."""


class Filler:
    """What was learned in one decision."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self.patterns = Patterns()
        self.recent: list[dict[Kind, int]] = []
        """Prices of kinds that proved something for many mixes; the last ones first."""
        self._failed: set[object] = set()
        self._ends: dict[tuple[Course, ...], int] = {}
        """A number for each sequence of courses at the end."""
        self._worths: dict[object, list[int]] = {}
        self._effort = 0
        self._steps = 0
        self._before = 0

    @property
    def steps(self) -> int:
        """How many steps were taken since the beginning."""
        return self._steps + self._bins.work + self.patterns.work - self._before

    def begin(self, effort: int, spent: int) -> None:
        """Starts counting steps.

        Args:
            effort: how many may be taken.
            spent: how many were taken already.
        """
        self._effort, self._steps, self._before = effort, spent, self._bins.work + self.patterns.work

    def ends(self, courses: Sequence[Course]) -> list[int]:
        """For each course, a number that is the same where it and all after it are."""
        return [self._ends.setdefault(tuple(courses[place:]), len(self._ends)) for place in range(len(courses))]

    def fill(
        self,
        mix: Counts,
        courses: Sequence[Course],
        ends: Sequence[int],
        weights: Sequence[Counts],
        repeats: Counts,
        learned: list[Counts],
    ) -> list[Counts] | None:
        """What goes into each bin so that the whole mix has room; None where it has none.

        Args:
            mix: what is wanted.
            courses: the bins in the order in which they are filled.
            ends: of those courses.
            weights: prices of kinds at which what is wanted is compared with what the bins could hold.
            repeats: by kind, how many demands are of it.
            learned: prices that proved others on these courses too much; those that prove it of this one come first.

        Raises:
            TooManyError: it took too many steps, or a bin has too many ways to be filled.
        """
        if self._too_much(mix, courses, repeats, learned):
            return None
        lazy = bool(courses and courses[-1].bin.shares)
        ways: list[list[Counts]] = []
        worths: list[list[int]] = []
        for place, course in enumerate(courses):
            most = course.most(mix, repeats)
            ours = [] if lazy and place + 1 == len(courses) else self._bins.ways(course.bin, most)
            ways.append(ours)
            worths.append(self._worth(course, most, weights, ours))
        # What all bins from each one on could hold at most.
        for place in range(len(courses) - 2, -1, -1):
            worths[place] = [here + later for here, later in zip(worths[place], worths[place + 1], strict=True)]
        failed = self._failed

        def fill(place: int, rest: Counts) -> list[Counts] | None:
            if not any(rest):
                return []
            if place == len(courses):
                return None
            course = courses[place]
            limits = repeats if course.bin.shares else rest
            if lazy and place + 1 == len(courses):
                return [rest] if _holds(course, rest, repeats) else None
            key = rest, ends[place], tuple([r if r < n else -1 for n, r in zip(rest, repeats, strict=True)])
            if key in failed:
                return None
            for prices, worth in zip(weights, worths[place], strict=True):
                if sum(map(mul, rest, prices)) > worth:
                    break
            else:
                tried: set[Counts] = set()
                for way in ways[place]:
                    after = list(rest)
                    for chain, count in zip(course.chains, way, strict=True):
                        for kind in chain:
                            served = min(count, after[kind], limits[kind])
                            after[kind] -= served
                            count -= served
                    still = tuple(after)
                    if still in tried:
                        continue
                    tried.add(still)
                    self._steps += 1
                    if self._steps > self._effort:
                        raise TooManyError
                    later = fill(place + 1, still)
                    if later is not None:
                        return [tuple([a - b for a, b in zip(rest, still, strict=True)]), *later]
            failed.add(key)
            return None

        return fill(0, mix)

    def sorts(self, courses: Sequence[Course], mix: Counts, repeats: Counts) -> list[Sort]:
        """The bins by what they look like.

        Raises:
            TooManyError: one has too many ways to be filled.
        """
        alike: dict[tuple[Course, Counts], int] = {}
        for course in courses:
            key = course, course.most(mix, repeats)
            alike[key] = alike.get(key, 0) + 1
        made = []
        for (course, most), times in alike.items():
            # To try all ways at some prices costs more than to compute the best where they are many.
            many = is_simple(course.bin) and prod([count + 1 for count in most]) > _MANY_WAYS
            ways = [] if many else self._bins.ways(course.bin, most)
            made.append(Sort(times, course.chains, ways, course.bin, most))
        return made

    def _too_much(self, mix: Counts, courses: Sequence[Course], repeats: Counts, learned: list[Counts]) -> bool:
        """Whether prices are known or found that prove that the bins cannot hold the mix."""
        try:
            sorts = self.sorts(courses, mix, repeats)
        except TooManyError:
            return False
        for place, prices in enumerate(learned):
            if sum(map(mul, mix, prices)) > room_at(prices, sorts):
                learned.insert(0, learned.pop(place))
                return True
        found = self.patterns.prices_against(mix, sorts)
        if found is None:
            return False
        learned.insert(0, found)
        del learned[_MOST_LEARNED:]
        return True

    def worth(self, courses: Sequence[Course], mix: Counts, weights: Sequence[Counts], repeats: Counts) -> list[int]:
        """By weights, what all bins together could hold at most of the mix."""
        total = [0] * len(weights)
        for course in courses:
            most = course.most(mix, repeats)
            ways = [] if course.bin.shares else self._bins.ways(course.bin, most)
            total = [a + b for a, b in zip(total, self._worth(course, most, weights, ways), strict=True)]
        return total

    def _worth(self, course: Course, most: Counts, weights: Sequence[Counts], ways: Sequence[Counts]) -> list[int]:
        """By weights, what the bin could hold at most."""
        prices = tuple([tuple([max([weight[k] for k in chain]) for chain in course.chains]) for weight in weights])
        key = course.bin, most, prices
        known = self._worths.get(key)
        if known is None:
            if ways:
                known = [max([sum(map(mul, way, each)) for way in ways]) for each in prices]
            else:
                known = [_most_worth(course.bin, most, each) for each in prices]
            self._steps += len(ways) * len(weights) >> 5
            self._worths[key] = known
        return known


def weights_of(kinds: int, courses: Sequence[Course]) -> list[Counts]:
    """Prices of kinds: each kind alone, all the same, and what they cost in some of the bins."""
    weights = [tuple([int(kind == other) for other in range(kinds)]) for kind in range(kinds)]
    weights.append((1,) * kinds)
    costs: dict[Counts, None] = {}
    for course in courses:
        if course.bin.shares and len(course.bin.fields) == 1:
            needs = dict(course.bin.shares)
            cost = [0] * kinds
            for place, chain in enumerate(course.chains):
                for kind in chain:
                    cost[kind] = needs[place]
            costs[tuple(cost)] = None
    return weights + [cost for cost in costs if len(set(cost)) > 2][:_MOST_WEIGHTS]


def _holds(course: Course, rest: Counts, repeats: Counts) -> bool:
    """Whether the device that serves many has room for all this."""
    counts = tuple([sum([rest[kind] for kind in chain]) for chain in course.chains])
    return sum(counts) == sum(rest) and counts == course.most(rest, repeats) and course.bin.fits(counts)


def _most_worth(one: Bin, most: Counts, prices: Counts) -> int:
    """What a device that serves many could hold at most, if shares could be cut."""
    best: int = sum(map(mul, most, prices))
    for width, place in one.fields:
        field = (1 << width) - 1
        left = one.left >> place & field
        worth = 0
        offers = sorted(
            [(need >> place & field, kind) for kind, need in one.shares if most[kind] and prices[kind]],
            key=lambda offer: float(offer[0] / prices[offer[1]]),
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
