"""What users of gangs rely on, one plain example each."""

import pytest

from fairlead.placement.gangs import (
    Change,
    Gang,
    Need,
    Objective,
    Offer,
    Placement,
    Relaxation,
    Role,
    Shortage,
    Site,
    Sites,
    Slices,
    solve,
)

LEVELS = ("block", "rack")
ONE = [Offer("all rails", 0, {0: (0,)})]


def racks(*sizes: int, per_block: int = 2) -> Sites:
    """Racks of so many nodes that hold one pod each."""
    return Sites(
        LEVELS,
        [
            Site(f"r{rack}-n{node}", (f"b{rack // per_block}", f"r{rack}"), 0)
            for rack, size in enumerate(sizes)
            for node in range(size)
        ],
    )


def workers(count: int, **requirements: object) -> Gang:
    return Gang((Role("worker", count),), **requirements)  # type: ignore[arg-type]


def placed(answer: Placement | Shortage) -> Placement:
    assert isinstance(answer, Placement)
    assert answer.proven
    return answer


def by_rack(answer: Placement) -> dict[str, int]:
    pods: dict[str, int] = {}
    for share in answer.shares:
        rack = share.site.split("-")[0]
        pods[rack] = pods.get(rack, 0) + sum(share.pods)
    return pods


def test_fewest_racks_in_one_block() -> None:
    answer = placed(solve(racks(3, 4, 9, 8), workers(16), ONE))
    assert answer.objective == Objective((1, 2), 16, 0, 0)
    assert set(by_rack(answer)) == {"r2", "r3"}


def test_balanced_slices_are_16_and_16_and_not_14_and_18() -> None:
    sites = racks(18, 18, 18, 18)
    slices = Slices("rack", 1, balanced=True)
    assert by_rack(placed(solve(sites, workers(32, slices=slices), ONE))) == {"r0": 16, "r1": 16}


def test_balance_takes_one_rack_more_where_it_must() -> None:
    sites = racks(18, 9, 9, 9, per_block=4)
    assert placed(solve(sites, workers(24), ONE)).objective.domains == (1, 2)
    answer = placed(solve(sites, workers(24, slices=Slices("rack", 1, balanced=True)), ONE))
    assert sorted(by_rack(answer).values()) == [8, 8, 8]


def test_slices_leave_nodes_of_a_rack_unused() -> None:
    answer = placed(solve(racks(5, 5, 5), workers(8, slices=Slices("rack", 4)), ONE))
    assert sorted(by_rack(answer).values()) == [4, 4]


def test_preferred_levels_in_another_order() -> None:
    # One rack of block b1 and one of b0 are large; two blocks but two racks, or one block and three racks.
    sites = racks(6, 3, 3, 6, 2, 2, per_block=3)
    assert placed(solve(sites, workers(12), ONE)).objective.domains == (1, 3)
    answer = placed(solve(sites, workers(12, prefer=("rack", "block")), ONE))
    assert answer.levels == ("rack", "block")
    assert answer.objective.domains == (2, 2)


def test_ties_go_to_the_sites_that_come_first() -> None:
    answer = placed(solve(racks(4, 4, 4, 4), workers(3), ONE))
    assert [share.site for share in answer.shares] == ["r0-n0", "r0-n1", "r0-n2"]


def test_an_aligned_offer_wins_unless_it_needs_more_domains() -> None:
    sites = racks(4, 4)
    sites.put(Site("r0-n0", ("b0", "r0"), 1))
    aligned = Offer("aligned", 0, {0: (9,)})
    anyhow = Offer("none", 1, {0: (0,), 1: (0,)})
    assert placed(solve(sites, workers(4), [anyhow, aligned])).alignment == "aligned"
    sites.put(Site("r1-n0", ("b0", "r1"), 1))
    assert placed(solve(sites, workers(4), [anyhow, aligned])).alignment == "none"
    assert placed(solve(sites, workers(4, aligned=True), [anyhow, aligned])).objective.domains == (1, 2)


def test_leader_and_workers_share_nodes() -> None:
    gang = Gang((Role("leader", 1), Role("worker", 4)))
    offer = Offer("none", 0, {0: {(0, 1): 1, (0, 2): 2, (1, 0): 1, (1, 1): 3}})
    answer = placed(solve(racks(3, 3), gang, [offer]))
    assert answer.objective == Objective((1, 1), 3, 0, 5)
    assert sorted(share.pods for share in answer.shares) == [(0, 2), (0, 2), (1, 0)]


