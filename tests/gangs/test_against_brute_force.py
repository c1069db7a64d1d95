"""Placements and shortages against every choice there is, on small random gangs over all features."""

from itertools import combinations

import gang_brute as brute
import pytest
from gang_cases import Case, random_case

from fairlead.placement.gangs import (
    Change,
    Gang,
    Need,
    Placement,
    Relaxation,
    Shortage,
    Shortfall,
    Sites,
    Slices,
    solve,
)

SEEDS = range(800)
BLOCK = 100  # seeds of one test


def given(case: Case, placement: Placement) -> brute.Given:
    by_site = {share.site: share.pods for share in placement.shares}
    assert len(by_site) == len(placement.shares)
    assert all(any(share.pods) for share in placement.shares)
    none = (0,) * len(case.gang.roles)
    return tuple(by_site.get(site.name, none) for site in case.sites)


def check_placement(case: Case, gang: Gang, placement: Placement) -> tuple[object, ...]:
    """The objective, after checking that the choice is valid and has it."""
    offer = next(offer for offer in case.offers if offer.alignment == placement.alignment)
    choice = given(case, placement)
    assert brute.valid(case.levels, gang, case.sites, offer, choice, whole=True)
    stated = placement.objective
    vector = (stated.domains, stated.nodes, stated.rank, stated.cost)
    assert vector == brute.objective(case.levels, gang, case.sites, offer, choice)
    return vector


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_objectives_and_feasibility_are_those_of_brute_force(first: int) -> None:
    for seed in range(first, first + BLOCK):
        case = random_case(seed)
        answer = solve(Sites(case.levels, case.sites), case.gang, case.offers)
        best = brute.optimum(case.levels, case.gang, case.sites, case.offers)
        if isinstance(answer, Placement):
            assert check_placement(case, case.gang, answer) == best, seed
            assert answer.bound == answer.objective
        else:
            assert best is None, seed
        assert answer.proven


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_a_search_that_is_cut_stays_valid_and_its_bound_holds(first: int) -> None:
    for seed in range(first, first + BLOCK):
        case = random_case(seed)
        if len(case.gang.roles) == 1 and not any(limit > 1 for limit in case.gang.limits.values()):
            continue
        answer = solve(Sites(case.levels, case.sites), case.gang, case.offers, effort=0)
        best = brute.optimum(case.levels, case.gang, case.sites, case.offers)
        if isinstance(answer, Placement):
            vector = check_placement(case, case.gang, answer)
            bound = (answer.bound.domains, answer.bound.nodes, answer.bound.rank, answer.bound.cost)
            assert best is not None
            assert bound <= best <= vector, seed
            assert answer.proven == (bound == vector)
        elif answer.proven:
            assert best is None, seed


def without(gang: Gang, **fields: object) -> Gang:
    kept = {name: getattr(gang, name) for name in ("roles", "limits", "slices", "prefer", "aligned")}
    return Gang(**{**kept, **fields})


def changed(gang: Gang, levels: tuple[str, ...], changes: tuple[Relaxation, ...]) -> Gang:
    for change in changes:
        match change.change:
            case Change.NO_ALIGNMENT:
                gang = without(gang, aligned=False)
            case Change.NO_SLICES:
                gang = without(gang, slices=None)
            case Change.NO_BALANCE:
                assert gang.slices is not None
                gang = without(gang, slices=Slices(gang.slices.level, gang.slices.size))
            case _:
                limits = {level: limit for level, limit in gang.limits.items() if level != change.level}
                if change.change is Change.WIDEN_LEVEL:
                    assert change.level is not None
                    wider = levels[levels.index(change.level) - 1]
                    assert change.to == wider
                    limits[wider] = min(limits.get(wider, 99), gang.limits[change.level])
                gang = without(gang, limits=limits)
    return gang


