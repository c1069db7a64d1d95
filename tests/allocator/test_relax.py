"""The smallest changes that would make claims fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    CLASSES,
    DRIVER,
    EVERYTHING,
    ROOT,
    claim,
    counters,
    device,
    devices,
    distinct,
    either,
    match,
    request,
    slice_,
)
from fairlead.allocator import Allocator, Relaxation, Relaxations, Relaxer, relaxations
from fairlead.cli.cases import inventory_of, parse_case

ATTRIBUTES = f'device.attributes["{DRIVER}"]'


def holder(name: str, *names: str, pool: str = "node-1", **result: Any) -> dict[str, Any]:
    """A claim that has devices."""
    results = [{"request": "r", "driver": DRIVER, "pool": pool, "device": one, **result} for one in names]
    return {**claim(request("r", len(names)), name=name), "status": {"allocation": {"devices": {"results": results}}}}


def look(
    slices: Sequence[Mapping[str, Any]],
    *claims: Mapping[str, Any],
    holders: Sequence[Mapping[str, Any]] = (),
    effort: int = 300,
) -> Relaxations:
    """What would help the claims on node-1."""
    line = {
        "features": EVERYTHING,
        "slices": list(slices),
        "classes": CLASSES,
        "claims": list(claims),
        "allocatedClaims": list(holders),
        "node": {"metadata": {"name": "node-1"}},
    }
    case = parse_case(json.dumps(line).encode())
    inventory = inventory_of(case)
    allocator = Allocator(case.classes, inventory.features)
    view = inventory.view("node-1")
    wanted = [allocator.wanted(one) for one in case.claims]
    before = view.occupancy
    found = Relaxer(allocator).look(view, wanted, effort=effort)
    assert view.occupancy == before, "looking changes nothing"
    if effort == 300:
        assert relaxations(allocator, view, wanted) == list(found.found)
    return found


def texts(found: Relaxations) -> list[str]:
    """The changes as sentences."""
    return [one.text for one in found.found]


def only(found: Relaxations) -> Relaxation:
    """The one change that helps."""
    (one,) = found.found
    return one


FOUR = [slice_("gpu-0 gpu-1 gpu-2 gpu-3")]


def test_claims_that_fit_need_no_change() -> None:
    assert look(FOUR, claim(request("r", 4))).found == ()


class TestFreeing:
    """Somebody lets go of devices."""

    def test_one_device_is_enough_or_the_whole_claim_is_needed(self) -> None:
        holders = [holder("a", "gpu-0", "gpu-1", "gpu-2"), holder("b", "gpu-3")]
        assert texts(look(FOUR, claim(request("r", 1)), holders=holders)) == [
            "if claim ml/b released its device gpu-3",
            "if claim ml/a released one of its 3 devices",
            "if claim ml/a released its 3 devices",
        ]
        assert texts(look(FOUR, claim(request("r", 3)), holders=holders)) == ["if claim ml/a released its 3 devices"]

    def test_only_devices_that_would_serve_are_named(self) -> None:
        mixed = [slice_(devices("s0 s1", big=False) + devices("b0 b1", big=True))]
        found = look(mixed, claim(request("r", 1, f"{ATTRIBUTES}.big")), holders=[holder("a", "s0", "b0", "b1")])
        assert texts(found)[0] == "if claim ml/a released b0 or b1"
        assert found.found[0].devices == (f"{DRIVER}/node-1/b0", f"{DRIVER}/node-1/b1")

    def test_nobody_is_asked_where_the_hardware_is_too_small(self) -> None:
        found = look(FOUR, claim(request("r", 5)), holders=[holder("a", "gpu-0")])
        assert texts(found) == ["with 3 instead of 5 devices in request r"]

    def test_a_partition_gives_its_counters_back(self) -> None:
        sliced = [
            slice_(
                name="counters", pool="node-1", count=2, members=[], sharedCounters=counters(card={"memory": "40Gi"})
            ),
            slice_(
                [
                    device("half", uses={"card": {"memory": "20Gi"}}),
                    device("whole", {"whole": True}, uses={"card": {"memory": "40Gi"}}),
                ],
                count=2,
            ),
        ]
        found = look(sliced, claim(request("r", 1, f'"whole" in {ATTRIBUTES}')), holders=[holder("a", "half")])
        assert texts(found) == ["if claim ml/a released its device half"]

    def test_a_share_gives_its_capacity_back(self) -> None:
        shared = [slice_([device("card", capacity={"memory": "40Gi"}, allowMultipleAllocations=True)])]
        shares = [
            holder(name, "card", shareID=f"id-{name}", consumedCapacity={"memory": amount})
            for name, amount in (("a", "10Gi"), ("b", "20Gi"), ("c", "5Gi"))
        ]
        found = look(shared, claim(request("r", 1, capacity={"memory": "20Gi"})), holders=shares)
        assert texts(found) == [
            "if claim ml/b released its device card",
            "if claims ml/a, ml/b and ml/c released their shares of card",
        ]


class TestHoldersTogether:
    """No single change is enough: the fewest that let go together."""

    def test_the_fewest_and_how_many_devices_each_has(self) -> None:
        rooted = [slice_([device(f"gpu-{i}", {ROOT: f"root-{i // 4}"}) for i in range(8)])]
        holders = [holder(f"small-{i}", f"gpu-{i}") for i in range(4)] + [
            holder("left", "gpu-4", "gpu-5"),
            holder("right", "gpu-6", "gpu-7"),
        ]
        gpus = claim(request("a", 2), request("b", 2), constraints=[match(ROOT), distinct(f"{DRIVER}/none", "a")])
        assert look(rooted, gpus, holders=holders).found == ()
        gpus = claim(either("a", request("two", 2)), either("b", request("two", 2)), constraints=[match(ROOT)])
        one = only(look(rooted, gpus, holders=holders))
        assert one.text == "if 2 claims released their devices: ml/left (2 devices) and ml/right (2 devices)"
        assert (one.holders, one.cost, one.fewest) == (("ml/left", "ml/right"), 4, True)

    def test_the_bound_ends_the_search_and_it_is_said(self) -> None:
        many = [slice_([device(f"gpu-{i}", {ROOT: f"root-{i // 6}"}) for i in range(24)])]
        holders = [holder(f"h{i:02}", f"gpu-{i}") for i in range(24)]
        gpus = claim(either("a", request("six", 6)), constraints=[match(ROOT)])
        one = only(look(many, gpus, holders=holders, effort=60))
        assert not one.fewest
        assert one.text.endswith("; fewer may be enough, the search ended after 60 decisions")
        assert len(one.holders) == 6


class TestChangedClaims:
    """The claim asks for a little less."""

    def test_a_constraint_is_dropped(self) -> None:
        rooted = [slice_([device(f"gpu-{i}", {ROOT: f"root-{i // 2}"}) for i in range(4)])]
        asked = (request("a", 2), request("b", 1))
        found = look(rooted, claim(*asked, constraints=[match(ROOT)])).found
        assert [one.text for one in found] == [
            "with 1 instead of 2 devices in request a",
            f"without matchAttribute {ROOT}",
        ]
        assert (found[1].kind, found[1].claim, found[1].requests) == ("drop-constraint", "ml/claim", ("a", "b"))
        found = look(rooted, claim(*asked, constraints=[match(ROOT), match(ROOT, "a")])).found
        assert found[1].text == f"without matchAttribute {ROOT} of all requests"

    def test_the_greatest_count_that_fits(self) -> None:
        found = look(FOUR, claim(request("a", 3), request("b", 3)))
        assert texts(found) == ["with 1 instead of 3 devices in request a", "with 1 instead of 3 devices in request b"]
        assert [one.count for one in found.found] == [1, 1]

    def test_claims_are_named_where_a_pod_has_several(self) -> None:
        found = look(FOUR, claim(request("a", 3), name="one"), claim(request("a", 2), name="two"))
        assert texts(found) == [
            "with 1 instead of 2 devices in request a of claim ml/two",
            "with 2 instead of 3 devices in request a of claim ml/one",
        ]

    def test_alternatives_are_left_as_they_are(self) -> None:
        assert look(FOUR, claim(either("a", request("six", 6), request("five", 5)))).found == ()

    def test_a_taint_is_tolerated_by_the_request_that_needs_it_or_by_all(self) -> None:
        taint = {"key": "example.com/broken", "value": "fan", "effect": "NoSchedule"}
        tainted = [slice_([device("gpu-0"), device("gpu-1", taints=[taint]), device("gpu-2", taints=[taint])])]
        assert texts(look(tainted, claim(request("a", 1), request("b", 1)))) == [
            "if request a tolerated the device taint example.com/broken=fan:NoSchedule",
            "if request b tolerated the device taint example.com/broken=fan:NoSchedule",
        ]
        both = look(tainted, claim(request("a", 2), request("b", 1)))
        assert texts(both)[-1] == "if request a tolerated the device taint example.com/broken=fan:NoSchedule"
        tainted = [slice_([device("gpu-1", taints=[taint]), device("gpu-2", taints=[taint])])]
        assert texts(look(tainted, claim(request("a"), request("b")))) == [
            "if all of a, b tolerated the device taint example.com/broken=fan:NoSchedule"
        ]

    def test_two_taints_on_one_device_are_more_than_one_change(self) -> None:
        taints = [{"key": f"example.com/{name}", "effect": "NoSchedule"} for name in ("one", "two")]
        assert look([slice_([device("gpu-0", taints=taints)])], claim(request("a"))).found == ()

    def test_a_failing_selector_is_not_offered(self) -> None:
        assert look(FOUR, claim(request("a", 1, f"{ATTRIBUTES}.missing > 1"))).found == ()


@settings(max_examples=100, deadline=None)
@given(
    owners=st.lists(st.integers(0, 4), min_size=4, max_size=8),
    roots=st.integers(1, 3),
    wanted=st.integers(1, 5),
    matching=st.booleans(),
)
def test_holders_together_are_the_fewest(owners: list[int], roots: int, wanted: int, matching: bool) -> None:
    """Compared with counting over all sets of holders; owner 0 is nobody."""
    root_of = [number % roots for number in range(len(owners))]
    made = [slice_([device(f"gpu-{i}", {ROOT: f"root-{root}"}) for i, root in enumerate(root_of)])]
    names = sorted({owner for owner in owners if owner})
    holders = [holder(f"h{name}", *(f"gpu-{i}" for i, o in enumerate(owners) if o == name)) for name in names]
    asked = claim(either("r", request("x", wanted)), constraints=[match(ROOT)] if matching else [])

    def fits(freed: Sequence[int]) -> bool:
        free = [i for i, owner in enumerate(owners) if owner == 0 or owner in freed]
        groups = [[i for i in free if root_of[i] == root] for root in range(roots)] if matching else [free]
        return any(len(group) >= wanted for group in groups)

    sizes = [size for size in range(len(names) + 1) if any(map(fits, combinations(names, size)))]
    found = look(made, asked, holders=holders).found
    released = [one for one in found if one.kind in ("free-claim", "free-claims")]
    if not sizes or sizes[0] == 0:
        assert not released
    elif sizes[0] == 1:
        assert {one.holders for one in released} == {(f"ml/h{name}",) for name in names if fits([name])}
    elif any(one.kind == "drop-constraint" for one in found):
        assert not released, "holders together are for where no single change helps"
    else:
        (one,) = released
        assert (len(one.holders), one.fewest) == (sizes[0], True)
        assert fits([int(name.removeprefix("ml/h")) for name in one.holders])


@pytest.mark.parametrize("effort", [0, 1, 2, 5])
def test_what_is_found_before_the_bound_is_kept(effort: int) -> None:
    holders = [holder(f"h{i}", f"gpu-{i}") for i in range(4)]
    found = look(FOUR, claim(request("a", 1)), holders=holders, effort=effort)
    assert not found.complete
    assert found.decisions <= 2 * effort
    if effort == 5:  # one decision on what is, one on a node that is empty, three on holders
        assert [one.kind for one in found.found] == ["free-claim"] * 3
    assert all(one.kind == "free-claim" or not one.fewest for one in found.found)
