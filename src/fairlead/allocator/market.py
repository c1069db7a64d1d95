"""Looks for prices at which what is wanted costs more than all that is left is worth (`prices` says what that proves).

By multiplicative weights: what the cheapest choices together overdraw becomes dearer, with steps of the length that
would reach the aim if costs went on as they begin to (Polyak's, in the geometry of weights). Floats will do, because
what is found is checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import exp

from fairlead.allocator.moves import State
from fairlead.allocator.plans import Option, Plan
from fairlead.allocator.slot import bits

_WORK = 600
"""How many offers may be looked at for each round that is allowed, so that large problems get fewer rounds."""

_AIM = 1.01
"""The cost that the next prices aim at, relative to the worth of all that is left."""

_LARGEST = 1.5
"""By how much, in the logarithm, a price changes at most at once."""

_OLD = 0.9
"""How much of the first prices is what proved something last; the rest is the same for all."""

_FINEST = 1 << 30
"""Whole numbers that stand for the price of an account, relative to all that is left of it."""

Ware = tuple[int, int]
"""Tariff and device."""

Account = tuple[int, int]
"""Shift and width of a field of the ledger; or the number of a device that serves once, and -1."""

Drawing = Callable[[int, int], Sequence[tuple[Account, int]]]
"""The accounts on which a ware draws, each with the least that it takes."""


class Market:
    """What demands take at given prices, and prices that they overdraw less.

    Devices, accounts and options that look alike are handled as one: some best prices are equal for them, and it takes
    far fewer rounds to find those. Whether they are truly alike does not matter, because what is found is checked.
    """

    def __init__(self, draws_of: Drawing, plans: Sequence[Sequence[Plan]], state: State) -> None:
        options = list({option: None for choices in plans for plan in choices for ours in plan for option in ours})
        wares = list({(tariff, number): None for tariff, candidates, _ in options for number in bits(candidates)})
        draws = {ware: draws_of(*ware) for ware in wares}
        left = {account: _left(account, state) for drawn in draws.values() for account, _ in drawn}
        kind_of, self._accounts = _colours(options, draws, left)
        places = {colour: place for place, colour in enumerate(dict.fromkeys(self._accounts.values()))}
        self._left = [0] * len(places)
        for account, colour in self._accounts.items():
            self._accounts[account] = places[colour]
            self._left[places[colour]] += left[account]
        kinds: dict[int, int] = {}
        self._draws: list[list[tuple[int, float]]] = []
        """By kind of device and tariff, the kinds of accounts it draws on, each with the share that it takes."""
        for ware in wares:
            if kind_of[ware] not in kinds:
                kinds[kind_of[ware]] = len(kinds)
                drawn = [(self._accounts[account], amount) for account, amount in draws[ware]]
                self._draws.append([(place, amount / self._left[place]) for place, amount in drawn])
        stocks: dict[tuple[object, ...], int] = {}
        self._options: list[tuple[list[tuple[int, int]], int]] = []
        """Kinds and how many there are of each, and how many devices an option takes."""
        place_of: dict[Option, int] = {}
        for option in options:
            tariff, candidates, count = option
            stock = Counter([kinds[kind_of[tariff, number]] for number in bits(candidates)])
            key = (count, *sorted(stock.items()))
            if key not in stocks:
                stocks[key] = len(stocks)
                self._options.append((list(stock.items()), count))
            place_of[option] = stocks[key]
        self._plans = [
            list(
                dict.fromkeys(
                    [tuple([tuple([place_of[option] for option in ours]) for ours in plan]) for plan in choices]
                )
            )
            for choices in plans
        ]
        self._size = sum([len(stock) for stock, _ in self._options]) + sum(
            [len(ours) for choices in self._plans for plan in choices for ours in plan]
        )

    def balance(self, rounds: int, known: Mapping[Account, int]) -> dict[Account, int]:
        """Prices at which the cheapest choices cost more than there is, or as much as was found."""
        if not self._left:
            return {}
        weights = best = self._begin(known)
        most = 0.0
        for _ in range(min(rounds, rounds * _WORK // self._size)):
            cost, used = self._buy(weights)
            if cost > most:
                best, most = weights, cost
            if cost > 1:
                break
            overdrawn = [share - 1 for share in used]
            slope = sum([weight * over * over for weight, over in zip(weights, overdrawn, strict=True)])
            if not slope:
                break
            step = (_AIM - cost) / slope
            weights = [
                weight * exp(max(-_LARGEST, min(_LARGEST, step * over)))
                for weight, over in zip(weights, overdrawn, strict=True)
            ]
            total = sum(weights)
            weights = [weight / total for weight in weights]
        unit = max(self._left)
        listed = [round(weight * _FINEST) * unit // left for weight, left in zip(best, self._left, strict=True)]
        return {account: listed[place] for account, place in self._accounts.items()}

    def _begin(self, known: Mapping[Account, int]) -> list[float]:
        """The prices to begin with, mostly those that proved something last."""
        count = len(self._left)
        worth = [0] * count
        for account, place in self._accounts.items():
            worth[place] = known.get(account, 0) * self._left[place]
        total = sum(worth)
        if not total:
            return [1 / count] * count
        return [_OLD * (one / total) + (1 - _OLD) / count for one in worth]

    def _buy(self, weights: Sequence[float]) -> tuple[float, list[float]]:
        """The cost of the cheapest choices, and which share of each account they take."""
        prices = [sum([weights[account] * share for account, share in drawn]) for drawn in self._draws]
        baskets: list[list[tuple[int, int]]] = []
        costs: list[float] = []
        for stock, count in self._options:
            basket = []
            cost = 0.0
            for kind, there in sorted(stock, key=lambda entry: prices[entry[0]]) if len(stock) > 1 else stock:
                taken = min(there, count)
                basket.append((kind, taken))
                cost += prices[kind] * taken
                count -= taken
                if not count:
                    break
            baskets.append(basket)
            costs.append(cost)
        total = 0.0
        bought = [0] * len(costs)
        for choices in self._plans:
            plans = [[min(options, key=costs.__getitem__) for options in plan] for plan in choices]
            cheapest = (
                min(plans, key=lambda plan: sum([costs[option] for option in plan])) if len(plans) > 1 else plans[0]
            )
            for option in cheapest:
                total += costs[option]
                bought[option] += 1
        used = [0.0] * len(weights)
        for basket, times in zip(baskets, bought, strict=True):
            for kind, taken in basket if times else ():
                for account, share in self._draws[kind]:
                    used[account] += share * taken * times
        return total, used


def _left(account: Account, state: State) -> int:
    shift, width = account
    # What has nothing left has nobody who wants it either.
    return max(1, state.left >> shift & (1 << width) - 1) if width >= 0 else 1


def _colours(
    options: Sequence[Option], draws: Mapping[Ware, Sequence[tuple[Account, int]]], left: Mapping[Account, int]
) -> tuple[dict[Ware, int], dict[Account, int]]:
    """The same number for wares, and for accounts, that cannot be told apart by what they have to do with others."""
    serves: dict[Ware, list[int]] = {ware: [] for ware in draws}
    for place, (tariff, candidates, _) in enumerate(options):
        for number in bits(candidates):
            serves[tariff, number].append(place)
    drawing: dict[Account, list[tuple[Ware, int]]] = {account: [] for account in left}
    for ware, drawn in draws.items():
        for account, amount in drawn:
            drawing[account].append((ware, amount))
    accounts = dict(left)
    choices = [count for _, _, count in options]
    wares = dict.fromkeys(draws, 0)
    known = 0
    while True:
        numbers: dict[object, int] = {}
        wares = {
            ware: numbers.setdefault(
                (
                    colour,
                    tuple(sorted([(accounts[account], amount) for account, amount in draws[ware]])),
                    tuple(sorted([choices[place] for place in serves[ware]])),
                ),
                len(numbers),
            )
            for ware, colour in wares.items()
        }
        accounts = {
            account: numbers.setdefault(
                (colour, *sorted([(wares[ware], amount) for ware, amount in drawing[account]])), len(numbers)
            )
            for account, colour in accounts.items()
        }
        choices = [
            numbers.setdefault(
                (colour, "option", *sorted([wares[tariff, number] for number in bits(candidates)])), len(numbers)
            )
            for colour, (tariff, candidates, _) in zip(choices, options, strict=True)
        ]
        if len(numbers) == known:
            return wares, accounts
        known = len(numbers)
