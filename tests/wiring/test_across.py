"""Constraints across claims: the allocator gives the first answer that satisfies them, or there is none."""

from __future__ import annotations

import random
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from randomly import random_node
from wired import NUMA, ROOT, Node, gpu, nic, slices

from builders import claim, match, request
from fairlead.allocator import Across, Decision
from fairlead.placement.wiring import COMPACT
from fairlead.placement.wiring import given as devices_of


def satisfied(across: Across, numbers: list[int]) -> bool:
    """The condition, straight from its definition."""
    values = [across.values_of[number] for number in numbers] + list(across.used)
    if not numbers:
        return True
    if not all(values):
        return False
    if across.distinct:
        return all(not one & other for one, other in combinations(values, 2))
    common = -1
    for value in values:
        common &= value
    return common != 0


def by_hand(node: Node, plain: Decision, across: tuple[Across, ...]) -> list[int] | None:
    """The first answer in the order of claims, requests and devices, looked for one after another."""
    problem = plain.problem
    free = ~node.view.occupancy.held
    ways = [
        list(combinations([n for n in range(node.view.size) if slot.mask & free >> n << n & 1 << n], slot.unit.count))
        for (slot,) in problem.alternatives
    ]
    places = problem.positions
    for chosen in product(*ways):
        numbers = [number for one in chosen for number in one]
        if len(set(numbers)) < len(numbers):
            continue
        if any(
            not satisfied(rule_of, [n for place, one in zip(places, chosen, strict=True) for n in one if place in of])
            for rule_of, of in ((one, one.members) for one in across)
        ):
            continue
        for number, one in enumerate(problem.claims):
            for position, constraint in enumerate(one.shape.constraints):
                values = node.view.attribute(constraint.attribute).values_of
                members = [
                    n
                    for (owner, asked), picked in zip(places, chosen, strict=True)
                    for n in picked
                    if owner == number and position in one.requests[asked][0].unit.constraints
                ]
                rule = Across("", constraint.distinct, ((0, 0),), tuple(values))
                if not satisfied(rule, members):
                    break
            else:
                continue
            break
        else:
            return numbers
    return None


def random_across(rng: random.Random, node: Node, requests: int) -> tuple[Across, ...]:
    places = [(0, 0), (1, 0), (1, 1)][:requests]
    found = []
    for number in range(rng.randint(1, 2)):
        members = tuple(rng.sample(places, rng.randint(1, len(places))))
        column = rng.choice([NUMA, ROOT])
        values = tuple(node.view.attribute(column).values_of)
        used = tuple(rng.choice([value for value in values if value] or [1]) for _ in range(rng.choice([0, 0, 0, 1])))
        found.append(Across(f"condition {number}", rng.random() < 0.4, members, values, used))
    return tuple(found)


@settings(max_examples=80, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_the_first_answer_that_satisfies_them(rng: random.Random) -> None:
    holds(rng)


@pytest.mark.parametrize("seed", [318, 1015])
def test_places_are_not_exchanged_where_a_value_is_in_use_elsewhere(seed: int) -> None:
    holds(random.Random(seed))


def holds(rng: random.Random) -> None:
    node = random_node(rng)
    asked = [request("nics", rng.randint(1, 2), device_class="nic")]
    if rng.random() < 0.5:
        asked.append(request("more", 1, device_class=rng.choice(["gpu", "nic", "any"])))
    constraints = [match(ROOT)] if rng.random() < 0.2 else []
    claims = [
        claim(request("gpus", rng.randint(1, 3), device_class="gpu"), name="one"),
        claim(*asked, name="two", constraints=constraints),
    ]
    across = random_across(rng, node, 1 + len(asked))
    decision = node.first(*claims, across=across)
    assert not decision.error
    expected = by_hand(node, decision, across)
    assert ([pick.number for pick in decision.picks] if decision.picks is not None else None) == expected
    if decision.fits:
        chosen, choice = node.chooser.choose(decision, COMPACT, across)
        best = node.best(COMPACT, decision, across)
        assert choice.proven
        assert choice.score.merit == best[0].merit
        assert devices_of(chosen) in [sum(1 << n for n in score.devices) for score in best]
    elif node.first(*claims).fits:
        reasons = decision.reasons()
        assert reasons
        assert all(reason.kind == "constraint" and "condition" in reason.text for reason in reasons)


def test_observers_are_free_of_them() -> None:
    node = Node(slices(gpu("gpu-0", root="a"), gpu("gpu-1", root="b"), nic("nic-0", root="b")))
    values = tuple(node.view.attribute(ROOT).values_of)
    watch = claim(request("watch", 1, device_class="gpu", adminAccess=True), name="one")
    nics = claim(request("nic", 1, device_class="nic"), name="two")
    decision = node.first(watch, nics, across=(Across("same root", False, ((0, 0), (1, 0)), values),))
    assert node.names(decision) == ["gpu-0", "nic-0"]


def test_all_devices_under_them_are_a_no_and_not_an_error() -> None:
    node = Node(slices(gpu("gpu-0", root="a"), gpu("gpu-1", root="b"), nic("nic-0", root="b")))
    values = tuple(node.view.attribute(ROOT).values_of)
    everything = claim(request("all", "All", device_class="gpu"), name="one")
    nics = claim(request("nic", 1, device_class="nic"), name="two")
    decision = node.first(everything, nics, across=(Across("same root", False, ((0, 0), (1, 0)), values),))
    assert not decision.fits
    assert not decision.error
    assert [reason.kind for reason in decision.reasons()] == ["constraint"]
