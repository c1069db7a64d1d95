"""Prices of kinds prove that bins cannot hold what is wanted, and never what they can hold."""

import random
from collections.abc import Sequence
from itertools import product
from typing import cast

import pytest

from fairlead.allocator.appraisal import hopeless
from fairlead.allocator.bins import Bin
from fairlead.allocator.demand import Choice, Demand
from fairlead.allocator.filling import Filler
from fairlead.allocator.mixes import Mixes
from fairlead.allocator.moves import State
from fairlead.allocator.patterns import Patterns, Sort, room_at
from fairlead.allocator.plans import Unit
from fairlead.allocator.slot import Slot

Counts = tuple[int, ...]


def card(capacity: int, costs: Counts, most: Counts, times: int = 1, computed: bool = False) -> Sort:
    """Cards of one capacity, on which a share of each kind costs so much."""
    width = 8
    shares = tuple(enumerate(costs))
    ways = [] if computed else list(fillings(capacity, costs, most))
    return Sort(times, [[kind] for kind in range(len(costs))], ways, Bin(capacity, ((width, 0),), shares, ()), most)


def fillings(capacity: int, costs: Counts, most: Counts) -> list[Counts]:
    """Everything that a card has room for."""
    counts = product(*[range(count + 1) for count in most])
    return [one for one in counts if sum(n * cost for n, cost in zip(one, costs, strict=True)) <= capacity]


def fits(wanted: Counts, cards: list[Sort]) -> bool:
    """By trying everything."""
    left = {wanted}
    for one in cards:
        for _ in range(one.times):
            left = {tuple(max(0, a - b) for a, b in zip(rest, way, strict=True)) for rest in left for way in one.ways}
    return (0,) * len(wanted) in left


def test_shares_are_not_cut() -> None:
    """Four cards of 9 have room for 8 shares of 4, though 9 of them are 36 as well."""
    cards = [card(9, (4,), (9,), times=4)]
    assert Patterns().prices_against((9,), cards) is not None
    assert Patterns().prices_against((8,), cards) is None


def test_a_device_serves_a_demand_once() -> None:
    """A large card does not help where only two demands want shares of it."""
    cards = [card(100, (1,), (2,)), card(1, (1,), (2,))]
    assert Patterns().prices_against((4,), cards) is not None
    assert Patterns().prices_against((3,), cards) is None


@pytest.mark.parametrize("seed", range(60))
def test_what_has_room_is_never_refuted(seed: int) -> None:
    dice = random.Random(seed)
    kinds = dice.randint(1, 3)
    most = tuple(dice.randint(1, 4) for _ in range(kinds))
    cards = [
        card(dice.randint(2, 12), tuple(dice.randint(1, 5) for _ in range(kinds)), most, dice.randint(1, 2))
        for _ in range(dice.randint(1, 3))
    ]
    for wanted in product(range(4), repeat=kinds):
        prices = Patterns().prices_against(wanted, cards) if any(wanted) else None
        if prices is not None:
            worth = sum(n * price for n, price in zip(wanted, prices, strict=True))
            assert worth > room_at(prices, cards)
            assert not fits(wanted, cards)


@pytest.mark.parametrize("seed", range(60))
def test_the_best_way_is_computed_as_if_all_were_tried(seed: int) -> None:
    dice = random.Random(seed)
    capacity = dice.randint(0, 20)
    costs = tuple(dice.randint(0, 6) for _ in range(3))
    most = tuple(dice.randint(0, 5) for _ in range(3))
    prices = [dice.randint(0, 9) for _ in range(3)]
    tried, _ = card(capacity, costs, most).best(prices)
    computed, way = card(capacity, costs, most, computed=True).best(prices)
    assert computed == tried == sum(n * price for n, price in zip(way, prices, strict=True))
    assert way in fillings(capacity, costs, most)


def test_prices_are_found_against_all_that_might_be_wanted_at_once() -> None:
    """Three units each want two shares of 5 or one of 7; two cards of 9 hold a share each."""
    cards = [card(9, (5, 7), (6, 3), times=2)]
    ways = [(2, 0), (0, 1)]

    def cheapest(prices: Sequence[float]) -> tuple[float, Counts]:
        cost, way = min((sum(n * price for n, price in zip(way, prices, strict=True)), way) for way in ways)
        return 3 * cost, tuple(3 * n for n in way)

    prices = Patterns().prices_against_all(2, cards, cheapest)
    assert prices is not None
    for chosen in product(ways, repeat=3):
        wanted = tuple(map(sum, zip(*chosen, strict=True)))
        assert sum(n * price for n, price in zip(wanted, prices, strict=True)) > room_at(prices, cards)
        assert not fits(wanted, cards)
    assert Patterns().prices_against_all(2, [card(9, (5, 7), (6, 3), times=3)], cheapest) is None


def test_demands_with_no_value_in_common_have_no_room() -> None:
    nothing = Unit([Demand(0, 0, [Choice(cast(Slot, None), 1, 1)])], [])
    mixes = Mixes([nothing], 0, 0, State(0, 0, 0, 0, (), 0))
    assert hopeless(mixes, [], [], cast(Filler, None), False)
