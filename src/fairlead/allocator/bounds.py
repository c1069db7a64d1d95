"""Proofs that nothing can follow from a state, cheap enough to be tried at every step.

Each proof relaxes the remaining claims and shows that even the relaxation has no solution:

* every request needs as many open, accepted and payable devices as it takes;
* a rule that matches needs one value under which all its requests find their devices; devices without such a value
  are left out, which may starve other rules, so this is repeated until nothing changes;
* a rule that keeps apart needs as many different values as devices;
* requests that compete for devices need enough for all of them together (Hall's condition);
* counters and capacities need to be enough for the cheapest devices, in each block and summed over blocks.

A request with alternatives counts as its easiest one in each respect. `Shortfall` says which proof succeeded; the
reasons shown to users are made from the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.allocator.ledger import Block, LedgerField
from fairlead.allocator.matching import unmet
from fairlead.allocator.problem import Rule, Slot, bits
from fairlead.allocator.request import MAX_RESULTS

if TYPE_CHECKING:
    from fairlead.allocator.search import Search, State


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a state has no solution: `kind` is count, match, distinct, together, amount or limit."""

    kind: str
    requests: tuple[int, ...]
    """Positions of the requests that cannot be satisfied together."""
    wanted: int = 0
    available: int = 0
    attribute: str = ""
    account: str = ""
    """For amounts: the counter or capacity that is short."""


class Choice:
    """One slot that a remaining request may use: its candidates, narrowed as proofs go on."""

    __slots__ = ("candidates", "count", "slot")

    def __init__(self, slot: Slot, candidates: int, count: int) -> None:
        self.slot = slot
        self.candidates = candidates
        self.count = count

    @property
    def possible(self) -> bool:
        """Whether it has enough candidates by itself."""
        return self.candidates.bit_count() >= self.count


class Demand:
    """A remaining request with the choices that are still possible."""

    __slots__ = ("choices", "claim", "position")

    def __init__(self, position: int, claim: int, choices: list[Choice]) -> None:
        self.position = position
        self.claim = claim
        self.choices = choices

    def narrow(self) -> bool:
        """Drops choices that have become impossible; False when none is left."""
        self.choices = [choice for choice in self.choices if choice.possible]
        return bool(self.choices)

    def least(self) -> int:
        """The fewest devices that any choice takes."""
        if len(self.choices) == 1:
            return self.choices[0].count
        return min(choice.count for choice in self.choices)

    def candidates(self) -> int:
        """The devices that any choice could take."""
        if len(self.choices) == 1:
            return self.choices[0].candidates
        mask = 0
        for choice in self.choices:
            mask |= choice.candidates
        return mask