def test_nodes_of_unknown_rack_are_racks_of_their_own_and_no_required_ones() -> None:
    sites = Sites(LEVELS, [Site(f"n{node}", ("b0", None), 0) for node in range(3)])
    assert placed(solve(sites, workers(3), ONE)).objective.domains == (1, 3)
    answer = solve(sites, workers(3, limits={"rack": 1}), ONE)
    assert isinstance(answer, Shortage)
    assert answer.shortfalls[0].held == 0


def test_a_known_rack_of_an_unknown_block_is_one_rack() -> None:
    sites = Sites(LEVELS, [Site(f"n{node}", ("", "r7"), 0) for node in range(3)])
    assert placed(solve(sites, workers(3, limits={"rack": 1}), ONE)).objective.domains == (1, 1)


def test_no_levels_at_all() -> None:
    sites = Sites((), [Site(f"n{node}", (), node % 2) for node in range(4)])
    answer = placed(solve(sites, workers(3), [Offer("none", 0, {0: (5,), 1: (1, 3)})]))
    assert answer.objective == Objective((), 2, 0, 4)


def test_a_shortage_names_the_best_rack_and_what_would_help() -> None:
    answer = solve(racks(48, 40, 60, 10), workers(64, limits={"rack": 1}), ONE)
    assert isinstance(answer, Shortage)
    assert answer.proven
    (short,) = answer.shortfalls
    assert (short.need, short.level, short.held, short.wanted) == (Need.LEVEL, "rack", 60, 64)
    assert short.domains == (("b1", "r2"),)
    assert [remedy.relaxations for remedy in answer.remedies] == [
        (Relaxation(Change.DROP_LEVEL, "rack"),),
        (Relaxation(Change.WIDEN_LEVEL, "rack", "block"),),
    ]
    assert [remedy.placement.objective.domains for remedy in answer.remedies] == [(1, 2), (1, 2)]


def test_too_few_nodes_have_no_remedy() -> None:
    answer = solve(racks(30, 30), workers(64, limits={"rack": 1}), ONE)
    assert isinstance(answer, Shortage)
    assert [(short.need, short.held) for short in answer.shortfalls] == [(Need.CAPACITY, 60), (Need.LEVEL, 30)]
    assert answer.remedies == ()


def test_slices_that_fall_short_are_counted() -> None:
    answer = solve(racks(18, 18, 18, 10), workers(64, slices=Slices("rack", 16)), ONE)
    assert isinstance(answer, Shortage)
    assert [(short.need, short.level, short.held, short.wanted) for short in answer.shortfalls] == [
        (Need.SLICES, "rack", 3, 4)
    ]
    assert [remedy.relaxations for remedy in answer.remedies] == [(Relaxation(Change.NO_SLICES, "rack"),)]


def test_no_sites_and_no_offers_are_shortages() -> None:
    for answer in (solve(Sites(LEVELS), workers(1), ONE), solve(racks(4), workers(1), [])):
        assert isinstance(answer, Shortage)
        assert answer.shortfalls[0].need is Need.CAPACITY
        assert answer.shortfalls[0].held == 0


@pytest.mark.parametrize(
    ("gang", "offers", "message"),
    [
        (workers(4, limits={"rak": 1}), ONE, "the sites have no level 'rak', only block, rack"),
        (workers(4, prefer=("zone",)), ONE, "no level 'zone'"),
        (workers(4), [Offer("x", 0, {0: (-1,)})], "offer 'x', kind 0: a cost is negative"),
        (workers(4), [Offer("x", 0, {0: {(1, 1): 1}})], "is not pods by role"),
        (Gang((Role("a", 1), Role("b", 1))), ONE, "costs need the pods of each role"),
    ],
)
def test_questions_that_make_no_sense(gang: Gang, offers: list[Offer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve(racks(4), gang, offers)


def test_demands_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        workers(10, slices=Slices("rack", 4))
    with pytest.raises(ValueError, match="at least one role"):
        Gang(())
    with pytest.raises(ValueError, match="at least 1"):
        workers(4, limits={"rack": 0})
    with pytest.raises(ValueError, match="domain ids"):
        Sites(LEVELS, [Site("n", ("b",), 0)])
