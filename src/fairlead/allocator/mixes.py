"""How many devices of each kind demands come to, for every way to choose among their alternatives and values.

Everything of one cost that the same devices serve is one kind, so what is to be packed is a few counts. A mix is what
one choice of plans for all units (`plans`) comes to; where demands have alternatives or a rule has several values,
there are several mixes, and one of them must find room (`packing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add, sub

from fairlead.allocator.demand import Demand
from fairlead.allocator.moves import State
from fairlead.allocator.plans import Option, Plan, Unit
from fairlead.allocator.request import MAX_RESULTS

Kind = tuple[int, int]
"""Tariff and candidates: what differs in nothing else is of one kind."""

Counts = tuple[int, ...]
"""How many of each kind; in a mix, then how many devices each claim has that may reach its limit."""

_FEW = 64
"""Mixes up to which those are looked for that others make needless."""


class Mixes:
    """The mixes of units."""

    def __init__(self, units: Sequence[Unit], in_blocks: int, state: State, most: int) -> None:
        """Makes the mixes.

        Args:
            units: everything that is to be packed.
            in_blocks: the devices that cost something; others cost nothing, and a demand takes those first.
            state: what is chosen.
            most: how many mixes may be looked at; units that would make more are left out.
        """
        self.in_blocks = in_blocks
        options = {option: None for unit in units for plan in unit.plans for ours in plan for option in ours}
        self.kinds: list[Kind] = list(dict.fromkeys([self.kind(option) for option in options if self.inside(option)]))
        """The kinds, by their place in the counts."""
        fewest: dict[Kind, int] = {}
        most_of_one: dict[Kind, int] = {}
        for option in options:
            if inside := self.inside(option):
                kind = self.kind(option)
                fewest[kind] = min(inside, fewest.get(kind, inside))
                most_of_one[kind] = max(inside, most_of_one.get(kind, inside))
        self._least = [fewest[kind] for kind in self.kinds]
        """By kind, the fewest that a demand of it wants."""
        self._several = [most_of_one[kind] > 1 for kind in self.kinds]
        """By kind, whether a demand may want more than one of it."""
        self._sharing: dict[int, list[int]] = {}
        self._claims = _near_limit([demand for unit in units for demand in unit.demands], state)
        self._vectors = {option: self._vector(option) for option in options}
        self.packed: list[Unit] = []
        """The units of which the mixes are."""
        self._ways: list[dict[Counts, list[Option]]] = []
        start = (*[0] * len(self.kinds), *[state.used_by(claim) for claim in self._claims])
        self._reached: list[set[Counts]] = [{start}]
        self.work = 0
        """How many sums were made."""
        known: dict[object, dict[Counts, list[Option]]] = {}
        for unit in units:
            if len(unit.demands) > 1 or unit.demands[0].claim in self._claims:
                self._add(unit, self._ways_of(unit), most)
            else:
                key = tuple(unit.plans[0][0]) if unit.plans else ()
                if key not in known:
                    known[key] = self._ways_of(unit)
                self._add(unit, known[key], most)
        self.repeats = self._most_demands()
        """By kind, how many demands could be of it."""

    def kind(self, option: Option) -> Kind:
        """The kind of what the option takes of devices that cost something."""
        return option[0], option[1] & self.in_blocks

    def inside(self, option: Option) -> int:
        """How many devices that cost something the option takes at least."""
        return max(0, option[2] - (option[1] & ~self.in_blocks).bit_count())

    def all(self) -> list[Counts]:
        """By kind alone, the mixes, small ones first; without some that cover others."""
        mixes = {mix[: len(self.kinds)] for mix in self._reached[-1]}
        ordered = sorted(mixes, key=lambda mix: (sum(mix), mix))
        return smallest(ordered) if len(ordered) <= _FEW else ordered

    def demands(self, mix: Counts) -> Counts:
        """By kind, how many demands are of it in the mix, at most; so often it is to be found on a device.

        What is packed in vain so proves the same of every mix that covers this one: a packing of that, with no device
        serving the kind more often than is said here, still serves as many as this one wants.
        """
        return tuple(
            [
                min(most, count // least, *([self._sharers(kind, count)] if several and count else []))
                for kind, (most, count, least, several) in enumerate(
                    zip(self.repeats, mix, self._least, self._several, strict=True)
                )
            ]
        )

    def _sharers(self, kind: int, count: int) -> int:
        """How often a device may have to serve the kind where so many of it are wanted."""
        known = self._sharing.get(kind)
        if known is None:
            reached = {0: 0}
            for unit in self.packed:
                ours: dict[int, int] = {}
                for plan in unit.plans:
                    _raise(ours, _combined([self._of_kind(kind, options) for options in plan]))
                reached = _combined([reached, ours])
            known = self._sharing[kind] = _most_sharers(reached)
        return known[count]

    def _of_kind(self, kind: int, options: Sequence[Option]) -> dict[int, int]:
        """What a demand comes to of the kind, by its options, with 1 where that is anything."""
        counts = {self._vectors[option][kind] for option in options}
        return {count: int(count > 0) for count in counts}

    def choices(self, mix: Counts) -> list[tuple[Demand, Option]]:
        """One way to come to this mix: an option for every demand of the packed units."""
        at = next(one for one in self._reached[-1] if one[: len(self.kinds)] == mix)
        chosen: list[tuple[Demand, Option]] = []
        for unit, ways, before in zip(
            reversed(self.packed), reversed(self._ways), reversed(self._reached[:-1]), strict=True
        ):
            for vector, options in ways.items():
                earlier = tuple(map(sub, at, vector))
                if earlier in before:
                    chosen += zip(unit.demands, options, strict=True)
                    at = earlier
                    break
        return chosen

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
        after = {tuple(map(add, mix, way)) for mix in before for way in ways}
        self.work += len(ways) * len(before)
        if len(after) > most:
            return
        if self._claims:
            # A claim that has nearly all the devices it may have is left with the alternatives that want few.
            after = {mix for mix in after if max(mix[len(self.kinds) :]) <= MAX_RESULTS}
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


def _combined(parts: Sequence[Mapping[int, int]]) -> dict[int, int]:
    """For every sum of one count from each part, the most that what belongs to those counts adds up to."""
    sums = {0: 0}
    for part in parts:
        more: dict[int, int] = {}
        for count, value in sums.items():
            _raise(more, {count + other: value + its for other, its in part.items()})
        sums = more
    return sums


def _raise(most: dict[int, int], values: Mapping[int, int]) -> None:
    """Keeps the larger value of each count."""
    for count, value in values.items():
        most[count] = max(value, most.get(count, value))


def _most_sharers(demands: Mapping[int, int]) -> list[int]:
    """By count, how often a device may have to serve a kind where so many of it are wanted.

    No device serves a demand twice. Where demands come to exactly this count, there are only so many of them. Where
    they come to more, their devices may serve more of them each; but only as many of those count as are needed to serve
    this many, even if few devices serve as often as they can.

    Args:
        demands: by every count that demands may come to, how many demands that are at most.
    """
    most: list[int] = []
    for wanted in range(max(demands) + 1):
        enough = most[-1] if most else 0
        for count, sharers in demands.items():
            if count >= wanted:
                full, rest = divmod(count, sharers) if sharers else (0, 0)
                while full * min(enough, sharers) + min(enough, rest) < wanted:
                    enough += 1
        most.append(enough)
    return most


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