class Bounds:
    """The proofs for one search."""

    def __init__(self, search: Search) -> None:
        self._search = search
        count = len(search.slots)
        self._horizon = [count] * (count + 1)
        """By position: the first request from there on that may raise an error."""
        for position in range(count - 1, -1, -1):
            fatal = any(slot.fatal for slot in search.slots[position])
            self._horizon[position] = position if fatal else self._horizon[position + 1]
        self._accounts: dict[tuple[str, int, str], list[LedgerField]] = {}
        """Ledger fields by kind, pool and name; capacities of one name are counted together."""
        for field in search.problem.ledger.fields.values():
            kind, number, _, name = field.key
            key = (kind, number if kind == "counter" else 0, name)
            self._accounts.setdefault(key, []).append(field)
        self._costs: dict[tuple[int, int], dict[tuple[str, int, str], int]] = {}

    def dead(self, position: int, alternative: int, kth: int, state: State, below: int) -> bool:
        """Whether it is proved that no solution follows, and no error either."""
        return self.examine(position, alternative, kth, state, below)[0] is not None

    def examine(
        self, position: int, alternative: int, kth: int, state: State, below: int
    ) -> tuple[Shortfall | None, dict[int, int]]:
        """The proof that nothing follows from the state, or None where none is found.

        Args:
            position: the request to be satisfied next.
            alternative: the alternative of it that is being tried; -1 for any.
            kth: how many of its devices are chosen already.
            state: what is chosen.
            below: the devices before the first that may be chosen next.

        Returns:
            The proof, and without one the candidates that can still be part of a solution, by slot number.
        """
        search = self._search
        slots = search.slots[position]
        if alternative >= 0:
            slots = slots[alternative : alternative + 1]
        if any(slot.fatal for slot in slots):
            return None, {}
        current = [self._choice(position, slot, state, kth, below) for slot in slots]
        demands = [Demand(position, search.positions[position][0], current)]
        for later in range(position + 1, self._horizon[position + 1]):
            claim = search.positions[later][0]
            at = state if claim == demands[0].claim else search.at_claim(claim, state)
            choices = [self._choice(later, slot, at, 0, 0) for slot in search.slots[later]]
            demands.append(Demand(later, claim, choices))
        for demand in demands:
            best = max(demand.choices, key=lambda choice: choice.candidates.bit_count() - choice.count)
            if not demand.narrow():
                return Shortfall("count", (demand.position,), best.count, best.candidates.bit_count()), {}
        shortfall = (
            self._limit(demands, state)
            or self._rules(demands, state)
            or self._together(demands)
            or self._amounts(demands, state)
        )
        if shortfall is not None:
            return shortfall, {}
        narrowed = {slot.number: 0 for demand in demands for slot in search.slots[demand.position]}
        narrowed.update((choice.slot.number, choice.candidates) for demand in demands for choice in demand.choices)
        return None, narrowed

    def _choice(self, position: int, slot: Slot, state: State, kth: int, below: int) -> Choice:
        search = self._search
        mask = search.open_to(slot, state) & search.payable & search.accepted(position, slot, state.rules) & ~below
        if slot.first_need:
            for number in bits(mask):
                if not search.fits(slot, number, state):
                    mask &= ~(1 << number)
        if not slot.unit.all_devices:
            return Choice(slot, mask, slot.unit.count - kth)
        wanted = search.numbers(slot)
        taking = 0
        for number in wanted:
            taking |= 1 << number
        # No device at all fails too, as if one were missing.
        return Choice(slot, mask & taking, len(wanted) or 1)

    def _limit(self, demands: list[Demand], state: State) -> Shortfall | None:
        ours = [demand for demand in demands if demand.claim == demands[0].claim]
        total = state.used + sum(demand.least() for demand in ours)
        if total <= MAX_RESULTS:
            return None
        return Shortfall("limit", tuple(demand.position for demand in ours), total, MAX_RESULTS)

    def _rules(self, demands: list[Demand], state: State) -> Shortfall | None:
        search = self._search
        current = demands[0].claim
        pending: list[tuple[Rule, int, list[Demand]]] = []
        for claim in range(current, demands[-1].claim + 1):
            for number, rule in enumerate(search.problem.claims[claim].rules):
                concerned = [
                    demand
                    for demand in demands
                    if demand.claim == claim
                    and all(number in choice.slot.unit.constraints for choice in demand.choices)
                ]
                if concerned:
                    pending.append((rule, state.rules[number] if claim == current else rule.initial, concerned))
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
            ours = choice.candidates & ~self._search.shared
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
        competing = _overlap(before)
        open_ = 0
        for value in values:
            mask = masks[value]
            for demand in demands:
                for choice in demand.choices:
                    if (choice.candidates & mask).bit_count() >= choice.count:
                        break
                else:
                    break
            else:
                if not competing or not unmet(_competing(self._search, demands, mask)):
                    open_ |= mask
        least = [demand.least() for demand in demands]
        if state < 0 and sum(least) <= 1:
            # A value of no known type: one device passes, two are never alike.
            open_ |= rule.index.valueless
        narrowed = False
        possible = True
        for demand, mask in zip(demands, before, strict=True):
            if mask & ~open_:
                narrowed = True
                for choice in demand.choices:
                    choice.candidates &= open_
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

    def _together(self, demands: list[Demand]) -> Shortfall | None:
        if not _overlap([demand.candidates() for demand in demands]) and all(
            len(demand.choices) == 1 for demand in demands
        ):
            return None
        competing = _competing(self._search, demands, -1)
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

    def _amounts(self, demands: list[Demand], state: State) -> Shortfall | None:
        """Counters and capacities: by block how many devices fit at most, by account the sum of the least needs."""
        search = self._search
        ledger = search.problem.ledger
        paying = [demand for demand in demands if all(choice.slot.first_need for choice in demand.choices)]
        if not paying:
            return None
        groups = [[demand] for demand in paying]
        if len(paying) > 1:
            groups.append(paying)
        outside = ~0
        for block in ledger.blocks:
            outside &= ~block.devices
        for group in groups:
            wanted = sum(demand.least() for demand in group)
            everything = 0
            for demand in group:
                everything |= demand.candidates()
            if everything & outside:
                continue
            room = 0
            for block in ledger.blocks:
                here = everything & block.devices
                if here:
                    room += self._room(group, here, block, state)
                    if room >= wanted:
                        break
            if room < wanted:
                return Shortfall("amount", tuple(d.position for d in group), wanted, room)
        return self._totals(paying, state)

    def _room(self, demands: list[Demand], here: int, block: Block, state: State) -> int:
        """How many picks, at most, the devices `here` of one block can serve."""
        picks = sum(
            max(min(choice.count, (choice.candidates & here).bit_count()) for choice in demand.choices)
            for demand in demands
        )
        needs = [
            self._cheapest(choice.slot, number)
            for demand in demands
            for choice in demand.choices
            for number in bits(choice.candidates & here)
        ]
        for account in block.fields:
            least = min(account.amount(need) for need in needs)
            if least:
                picks = min(picks, account.amount(state.left) // least)
        return picks

    def _cheapest(self, slot: Slot, number: int) -> int:
        """The least that the device can cost: a shared one may have been started by then."""
        needs = slot.more_need if self._search.shared >> number & 1 else slot.first_need
        return needs.get(number, 0)

    def _totals(self, demands: list[Demand], state: State) -> Shortfall | None:
        """Accounts of one name, summed over all blocks, against the least that the demands need of them."""
        for name, accounts in self._accounts.items():
            left = sum(account.amount(state.left) * account.unit for account in accounts)
            wanted = 0
            for demand in demands:
                wanted += min(choice.count * self._least(name, choice, left) for choice in demand.choices)
                if wanted > left:
                    return Shortfall("amount", tuple(d.position for d in demands), wanted, left, account=name[2])
        return None

    def _least(self, name: tuple[str, int, str], choice: Choice, enough: int) -> int:
        least = enough + 1
        for number in bits(choice.candidates):
            cost = self._costs.get((id(choice.slot), number))
            if cost is None:
                need = self._cheapest(choice.slot, number)
                cost = self._costs[id(choice.slot), number] = {
                    key: sum(account.amount(need) * account.unit for account in accounts)
                    for key, accounts in self._accounts.items()
                }
            least = min(least, cost[name])
            if not least:
                break
        return least


def _overlap(masks: list[int]) -> bool:
    """Whether any two of the sets have something in common."""
    union = 0
    for mask in masks:
        if union & mask:
            return True
        union |= mask
    return False


def _competing(search: Search, demands: list[Demand], within: int) -> list[tuple[int, int]]:
    """What demands take from each other: devices that only one can have."""
    competing = []
    for demand in demands:
        if any(choice.slot.unit.admin_access for choice in demand.choices):
            competing.append((0, 0))
            continue
        mask = demand.candidates() & within
        shared = mask & search.shared
        need = min(
            max(0, choice.count - (choice.candidates & within & shared).bit_count()) for choice in demand.choices
        )
        competing.append((mask & ~shared, need))
    return competing
