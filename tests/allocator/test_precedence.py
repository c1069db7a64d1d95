"""Of requests and claims that could change places, the earlier one goes first; nothing else is ruled out."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pytest

from builders import CLASSES, DRIVER, EVERYTHING, ROOT, claim, device, either, match, request, slice_
from fairlead.allocator import Allocator
from fairlead.allocator.moves import Moves, standing
from fairlead.allocator.precedence import Precedence
from fairlead.cli.cases import inventory_of, parse_case

BIG = f'device.attributes["{DRIVER}"].big'
SIX = [slice_([device(f"gpu-{i}", {ROOT: f"root-{i // 3}", "big": i > 2}) for i in range(6)])]


def precedence(*claims: Mapping[str, Any]) -> Precedence:
    """That of these claims on six GPUs at two roots."""
    line = {
        "features": EVERYTHING,
        "slices": SIX,
        "classes": CLASSES,
        "claims": list(claims),
        "node": {"metadata": {"name": "node-1"}},
    }
    case = parse_case(json.dumps(line).encode())
    inventory = inventory_of(case)
    allocator = Allocator(case.classes, inventory.features)
    view = inventory.view("node-1")
    problem = allocator.problem(view, tuple([allocator.wanted(one).shape for one in case.claims]))
    return Precedence(Moves(problem, standing(problem, view.occupancy)))


def members(mask: int, after: int = -1) -> list[int]:
    """Which of the six GPUs are in a mask, of those after one."""
    return [number for number in range(after + 1, 6) if mask >> number & 1]


ALL = [0, 1, 2, 3, 4, 5]


def test_an_equal_request_does_not_go_below_an_earlier_one() -> None:
    equal = precedence(claim(request("a", 2), request("b", 2)))
    assert members(equal.allowed(0, 0, (), {})) == ALL
    assert members(equal.allowed(1, 0, (), {0: (0, (2, 4))})) == [2, 3, 4, 5]
    assert members(equal.allowed(1, 0, (2,), {0: (0, (2, 4))}), 2) == [4, 5]
    assert members(equal.allowed(1, 0, (3,), {0: (0, (2, 4))}), 3) == [4], "a would have had 3 in place of 4"


def test_devices_change_places_whatever_the_counts() -> None:
    unequal = precedence(claim(request("a", 3), request("b", 1)), claim(request("c", 4)))
    taken = {0: (0, (1, 3, 4))}
    assert members(unequal.allowed(1, 0, (), taken)) == [1, 3, 4, 5], "a would have had 0 or 2 in place of 4"
    taken[1] = (0, (1,))
    assert members(unequal.allowed(2, 0, (), taken)) == ALL, "all that a has may follow"
    assert members(unequal.allowed(2, 0, (2,), taken), 2) == [3]


def test_requests_of_different_claims_are_equal_where_no_constraint_joins_them() -> None:
    two = precedence(claim(request("a", 1)), claim(request("b", 1)))
    assert members(two.allowed(1, 0, (), {0: (0, (4,))})) == [4, 5]


@pytest.mark.parametrize("other", [request("b", 2, BIG), request("b", "All")])
def test_another_selector_or_mode_makes_requests_different(other: dict[str, Any]) -> None:
    assert members(precedence(claim(request("a", 2), other)).allowed(1, 0, (), {0: (0, (4, 5))})) == ALL


def test_a_constraint_on_one_of_two_makes_them_different() -> None:
    one_sided = claim(request("a", 1), request("b", 1), request("c", 1), constraints=[match(ROOT, "a", "c")])
    rules = precedence(one_sided)
    assert members(rules.allowed(1, 0, (), {0: (0, (4,))})) == ALL
    assert members(rules.allowed(2, 0, (), {0: (0, (4,)), 1: (0, (0,))})) == [4, 5]


def test_alternatives_change_places_where_each_could_have_the_other() -> None:
    big = request("big", 1, BIG)
    lists = precedence(
        claim(either("a", big, request("one", 1)), either("b", big, request("one", 1), request("two", 2, BIG)))
    )
    assert lists.allowed(1, 0, (), {0: (1, (3,))}) == 0, "a would have come to the big one before"
    assert members(lists.allowed(1, 1, (), {0: (0, (4,))})) == ALL
    assert members(lists.allowed(1, 1, (), {0: (1, (3,))})) == [3, 4, 5]
    assert members(lists.allowed(1, 2, (), {0: (1, (3,))})) == ALL, "a could not have two big ones"


def test_claims_change_places_as_wholes() -> None:
    rooted = [claim(request("a", 1), request("b", 1, BIG), constraints=[match(ROOT)], name=name) for name in "xy"]
    wholes = precedence(*rooted)
    first = {0: (0, (3,)), 1: (0, (5,))}
    assert members(wholes.allowed(2, 0, (), first)) == [3, 4, 5]
    assert members(wholes.allowed(3, 0, (), {**first, 2: (0, (3,))})) == [5], "they are equal so far"
    assert members(wholes.allowed(3, 0, (), {**first, 2: (0, (4,))})) == ALL


def test_a_claim_with_another_constraint_does_not_change_places() -> None:
    pair = [request("a", 1), request("b", 1, BIG)]
    unlike = precedence(claim(*pair, constraints=[match(ROOT)]), claim(*pair, constraints=[match(f"{DRIVER}/big")]))
    assert members(unlike.allowed(2, 0, (), {0: (0, (3,)), 1: (0, (5,))})) == ALL


def test_a_claim_that_might_get_too_many_devices_gets_only_as_many_in_turn() -> None:
    few = either("a", request("two", 2), request("big", 1, BIG))
    many = either("a", request("lots", 32), request("two", 2), request("big", 1, BIG))
    tight = precedence(claim(few), claim(many, request("b", 1)))
    assert members(tight.allowed(1, 1, (), {0: (1, (3,))})) == ALL
    assert tight.allowed(1, 1, (), {0: (0, (3, 4))}) != 0
    assert precedence(claim(few), claim(few)).allowed(1, 0, (), {0: (1, (3,))}) == 0


@pytest.mark.parametrize("seed", range(40))
def test_the_first_solution_is_never_ruled_out(seed: int) -> None:
    """Each device has room for so many; nothing else tells requests apart but their counts."""
    dice = random.Random(seed)
    counts = [dice.randint(1, 3) for _ in range(dice.randint(2, 3))]
    rules = precedence(claim(*[request(f"r{n}", count) for n, count in enumerate(counts)]))
    room = [dice.randint(0, 3) for _ in range(6)]

    def holds(choice: Sequence[tuple[int, ...]]) -> bool:
        return all(sum(number in devices for devices in choice) <= room[number] for number in range(6))

    first = next(filter(holds, product(*[combinations(range(6), count) for count in counts])), None)
    for position, devices in enumerate(first or ()):
        chosen = {n: (0, one) for n, one in enumerate((first or ())[:position])}
        for kth, number in enumerate(devices):
            assert rules.allowed(position, 0, devices[:kth], chosen) >> number & 1
