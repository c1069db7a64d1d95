"""Proofs that nothing can follow from a state, cheap enough to be tried at every step.

Each proof relaxes the remaining claims and shows that even the relaxation has no solution:

* every request needs as many open, accepted and payable devices as it takes;
* a rule that matches needs one value under which all its requests find their devices; devices without such a value
  are left out, which may starve other rules, so this is repeated until nothing changes;
* a rule that keeps apart needs as many different values as devices;
* groups that each need a value of their own need a value with room for each of them;
* requests that compete for devices need enough for all of them together (Hall's condition);
* counters and capacities need to be enough for the cheapest devices, in each block and summed over blocks;
* at prices that are known, what is wanted must not cost more than what is left is worth (`prices`).

A request with alternatives counts as its easiest one in each respect. `Shortfall` says which proof succeeded; the
reasons shown to users are made from the same values.
"""

from __future__ import annotations

from fairlead.allocator.amounts import Amounts
from fairlead.allocator.demand import Demand, Shortfall
from fairlead.allocator.matching import unmet
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.prices import Prices
from fairlead.allocator.request import MAX_RESULTS
from fairlead.allocator.rules import Rule
from fairlead.allocator.slot import bits


class Bounds:
    """The proofs for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._amounts = Amounts(moves)
        self.prices = Prices(moves)
        """None are known until somebody looks for some."""

    def shortfall(self, demands: list[Demand], state: State) -> Shortfall | None:
        """The proof that the demands cannot all be met, or None where none is found.

        The candidates of the demands are narrowed on the way to those that can still be part of a solution.

        Args:
            demands: what remains, at least one.
            state: what is chosen.
        """
        for demand in demands:
            best = max(demand.choices, key=lambda choice: choice.candidates.bit_count() - choice.count)
            if not demand.narrow():
                return Shortfall("count", (demand.position,), best.count, best.candidates.bit_count())
        return (
            self._limit(demands, state)
            or self._rules(demands, state)
            or self._worth(demands, state)
            or self._apart_groups(demands, state)
            or self._together(demands)
            or self._amounts.shortfall(demands, state)
            or self._amounts.packed(demands, state)
        )

    def _limit(self, demands: list[Demand], state: State) -> Shortfall | None:
        totals: dict[int, int] = {}
        for demand in demands:
            totals[demand.claim] = totals.get(demand.claim, 0) + demand.least()
        for claim, total in totals.items():
            if (total := total + state.used_by(claim)) > MAX_RESULTS:
                ours = tuple(demand.position for demand in demands if demand.claim == claim)
                return Shortfall("limit", ours, total, MAX_RESULTS)
        return None

    def _rules(self, demands: list[Demand], state: State) -> Shortfall | None:
        pending: list[tuple[Rule, int, list[Demand]]] = []
        if self._moves.problem.rules:
            concerned_by: dict[int, list[Demand]] = {}
            for demand in demands:
                everywhere = set(demand.choices[0].slot.rules).intersection(
                    *(choice.slot.rules for choice in demand.choices[1:])
                )
                for number in everywhere:
                    concerned_by.setdefault(number, []).append(demand)
            for number, concerned in sorted(concerned_by.items()):
                pending.append((self._moves.problem.rules[number], state.rules[number], concerned))
        changed = True
        while changed:
            changed, shortfall = self._reserve(demands)
            for rule, rule_state, concerned in pending:
                if shortfall is not None:
                    return shortfall
                if rule.distinct:
                    shortfall = self._apart(concerned, rule)
                else:
                    narrowed, shortfall = self._alike(concerned, rule, rule_state)
                    changed = changed or narrowed
            if shortfall is not None:
                return shortfall
        return None

    def _reserve(self, demands: list[Demand]) -> tuple[bool, Shortfall | None]:
        """Keeps the devices that a request cannot do without from the others."""
        changed = False
        for demand in demands:
            choice = demand.choices[0]
            if len(demand.choices) > 1 or choice.slot.unit.admin_access or choice.candidates.bit_count() > choice.count:
                continue
            ours = choice.candidates & ~self._moves.shared
            for other in demands:
                if other is demand or not ours & other.candidates():
                    continue
                for rival in other.choices:
                    if not rival.slot.unit.admin_access and rival.candidates & ours:
                        rival.candidates &= ~ours
                        changed = True
                wanted, available = choice.count + other.least(), (ours | other.candidates()).bit_count()
                if not other.narrow():
                    return True, Shortfall("together", (demand.position, other.position), wanted, available)
        return changed, None

    def _alike(self, demands: list[Demand], rule: Rule, state: int) -> tuple[bool, Shortfall | None]:
        """Leaves only devices with a value under which every demand can be met."""
        masks = rule.index.masks
        values = bits(state) if state >= 0 else range(len(masks))
        before = [demand.candidates() for demand in demands]
        competing = self._rivals(demands)
        open_ = 0
        possible_values: list[int] = []
        for value in values:
            mask = masks[value]
            for demand in demands:
                for choice in demand.choices:
                    if (choice.candidates & mask).bit_count() >= choice.count:
                        break
                else:
                    break
            else:
                if not competing or not unmet(_competing(self._moves, demands, mask)):
                    open_ |= mask
                    possible_values.append(mask)
        least = [demand.least() for demand in demands]
        if state < 0 and sum(least) <= 1:
            # A value of no known type: one device passes, two are never alike.
            open_ |= rule.index.valueless
        narrowed = False
        possible = True
        for demand, mask in zip(demands, before, strict=True):
            several = len(demand.choices) > 1
            if not several and not mask & ~open_:
                continue
            for choice in demand.choices:
                own = open_
                if several and choice.count > 1:
                    own = 0
                    for value_mask in possible_values:
                        if (choice.candidates & value_mask).bit_count() >= choice.count:
                            own |= value_mask
                if choice.candidates & ~own:
                    narrowed = True
                    choice.candidates &= own
            possible = demand.narrow() and possible
        if possible:
            return narrowed, None
        best = max(
            (sum(min(n, (mask & masks[v]).bit_count()) for n, mask in zip(least, before, strict=True)) for v in values),
            default=0,
        )
        return True, Shortfall("match", tuple(d.position for d in demands), sum(least), best, rule.attribute)

    def _apart(self, demands: list[Demand], rule: Rule) -> Shortfall | None:
        """There must be a value of its own for every device; only decided where devices have one value each."""
        index = rule.index
        if index.multiple:
            return None
        wanted: list[tuple[int, int]] = []
        for demand in demands:
            available = 0
            for number in bits(demand.candidates()):
                if not index.values_of[number]:
                    return None
                available |= index.values_of[number]
            wanted.append((available, demand.least()))
        short = unmet(wanted)
        if not short:
            return None
        union = 0
        for position in short:
            union |= wanted[position][0]
        return Shortfall(
            "distinct",
            tuple(demands[position].position for position in short),
            sum(wanted[position][1] for position in short),
            union.bit_count(),
            rule.attribute,
        )

    def _apart_groups(self, demands: list[Demand], state: State) -> Shortfall | None:
        """Several groups, each alike within itself: every value has room for only so many of them."""
        if not any(demand.candidates() & ~self._moves.shared for demand in demands):
            return None
        by_index: dict[int, tuple[Rule, list[tuple[int, list[Demand]]]]] = {}
        grouped: set[int] = set()
        for number, rule in enumerate(self._moves.problem.rules):
            if rule.distinct:
                continue
            ours = [
                demand
                for demand in demands
                if demand.position not in grouped and all(number in choice.slot.rules for choice in demand.choices)
            ]
            if not ours:
                continue
            need = sum([wanted for _, wanted in _competing(self._moves, ours, -1)])
            if need:
                grouped.update([demand.position for demand in ours])
                # Rules with one index compare the same values of the same devices.
                by_index.setdefault(id(rule.index), (rule, []))[1].append((need, ours))
        for rule, groups in by_index.values():
            if len(groups) < 2:
                continue
            for size in sorted({need for need, _ in groups}):
                large = [ours for need, ours in groups if need >= size]
                members = [demand for ours in large for demand in ours]
                room = 0
                for mask in rule.index.masks:
                    room += self._amounts.places(members, mask & ~self._moves.shared, state) // size
                    if room >= len(large):
                        break
                else:
                    concerned = tuple(demand.position for demand in members)
                    return Shortfall("groups", concerned, len(large), room, rule.attribute)
        return None

    def _worth(self, demands: list[Demand], state: State) -> Shortfall | None:
        if not self.prices.refute(demands, state):
            return None
        wanted = sum([demand.least() for demand in demands])
        return Shortfall("amount", tuple([demand.position for demand in demands]), wanted, wanted - 1)

    def _rivals(self, demands: list[Demand]) -> bool:
        """Whether any device that serves only once could serve two of the demands; each by itself finds enough."""
        union = 0
        for demand in demands:
            mask = demand.candidates() & ~self._moves.shared
            if union & mask:
                return True
            union |= mask
        return False

    def _together(self, demands: list[Demand]) -> Shortfall | None:
        if not self._rivals(demands):
            return None
        competing = _competing(self._moves, demands, -1)
        short = unmet(competing)
        if not short:
            return None
        union = 0
        for position in short:
            union |= competing[position][0]
        return Shortfall(
            "together",
            tuple(demands[position].position for position in short),
            sum(competing[position][1] for position in short),
            union.bit_count(),
        )


def _competing(moves: Moves, demands: list[Demand], within: int) -> list[tuple[int, int]]:
    """What demands take from each other: devices that only one can have."""
    competing = []
    for demand in demands:
        if demand.observes(moves.shared):
            competing.append((0, 0))
            continue
        mask = demand.candidates() & within
        shared = mask & moves.shared
        need = min(
            max(0, choice.count - (choice.candidates & within & shared).bit_count()) for choice in demand.choices
        )
        competing.append((mask & ~shared, need))
    return competing
