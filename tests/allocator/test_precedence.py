"""Of requests and claims that could change places, the earlier one goes first; nothing else is ruled out."""

from __future__ import annotations

import json
from collections.abc import Mapping
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


def test_an_equal_request_does_not_go_below_an_earlier_one() -> None:
    equal = precedence(claim(request("a", 2), request("b", 2)))
    assert equal.floor(0, 0, {}) == ()
    assert equal.floor(1, 0, {0: (0, (1, 3))}) == (1, 3)


def test_requests_of_different_claims_are_equal_where_no_constraint_joins_them() -> None:
    assert precedence(claim(request("a", 1)), claim(request("b", 1))).floor(1, 0, {0: (0, (4,))}) == (4,)


@pytest.mark.parametrize("other", [request("b", 1), request("b", 2, BIG), request("b", "All")])
def test_another_count_selector_or_mode_makes_requests_different(other: dict[str, Any]) -> None:
    assert precedence(claim(request("a", 2), other)).floor(1, 0, {0: (0, (4, 5))}) == ()


def test_a_constraint_on_one_of_two_makes_them_different() -> None:
    one_sided = claim(request("a", 1), request("b", 1), request("c", 1), constraints=[match(ROOT, "a", "c")])
    rules = precedence(one_sided)
    assert rules.floor(1, 0, {0: (0, (4,))}) == ()
    assert rules.floor(2, 0, {0: (0, (4,)), 1: (0, (0,))}) == (4,)


def test_alternatives_change_places_where_each_could_have_the_other() -> None:
    two, one = request("two", 2), request("one", 1)
    lists = precedence(claim(either("a", two, one), either("b", two, one, request("big", 1, BIG)), request("c", 2)))
    assert lists.floor(1, 0, {0: (1, (3,))}) is None, "a would have come to two devices before"
    assert lists.floor(1, 1, {0: (0, (0, 1))}) == ()
    assert lists.floor(1, 1, {0: (1, (3,))}) == (3,)
    assert lists.floor(2, 0, {0: (1, (3,)), 1: (2, (4,))}) == (), "c could not have what a or b has"


def test_claims_change_places_as_wholes() -> None:
    rooted = [claim(request("a", 1), request("b", 1, BIG), constraints=[match(ROOT)], name=name) for name in "xy"]
    wholes = precedence(*rooted)
    first = {0: (0, (3,)), 1: (0, (5,))}
    assert wholes.floor(2, 0, first) == (3,)
    assert wholes.floor(3, 0, {**first, 2: (0, (3,))}) == (5,), "they are equal so far"
    assert wholes.floor(3, 0, {**first, 2: (0, (4,))}) == ()


def test_a_claim_with_another_constraint_does_not_change_places() -> None:
    pair = [request("a", 1), request("b", 1, BIG)]
    unlike = precedence(claim(*pair, constraints=[match(ROOT)]), claim(*pair, constraints=[match(f"{DRIVER}/big")]))
    assert unlike.floor(2, 0, {0: (0, (3,)), 1: (0, (5,))}) == ()


def test_a_claim_that_might_get_too_many_devices_gets_only_as_many_in_turn() -> None:
    many = either("a", request("lots", 32), request("two", 2), request("one", 1))
    few = either("a", request("two", 2), request("one", 1))
    tight = precedence(claim(few), claim(many, request("b", 1)))
    assert tight.floor(1, 1, {0: (1, (3,))}) == ()
    assert tight.floor(1, 2, {0: (1, (3,))}) == (3,)
    assert precedence(claim(few), claim(few)).floor(1, 0, {0: (1, (3,))}) is None
