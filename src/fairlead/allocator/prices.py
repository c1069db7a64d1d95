"""Proofs by prices: what remains costs more than everything that is left is worth.

Give each account (a counter, a shared capacity, a device that serves once) a price. Whatever the prices are, a
completion pays for what it takes out of what is left, so the least that each demand can cost, summed, is at most the
worth of all that is left. A demand's least is that of its cheapest alternative with its cheapest devices; demands under
one matching rule pay what they cost under the cheapest value. This weighs everything at once that other proofs look at
one by one: amounts, devices, alternatives, values. (It is the dual of a linear relaxation, with devices of a demand and
values of a rule kept whole.)

Any prices make a proof, however they were found (`market`), as long as it is made with whole numbers. Prices that
proved something once often prove the same of similar states, so they are kept for the whole decision.

Prices that fall short of a proof still say what is scarce, and so what a completion should rather not take: they guide
the search for one, which may take them into account or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.allocator.demand import Demand
from fairlead.allocator.market import Account, Drawing, Market, Ware
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.plans import Option, Plan, units_of
from fairlead.allocator.slot import Slot, bits

_KEPT = 4
"""Lists of prices that are tried on a state; those that proved something last come first."""

_GRAIN = 1000
"""Parts of all that is left in which costs are compared to guide a search; finer differences mean nothing."""


class Prices:
    """The proofs for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._slots = {slot.tariff: slot for slot in moves.problem.slots}
        self._lists: list[_PriceList] = []
        self._guide: _PriceList | None = None
        """The last prices that were found but proved nothing."""
        self._grain = 1
        self._drawn: dict[Ware, list[tuple[Account, int]]] = {}

    def refute(self, demands: Sequence[Demand], state: State) -> bool:
        """Whether prices that are known prove that the demands cannot all be met."""
        if not self._lists:
            return False
        plans = self._plans(demands, state)
        everything = _union(demands)
        for place, prices in enumerate(self._lists):
            if prices.refute(plans, everything, state):
                self._lists.insert(0, self._lists.pop(place))
                return True
        return False

    def cost(self, slot: Slot, candidates: int, count: int) -> int:
        """What the cheapest of these devices cost for the slot, roughly; 0 where no prices guide."""
        return self._guide.cost((slot.tariff, candidates, count)) // self._grain if self._guide else 0

    def learn(self, demands: Sequence[Demand], state: State, rounds: int) -> bool:
        """Looks for prices that prove that the demands cannot all be met, and keeps them; else they guide.

        Args:
            demands: what remains.
            state: what is chosen.
            rounds: how often prices may be changed.
        """
        plans = self._plans(demands, state)
        if not all(plans):
            return True
        found = Market(self._draws, plans, state).balance(rounds, self._lists[0].listed if self._lists else {})
        prices = _PriceList(self._moves, self._draws, found)
        everything = _union(demands)
        if not prices.refute(plans, everything, state):
            self._guide = prices
            self._grain = max(1, prices.worth(everything, state) // _GRAIN)
            return False
        self._lists.insert(0, prices)
        del self._lists[_KEPT:]
        return True

    def _draws(self, tariff: int, number: int) -> list[tuple[Account, int]]:
        """The accounts on which a device draws, each with the least that it takes."""
        known = self._drawn.get((tariff, number))
        if known is None:
            twice = self._moves.shared >> number & 1
            known = [] if twice else [((number, -1), 1)]
            block = self._moves.problem.ledger.block_of.get(number)
            if block is not None:
                slot = self._slots[tariff]
                # A shared device may have been started by then.
                need = (slot.more_need if twice else slot.first_need).get(number, 0)
                known += [
                    ((field.shift, field.width), amount) for field in block.fields if (amount := field.amount(need))
                ]
            self._drawn[tariff, number] = known
        return known

    def _plans(self, demands: Sequence[Demand], state: State) -> list[list[Plan]]:
        """The plans of each unit."""
        # Those who observe may do with what others have.
        wanting = [demand for demand in demands if not demand.observes(self._moves.shared)]
        return [unit.plans for unit in units_of(self._moves.problem.rules, wanting, state)]


def _union(demands: Sequence[Demand]) -> int:
    everything = 0
    for demand in demands:
        everything |= demand.candidates()
    return everything


class _PriceList:
    """Whole-numbered prices of accounts; what is not listed costs nothing."""

    def __init__(self, moves: Moves, draws_of: Drawing, listed: Mapping[Account, int]) -> None:
        self._draws_of = draws_of
        self.listed = listed
        self._costs: dict[Option, int] = {}
        self._each: dict[Ware, int] = {}
        self._single = [(1 << shift, price) for (shift, width), price in listed.items() if width < 0]
        self._fields = [
            (
                block.devices,
                [
                    (f.shift, (1 << f.width) - 1, listed[f.shift, f.width])
                    for f in block.fields
                    if (f.shift, f.width) in listed
                ],
            )
            for block in moves.problem.ledger.blocks
        ]

    def refute(self, plans: Sequence[Sequence[Plan]], everything: int, state: State) -> bool:
        """Whether the cheapest of all plans together cost more than all that is left is worth."""
        over = -self.worth(everything, state)
        for choices in plans:
            cheapest = -1
            for plan in choices:
                cost = sum([min([self.cost(option) for option in options]) for options in plan])
                if cheapest < 0 or cost < cheapest:
                    cheapest = cost
            if cheapest < 0:
                return True
            over += cheapest
        return over > 0

    def cost(self, option: Option) -> int:
        """The least that the option can cost."""
        known = self._costs.get(option)
        if known is None:
            tariff, candidates, count = option
            each = self._each
            costs = [
                price if (price := each.get((tariff, number))) is not None else self._price(tariff, number)
                for number in bits(candidates)
            ]
            known = self._costs[option] = min(costs) if count == 1 else sum(sorted(costs)[:count])
        return known

    def _price(self, tariff: int, number: int) -> int:
        """What a device costs."""
        price = sum([self.listed.get(account, 0) * amount for account, amount in self._draws_of(tariff, number)])
        self._each[tariff, number] = price
        return price

    def worth(self, everything: int, state: State) -> int:
        """What is left is worth, as far as any of these devices can draw on it."""
        worth = sum([price for device, price in self._single if device & everything])
        for devices, fields in self._fields:
            if devices & everything:
                worth += sum([(state.left >> shift & width) * price for shift, width, price in fields])
        return worth
