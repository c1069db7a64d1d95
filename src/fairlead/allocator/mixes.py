"""How many devices of each kind demands come to, for every way to choose among their alternatives and values.

Everything of one cost that the same devices serve is one kind, so what is to be packed is a few counts. A mix is what
one choice of plans for all units (`plans`) comes to; where demands have alternatives or a rule has several values,
there are several mixes, and one of them must find room (`packing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import add, mul

from fairlead.allocator.demand import Demand
from fairlead.allocator.moves import State
from fairlead.allocator.plans import Option, Plan, Unit
from fairlead.allocator.request import MAX_RESULTS

Kind = tuple[int, int, int]
"""Tariff, candidates and, where devices among those serve many, how many different ones a demand wants; else 0. What
differs in nothing else is of one kind."""

Counts = tuple[int, ...]
"""How many of each kind; in a mix, then how many devices each claim has that may reach its limit."""

_FEW = 64
"""Mixes up to which those are looked for that others make needless."""


class Mixes:
    """The mixes of units."""

    def __init__(self, units: Sequence[Unit], in_blocks: int, shared: int, state: State) -> None:
        """Looks at what each unit can come to.

        Args:
            units: everything that is to be packed.
            in_blocks: the devices that cost something; others cost nothing, and a demand takes those first.
            shared: the devices that serve many.
            state: what is chosen.
        """
        self.in_blocks = in_blocks
        self._shared = shared
        options = {option: None for unit in units for plan in unit.plans for ours in plan for option in ours}
        self.kinds: list[Kind] = list(dict.fromkeys([self.kind(option) for option in options if self.inside(option)]))
        """The kinds, by their place in the counts."""
        self._claims = _near_limit([demand for unit in units for demand in unit.demands], state)
        self._vectors = {option: self._vector(option) for option in options}
        self._used = tuple([state.used_by(claim) for claim in self._claims])
        self.work = 0
        """How many sums were made."""
        self.packed = list(units)
        """The units of which the mixes are."""
        self._ways: list[dict[Counts, list[Option]]] = []
        """By packed unit, what it can come to, each with options that do."""
        self._reached: list[set[int]] = []
        known: dict[object, dict[Counts, list[Option]]] = {}
        for unit in units:
            if len(unit.demands) > 1 or unit.demands[0].claim in self._claims:
                self._ways.append(self._ways_of(unit))
            else:
                key = tuple(unit.plans[0][0]) if unit.plans else ()
                if key not in known:
                    known[key] = self._ways_of(unit)
                self._ways.append(known[key])
        self.repeats = self._most_demands()
        """By kind, how many demands could be of it."""
        most = [max(map(sum, ways), default=0) for ways in self._ways]
        self._width = max(sum(most) + sum(self._used), 2 * MAX_RESULTS).bit_length() + 1
        """Bits of a count in a sum, where counts of a mix are fields of one int."""

    @property
    def impossible(self) -> bool:
        """Whether a unit can come to nothing at all, because its demands have no value in common."""
        return not all(self._ways)

    def most(self) -> Counts:
        """By kind, the most that all units together can come to, each for itself."""
        return tuple(
            [sum([max([way[kind] for way in ways]) for ways in self._ways]) for kind in range(len(self.kinds))]
        )

    def cheapest(self, order: Sequence[int]) -> Callable[[Sequence[float]], tuple[float, Counts]]:
        """Finds what the units come to at least at given prices, and a way to come to it.

        Every unit can be looked at by itself, so this knows all mixes without making any.

        Args:
            order: the kinds in the order in which they are priced.
        """
        groups: dict[tuple[Counts, ...], int] = {}
        for ways in self._ways:
            group = tuple([tuple([way[kind] for kind in order]) for way in ways])
            groups[group] = groups.get(group, 0) + 1

        def cheapest(prices: Sequence[float]) -> tuple[float, Counts]:
            total: float = 0
            counts = [0] * len(order)
            for group, times in groups.items():
                costs = [sum(map(mul, way, prices)) for way in group]
                least = min(costs)
                total += times * least
                counts = [count + times * more for count, more in zip(counts, group[costs.index(least)], strict=True)]
            return total, tuple(counts)

        return cheapest

    def gather(self, most: int) -> None:
        """Makes the mixes.

        Args:
            most: how many may be looked at; units that would make more are left out.
        """
        units, ways_of = self.packed, self._ways
        self.packed, self._ways = [], []
        self._reached = [{self._joined((*[0] * len(self.kinds), *self._used))}]
        for unit, ways in zip(units, ways_of, strict=True):
            self._add(unit, ways, most)
        if len(self.packed) < len(units):
            self.repeats = self._most_demands()

    def kind(self, option: Option) -> Kind:
        """The kind of what the option takes of devices that cost something."""
        candidates = option[1] & self.in_blocks
        return option[0], candidates, self.inside(option) if candidates & self._shared else 0

    def inside(self, option: Option) -> int:
        """How many devices that cost something the option takes at least."""
        return max(0, option[2] - (option[1] & ~self.in_blocks).bit_count())

    def all(self) -> list[Counts]:
        """By kind alone, the mixes, small ones first; without some that cover others."""
        kinds = len(self.kinds)
        within = (1 << self._width * kinds) - 1
        field = (1 << self._width) - 1
        places = range(0, self._width * kinds, self._width)
        mixes = [
            tuple([mix >> place & field for place in places]) for mix in {one & within for one in self._reached[-1]}
        ]
        ordered = sorted(mixes, key=lambda mix: (sum(mix), mix))
        return smallest(ordered) if len(ordered) <= _FEW else ordered

    def demands(self, mix: Counts) -> Counts:
        """By kind, how many demands are of it in the mix; so often it is to be found on a device that serves many.

        Where no device holds more of a kind than that, what is packed can be dealt out among those demands, each of
        which gets as many different devices as it wants.
        """
        return tuple([count // max(1, wanted) for (_, _, wanted), count in zip(self.kinds, mix, strict=True)])

    def choices(self, mix: Counts) -> list[tuple[Demand, Option]]:
        """One way to come to this mix: an option for every demand of the packed units."""
        within = (1 << self._width * len(self.kinds)) - 1
        wanted = self._joined(mix)
        at = next(one for one in self._reached[-1] if one & within == wanted)
        chosen: list[tuple[Demand, Option]] = []
        for unit, ways, before in zip(
            reversed(self.packed), reversed(self._ways), reversed(self._reached[:-1]), strict=True
        ):
            for vector, options in ways.items():
                earlier = at - self._joined(vector)
                if earlier in before:
                    chosen += zip(unit.demands, options, strict=True)
                    at = earlier
                    break
        return chosen

    def _joined(self, counts: Counts) -> int:
        """Counts as fields of one int; no sum of what units come to outgrows its field."""
        return sum([count << place * self._width for place, count in enumerate(counts)])

    def _vector(self, option: Option) -> Counts:
        vector = [0] * (len(self.kinds) + len(self._claims))
        if inside := self.inside(option):
            vector[self.kinds.index(self.kind(option))] = inside
        return tuple(vector)

    def _ways_of(self, unit: Unit) -> dict[Counts, list[Option]]:
        """What the unit can come to, with options that do; without what covers others."""
        ways: dict[Counts, list[Option]] = {}
        for plan in unit.plans:
            for counts, options in self._ways_of_plan(unit, plan).items():
                ways.setdefault(counts, options)
        return {counts: ways[counts] for counts in smallest(sorted(ways, key=sum))}

    def _ways_of_plan(self, unit: Unit, plan: Plan) -> dict[Counts, list[Option]]:
        ways: dict[Counts, list[Option]] = {(0,) * (len(self.kinds) + len(self._claims)): []}
        for demand, options in zip(unit.demands, plan, strict=True):
            vectors = []
            for option in options:
                vector = self._vectors[option]
                if demand.claim in self._claims:
                    place = len(self.kinds) + self._claims.index(demand.claim)
                    vector = (*vector[:place], option[2], *vector[place + 1 :])
                vectors.append((vector, option))
            more: dict[Counts, list[Option]] = {}
            for counts, chosen in ways.items():
                for vector, option in vectors:
                    more.setdefault(tuple(map(add, counts, vector)), [*chosen, option])
            self.work += len(more)
            ways = more
        return ways

    def _add(self, unit: Unit, ways: dict[Counts, list[Option]], most: int) -> None:
        before = self._reached[-1]
        if len(ways) * len(before) > 8 * most:
            return
        added = [self._joined(way) for way in ways]
        after = {mix + way for mix in before for way in added}
        self.work += len(ways) * len(before) >> 2
        if len(after) > most:
            return
        if self._claims:
            # A claim that has nearly all the devices it may have is left with the alternatives that want few.
            places = [place * self._width for place in range(len(self.kinds), len(self.kinds) + len(self._claims))]
            over = sum([1 << place + self._width - 1 for place in places])
            spare = sum([(1 << self._width - 1) - 1 - MAX_RESULTS << place for place in places])
            after = {mix for mix in after if not mix + spare & over}
        self.packed.append(unit)
        self._ways.append(ways)
        self._reached.append(after)

    def _most_demands(self) -> Counts:
        most = [0] * len(self.kinds)
        place_of = {kind: place for place, kind in enumerate(self.kinds)}
        for unit in self.packed:
            ours = [0] * len(most)
            for plan in unit.plans:
                here = [0] * len(most)
                for options in plan:
                    for place in {place_of[kind] for o in options if (kind := self.kind(o)) in place_of}:
                        here[place] += 1
                ours = list(map(max, ours, here))
            most = list(map(add, most, ours))
        return tuple(most)


def _near_limit(demands: Iterable[Demand], state: State) -> list[int]:
    """The claims that might get more devices than a claim may have."""
    most: dict[int, int] = {}
    for demand in demands:
        most[demand.claim] = most.get(demand.claim, 0) + max([choice.count for choice in demand.choices])
    return [claim for claim, count in most.items() if count + state.used_by(claim) > MAX_RESULTS]


def smallest(mixes: Iterable[Counts]) -> list[Counts]:
    """Of mixes in order of their sums, those that cover no other: where that cannot be packed, neither can they."""
    kept: list[Counts] = []
    for one in mixes:
        if not any(covers(one, other) for other in kept):
            kept.append(one)
    return kept


def covers(one: Counts, other: Counts) -> bool:
    """Whether there is as much of everything in the one as in the other."""
    return all(map(_at_least, one, other))


def _at_least(mine: int, theirs: int) -> bool:
    return mine >= theirs
