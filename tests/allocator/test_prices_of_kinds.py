"""Prices of kinds prove that bins cannot hold what is wanted, and never what they can hold."""

import random
from itertools import product

import pytest

from fairlead.allocator.bins import Bin
from fairlead.allocator.mixes import _most_sharers
from fairlead.allocator.patterns import Patterns, Sort, room_at

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


@pytest.mark.parametrize("seed", range(40))
def test_a_packing_of_more_serves_less_within_what_its_demands_allow(seed: int) -> None:
    """What devices do for more of a kind they do for fewer, each no more often than is said."""
    dice = random.Random(seed)
    demands = {0: 0}
    for count in dice.sample(range(1, 9), dice.randint(1, 4)):
        demands[count] = dice.randint(1, count)
    most = _most_sharers(demands)
    for wanted in range(max(demands) + 1):
        if wanted in demands:
            assert most[wanted] >= demands[wanted]
        for count, sharers in demands.items():
            if count >= wanted:
                for served in product(range(sharers + 1), repeat=4):
                    if sum(served) == count:
                        assert sum(min(times, most[wanted]) for times in served) >= wanted


def test_no_device_serves_more_than_the_demands_that_come_to_a_count() -> None:
    """One demand for two and one for one share a device at most twice; three where there may be four of them."""
    assert _most_sharers({0: 0, 3: 2})[3] == 2
    assert _most_sharers({0: 0, 3: 2, 4: 4})[3] == 3
