"""The judge on cases small enough to decide in the head, and on the conformance cases."""

import json
import os
from pathlib import Path

import pytest
from families import FAMILIES, case, claim, device, distinct, hard_case, match, pool, request
from generate import random_case
from rules import ExhaustedError, Json, RefusedError, quantity, reaches, selected

from judge import judge

SHARED = Path(os.environ.get("FAIRLEAD_SHARED") or Path(__file__).resolve().parents[3] / "shared")
CONFORMANCE = SHARED / "conformance"
STEPS = 20_000


def picks(*names: str, request: str = "r") -> Json:
    """One claim's answer."""
    return {"devices": [[[request, f"d.x/p/{name}"] for name in names]]}


def three(*values: str) -> list[Json]:
    """A pool of devices with these values of one attribute."""
    return pool([device(f"d{n}", a=value) for n, value in enumerate(values)])


def test_the_first_devices_that_fit_are_taken() -> None:
    assert judge(case(three("A", "B", "A"), [claim([request("r", 2)])], True)) == picks("d0", "d1")


def test_a_later_constraint_moves_an_earlier_choice() -> None:
    assert judge(case(three("A", "B", "B"), [claim([request("r", 2)], [match("d.x/a")])], True)) == picks("d1", "d2")


def test_distinct_means_pairwise() -> None:
    asked = [claim([request("r", 3)], [distinct("d.x/a")])]
    assert judge(case(three("A", "B", "A"), asked, False)) == {"devices": None}


def test_a_missing_key_refuses_the_pod_only_when_the_device_is_reached() -> None:
    slices = pool([device("d0", a="A"), device("d1")])
    wants = 'device.attributes["d.x"].a=="A"'
    assert judge(case(slices, [claim([request("r", 1, wants)])], True)) == picks("d0")
    assert judge(case(slices, [claim([request("r", 2, wants)])], False)) == {"error": True}


def test_an_unfinished_pool_is_passed_over() -> None:
    slices = three("A")
    slices[0]["spec"]["pool"]["resourceSliceCount"] = 2
    assert judge(case(slices, [claim([request("r")])], False)) == {"devices": None}


@pytest.mark.parametrize(
    ("text", "value"), [("1Ki", 1024), ("1500m", 1.5), ("2e3", 2000), ("10G", 10**10), (7, 7), ("-1", -1)]
)
def test_quantities(text: str | int, value: float) -> None:
    assert quantity(text)[0] == value


def test_an_error_is_absorbed_by_a_part_that_is_false() -> None:
    facts = {"driver": "d.x", "shared": False, "attributes": {"i": {"int": 1}}, "capacity": {}}
    assert not selected('device.attributes["d.x"].nope=="x" && device.driver=="e.x"', facts)
    with pytest.raises(RefusedError):
        selected('device.attributes["d.x"].nope=="x" && device.driver=="d.x"', facts)


def test_an_unknown_operator_in_a_node_selector_refuses_the_pod() -> None:
    rule = {"key": "zone", "operator": "Near", "values": ["a"]}
    with pytest.raises(RefusedError):
        reaches({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}, {"metadata": {"name": "n"}})


def test_random_cases_do_not_depend_on_anything_but_their_number() -> None:
    assert random_case(7) == random_case(7) != random_case(8)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_case_of_a_family_is_what_it_says(family: str) -> None:
    hard = hard_case(family, FAMILIES[family][1][0])
    try:
        answer = judge(hard, STEPS)
    except ExhaustedError:
        pytest.skip("too hard for brute force")
    assert ("no fit" if answer["devices"] is None else "fits") == hard["expect"]


def conformance(name: str) -> list[Json]:
    """The cases of a file, none where it is not there."""
    path = CONFORMANCE / f"allocator-{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def right(expected: Json, answer: Json) -> bool:
    """Whether an answer is the expected one; the expected results of the table stand in any order."""
    if "error" in expected or "devices" in expected:
        return answer == ({"error": True} if "error" in expected else expected)
    if not expected["allocations"] or answer.get("devices") is None:
        return answer.get("devices", [1]) in (None, []) and not expected["allocations"]
    for wanted, got in zip(expected["allocations"], answer["devices"], strict=True):
        results = wanted["results"] if "results" in wanted else wanted["allocation"]["devices"]["results"]
        if sorted([r["request"], f"{r['driver']}/{r['pool']}/{r['device']}"] for r in results) != sorted(got):
            return False
    return True


@pytest.mark.parametrize("name", ["random", "table", "traps"])
def test_conformance(name: str) -> None:
    cases = conformance(name)
    if not cases:
        pytest.skip(f"no conformance cases in {CONFORMANCE}")
    assert [one["name"] for one in cases if not right(one["expect"], judge(one))] == []
