"""Laws of placement: more nodes never hurt, order and a warm grouping never matter, two ways of search agree."""

import random

from gang_cases import random_case
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.placement.gangs import Gang, Offer, Placement, Role, Site, Sites, solve

seeds = st.integers(0, 10**9)


@given(seeds, seeds)
@settings(max_examples=150, deadline=None)
def test_one_node_more_never_makes_the_objective_worse(seed: int, other: int) -> None:
    case = random_case(seed)
    before = solve(Sites(case.levels, case.sites), case.gang, case.offers)
    rng = random.Random(other)
    path = rng.choice(case.sites).path if rng.random() < 0.7 else (None,) * len(case.levels)
    extra = Site("one more", path, rng.randrange(3))
    after = solve(Sites(case.levels, [*case.sites, extra]), case.gang, case.offers)
    if isinstance(before, Placement):
        assert isinstance(after, Placement)
        assert after.objective <= before.objective


@given(seeds, st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_order_of_nodes_does_not_change_the_objective(seed: int, rng: random.Random) -> None:
    case = random_case(seed)
    shuffled = list(case.sites)
    rng.shuffle(shuffled)
    left = solve(Sites(case.levels, case.sites), case.gang, case.offers)
    right = solve(Sites(case.levels, shuffled), case.gang, case.offers)
    assert isinstance(left, Placement) == isinstance(right, Placement)
    if isinstance(left, Placement) and isinstance(right, Placement):
        assert left.objective == right.objective


@given(seeds, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_sites_that_were_changed_decide_as_new_ones_do(seed: int, rng: random.Random) -> None:
    case = random_case(seed)
    warm = Sites(case.levels, case.sites)
    for site in case.sites:
        warm.put(Site(site.name, rng.choice(case.sites).path, rng.randrange(3)))
        solve(warm, case.gang, case.offers)
    warm.put(Site("gone", case.sites[0].path, 0))
    warm.remove("gone")
    for site in case.sites:
        warm.put(site)
    assert len(warm) == len(case.sites)
    left, right = solve(warm, case.gang, case.offers), solve(Sites(case.levels, case.sites), case.gang, case.offers)
    assert isinstance(left, Placement) == isinstance(right, Placement)
    if isinstance(left, Placement) and isinstance(right, Placement):
        assert left.objective == right.objective


def cluster(rng: random.Random, leaves: int) -> tuple[list[Site], list[Offer]]:
    """Nodes with one pod each, of ten kinds, four to a leaf and three leaves to a spine."""
    sites = [Site(f"n{place}", (f"s{place // 12}", f"l{place // 4}"), rng.randrange(10)) for place in range(4 * leaves)]
    offers = [
        Offer(name, 0, {kind: (rng.randrange(50),) for kind in range(10) if rng.random() < 0.8}) for name in "abcd"
    ]
    return sites, offers


@given(seeds, st.integers(2, 30))
@settings(max_examples=150, deadline=None)
def test_prices_and_tables_agree(seed: int, pods: int) -> None:
    """Roles that cost the same are one role in all but name; the search takes tables for them instead of prices."""
    rng = random.Random(seed)
    sites, offers = cluster(rng, leaves=9)
    by_price = solve(Sites(("spine", "leaf"), sites), Gang((Role("worker", pods),)), offers)
    named = [
        Offer(
            offer.alignment,
            offer.rank,
            {kind: {(1, 0): costs[0], (0, 1): costs[0]} for kind, costs in offer.kinds.items()},
        )
        for offer in offers
    ]
    two = Gang((Role("worker", pods - 1), Role("leader", 1)))
    by_tables = solve(Sites(("spine", "leaf"), sites), two, named)
    assert isinstance(by_price, Placement) == isinstance(by_tables, Placement)
    if isinstance(by_price, Placement) and isinstance(by_tables, Placement):
        assert by_price.objective == by_tables.objective