def all_changes(case: Case) -> list[list[Relaxation]]:
    """For each requirement, the ways to make it weaker."""
    gang = case.gang
    ways = []
    for level in case.levels:
        if level in gang.limits:
            way = [Relaxation(Change.DROP_LEVEL, level)]
            if level != case.levels[0]:
                way.append(Relaxation(Change.WIDEN_LEVEL, level, case.levels[case.levels.index(level) - 1]))
            ways.append(way)
    if gang.aligned and any(offer.rank for offer in case.offers):
        ways.append([Relaxation(Change.NO_ALIGNMENT)])
    if gang.slices:
        way = [Relaxation(Change.NO_SLICES, gang.slices.level)]
        if gang.slices.balanced:
            way.append(Relaxation(Change.NO_BALANCE, gang.slices.level))
        ways.append(way)
    return ways


def helpful(case: Case) -> set[frozenset[Relaxation]]:
    """The smallest sets of changes that help."""
    ways = all_changes(case)
    flat = [(index, change) for index, way in enumerate(ways) for change in way]
    for count in range(1, len(ways) + 1):
        found = set()
        for chosen in combinations(flat, count):
            if len({index for index, _ in chosen}) < count:
                continue
            changes = tuple(change for _, change in chosen)
            gang = changed(case.gang, case.levels, changes)
            if brute.optimum(case.levels, gang, case.sites, case.offers) is not None:
                found.add(frozenset(changes))
        if found:
            return found
    return set()


def expected_shortfalls(case: Case) -> list[tuple[Need, str | None, int, int]]:
    gang, size = case.gang, case.gang.size
    free = without(gang, limits={}, slices=None)
    short: list[tuple[Need, str | None, int, int]] = []

    def held(asked: Gang) -> int:
        return brute.most(case.levels, asked, case.sites, case.offers)

    if (pods := held(free)) < size:
        short.append((Need.CAPACITY, None, pods, size))
    for level in case.levels:
        if level in gang.limits and (pods := held(without(free, limits={level: gang.limits[level]}))) < size:
            short.append((Need.LEVEL, level, pods, size))
    if gang.slices:
        loose = without(gang, slices=Slices(gang.slices.level, gang.slices.size))
        if (pods := held(loose)) < size:
            short.append((Need.SLICES, gang.slices.level, pods // gang.slices.size, size // gang.slices.size))
    return short or [(Need.TOGETHER, None, 0, size)]


def check_domains(case: Case, shortfall: Shortfall) -> None:
    """The named domains alone hold what is said."""
    assert shortfall.level is not None
    place = case.levels.index(shortfall.level)
    assert len(shortfall.domains) <= case.gang.limits[shortfall.level]
    inside = [
        site
        for site in case.sites
        if site.path[place] and tuple(part for part in site.path[: place + 1] if part) in shortfall.domains
    ]
    free = without(case.gang, limits={}, slices=None)
    assert brute.most(case.levels, free, inside, case.offers) >= shortfall.held


@pytest.mark.parametrize("first", SEEDS[::BLOCK])
def test_shortages_say_what_brute_force_says(first: int) -> None:
    seen = 0
    for seed in range(first, first + BLOCK):
        case = random_case(seed)
        answer = solve(Sites(case.levels, case.sites), case.gang, case.offers)
        if not isinstance(answer, Shortage):
            continue
        seen += 1
        stated = [(each.need, each.level, each.held, each.wanted) for each in answer.shortfalls]
        assert stated == expected_shortfalls(case), seed
        for shortfall in answer.shortfalls:
            assert shortfall.exact
            if shortfall.need is Need.LEVEL:
                check_domains(case, shortfall)
        assert {frozenset(remedy.relaxations) for remedy in answer.remedies} == helpful(case), seed
        assert len({remedy.relaxations for remedy in answer.remedies}) == len(answer.remedies)
        for remedy in answer.remedies:
            gang = changed(case.gang, case.levels, remedy.relaxations)
            vector = check_placement(case, gang, remedy.placement)
            assert vector == brute.optimum(case.levels, gang, case.sites, case.offers), seed
    assert seen > BLOCK // 5
