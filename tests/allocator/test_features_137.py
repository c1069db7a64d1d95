"""What Kubernetes 1.37 adds: fractional ranges, optional node operations, compatibility groups, derived attributes."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from builders import (
    CLASSES,
    DRIVER,
    EVERYTHING,
    ROOT,
    claim,
    convert,
    counters,
    decide,
    device,
    devices,
    distinct,
    either,
    held,
    match,
    picks,
    request,
    slice_,
)
from fairlead.allocator import Allocator
from fairlead.inventory import Features, Inventory
from fairlead.resource import DeviceClass, Node, ResourceClaim, ResourceSlice

NEW = [*EVERYTHING, "FractionalCapacityRange", "OptionalNodeOperations", "CompatibilityGroups", "DerivedAttributes"]
LABEL = "example.com/kind"


def test_old_names_leave_the_new_gates_off() -> None:
    old, new = Features.named(EVERYTHING), Features.named(NEW)
    gates = ["fractional_capacity_range", "optional_node_operations", "compatibility_groups", "derived_attributes"]
    assert not any(getattr(old, gate) for gate in gates)
    assert all(getattr(new, gate) for gate in gates)
    assert all(getattr(Features(), gate) for gate in gates)
    assert Features.named(["DeviceCompatibilityGroups"]).compatibility_groups


# Fractional capacity ranges


def shared(value: str, **policy: Any) -> dict[str, Any]:
    return device("d", capacity={"cpu": {"value": value, "requestPolicy": policy}}, allowMultipleAllocations=True)


def taken(value: str, asked: str | None, features: list[str] = NEW, **policy: Any) -> str | None:
    """What a share of a device takes; None where it cannot be had."""
    fields = {"capacity": {"cpu": asked}} if asked else {}
    outcome = decide([slice_([shared(value, **policy)])], claim(request("r", **fields)), features=features)
    assert outcome.error is None, outcome.error
    if outcome.allocations is None:
        return None
    return str(outcome.allocations[0]["devices"]["results"][0]["consumedCapacity"]["cpu"])


@pytest.mark.parametrize(
    ("asked", "fractional", "whole"),
    [("100m", "500m", "500m"), ("600m", "750m", None), ("1", "1", None), ("1900m", "2", None), ("2100m", None, None)],
)
def test_steps_of_thousandths_need_the_gate(asked: str, fractional: str | None, whole: str | None) -> None:
    quarter = {"validRange": {"min": "500m", "max": "2", "step": "250m"}}
    assert taken("8", asked, **quarter) == fractional
    if whole is None:
        return
    assert taken("8", asked, EVERYTHING, **quarter) == whole


def test_whole_ranges_are_what_they_were() -> None:
    whole = {"validRange": {"min": "1Gi", "step": "1Gi"}}
    for features in (NEW, EVERYTHING):
        assert taken("80Gi", "1500Mi", features, **whole) == "2Gi"


def test_a_step_below_a_thousandth_is_computed_in_whole_numbers() -> None:
    assert taken("8", "1500m", validRange={"min": "1", "step": "100u"}) == "2"


@pytest.mark.parametrize(
    ("features", "policy", "asked", "reason"),
    [
        (NEW, {"validRange": {"min": "0", "step": "1m"}}, "1500u", "request 1500u is not a representable milli value"),
        (NEW, {"validRange": {"min": "0", "step": "1"}}, "9e18", "request 9e18 is not a representable milli value"),
        (EVERYTHING, {"validRange": {"min": "0", "step": "1"}}, "1e19", "request 10e18 exceeds MaxInt64"),
        (
            EVERYTHING,
            {"validRange": {"min": "0", "step": "2"}},
            "9223372036854775807",
            "rounding request 9223372036854775807 up to the next step passes MaxInt64",
        ),
        (NEW, {}, "-1", "capacity value is negative"),
        (NEW, {"default": "-1"}, None, "capacity value is negative"),
    ],
)
def test_what_cannot_be_computed_ends_the_allocation(
    features: list[str], policy: dict[str, Any], asked: str | None, reason: str
) -> None:
    good = device("e", capacity={"cpu": "100"})
    slices = [slice_([shared("100", **policy), good])]
    wanted = claim(request("r", **({"capacity": {"cpu": asked}} if asked else {})))
    error = decide(slices, wanted, features=features).error
    assert error is not None
    assert error.startswith(
        f'claim ml/claim, request r: checking capacity for device {DRIVER}/node-1/d: capacity "cpu"'
    )
    assert error.endswith(reason)


def test_such_an_error_counts_only_once_the_device_is_reached() -> None:
    bad = shared("-5")
    bad["name"] = "z"
    assert picks(decide([slice_([device("a", capacity={"cpu": "1"}), bad])], claim(request("r")))) == ["r=a"]
    assert decide([slice_([device("a", capacity={"cpu": "1"}), bad])], claim(request("r", "All"))).error


def test_fatal_amounts_are_found_before_others_make_the_device_unsuitable() -> None:
    both = device("d", capacity={"a": "1", "b": {"value": "1", "requestPolicy": {"default": "-1"}}})
    assert decide([slice_([both])], claim(request("r", capacity={"a": "5"}))).error


# Optional node operations


def workplace(slices: list[dict[str, Any]], features: Features, wanted: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Inventory, allocator and what is wanted, for tests that look at several views."""
    allocator = Allocator([convert(DeviceClass, entry) for entry in CLASSES], features)
    inventory = Inventory([convert(ResourceSlice, entry) for entry in slices], features=features)
    return inventory, allocator, allocator.wanted(convert(ResourceClaim, wanted))


def decide_on(declared: list[str], features: Features) -> list[dict[str, Any]] | None:
    """The results on a node that declares these features, after one that declares none."""
    slices = [slice_("a", skipNodeOperations=["NodeUnprepareResources"])]
    inventory, allocator, wanted = workplace(slices, features, claim(request("r")))
    node = convert(Node, {"metadata": {"name": "node-1"}, "status": {"declaredFeatures": declared}})
    assert not allocator.allocate(inventory.view("node-1"), [wanted]).fits
    view = inventory.view("node-1", {}, frozenset(node.status.declared_features))
    decision = allocator.allocate(view, [wanted])
    if not decision.fits:
        return None
    return [msgspec.to_builtins(result) for result in decision.allocations()[0].devices.results]


def test_a_slice_that_skips_needs_a_node_that_declares_it() -> None:
    found = decide_on(["DRAOptionalNodeOperations", "Another"], Features())
    assert found is not None
    assert found[0]["skipNodeOperations"] == ["NodeUnprepareResources"]
    assert decide_on(["Another"], Features()) is None
    assert decide_on(["DRAOptionalNodeOperations"], Features(optional_node_operations=False)) is None


# Compatibility groups


def grouped(name: str, groups: str = "", on: str = "gpu", **fields: Any) -> dict[str, Any]:
    """A device that takes one slot of a counter set, with these groups."""
    consumption: dict[str, Any] = {"counterSet": on, "counters": {"slots": {"value": "1"}}}
    if groups:
        consumption["compatibilityGroups"] = groups.split()
    return device(name, consumesCounters=[consumption], **fields)


def gpu(*members: dict[str, Any], slots: str = "8", **more: str) -> list[dict[str, Any]]:
    sets = counters(**{"gpu": {"slots": slots}, **{name: {"slots": amount} for name, amount in more.items()}})
    return [slice_([], name="counters", count=2, sharedCounters=sets), slice_(members, name="devices", count=2)]


@pytest.mark.parametrize(
    ("groups", "fits"),
    [
        (("a", "a"), True),
        (("a", "b"), False),
        (("a b", "b"), True),
        (("a b", "b", "a"), False),
        (("a b", "b c", "a c"), False),
        (("a b c", "c b", "b"), True),
        (("", ""), True),
        (("", "a"), False),
    ],
)
def test_all_devices_of_a_counter_set_have_a_group_in_common(groups: tuple[str, ...], fits: bool) -> None:
    members = [grouped(f"d{number}", names) for number, names in enumerate(groups)]
    outcome = decide(gpu(*members), claim(request("r", len(members))), features=NEW)
    assert (picks(outcome) is not None) == fits


def test_the_next_device_that_goes_with_the_others_is_taken() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b"), grouped("n0"), grouped("a1", "a")]
    assert picks(decide(gpu(*members), claim(request("r", 2)), features=NEW)) == ["r=a0", "r=a1"]


def test_an_earlier_choice_is_taken_back_for_its_group() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b"), grouped("b1", "b")]
    assert picks(decide(gpu(*members), claim(request("r", 2)), features=NEW)) == ["r=b0", "r=b1"]


def test_counter_sets_are_apart() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b", on="other")]
    assert picks(decide(gpu(*members, other="8"), claim(request("r", 2)), features=NEW)) == ["r=a0", "r=b0"]


def test_devices_in_use_count_with_the_groups_in_their_slice() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b"), grouped("n0"), grouped("n1")]
    slices = gpu(*members)
    assert picks(decide(slices, claim(request("r")), features=NEW, allocatedDevices=held("b0"))) is None
    assert picks(decide(slices, claim(request("r")), features=NEW, allocatedDevices=held("n0"))) == ["r=n1"]
    gone = decide(slices, claim(request("r")), features=NEW, allocatedDevices=held("no-longer-there"))
    assert picks(gone) == ["r=a0"]


def test_devices_in_use_on_other_nodes_count() -> None:
    away = slice_([grouped("away", "b")], name="elsewhere", count=3, nodeName="node-2")
    here = slice_([grouped("a0", "a"), grouped("b0", "b")], name="here", count=3)
    sets = slice_([], name="counters", count=3, sharedCounters=counters(gpu={"slots": "8"}))
    used = decide([sets, here, away], claim(request("r")), features=NEW, allocatedDevices=held("away"))
    assert picks(used) == ["r=b0"]


def test_devices_in_use_that_contradict_each_other_close_their_set() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b"), grouped("c0", "a b"), grouped("free", "a", on="other")]
    wanted = claim(request("r"))
    outcome = decide(gpu(*members, other="8"), wanted, features=NEW, allocatedDevices=held("a0", "b0"))
    assert picks(outcome) == ["r=free"]


def test_more_shares_of_a_device_go_with_itself() -> None:
    members = [grouped("s", "a", allowMultipleAllocations=True, capacity={"x": "2"}), grouped("b", "b")]
    one = {"capacity": {"x": "1"}}
    wanted = claim(request("r0", **one), request("r1", **one))
    assert picks(decide(gpu(*members), wanted, features=NEW)) == ["r0=s", "r1=s"]


def test_observing_is_free_of_groups() -> None:
    members = [grouped("a0", "a"), grouped("b0", "b")]
    wanted = claim(request("r", "All", adminAccess=True))
    outcome = decide(gpu(*members), wanted, features=NEW, allocatedDevices=held("a0"))
    assert picks(outcome) == ["r=a0", "r=b0"]


def test_all_of_incompatible_devices_do_not_fit_but_are_no_error() -> None:
    assert picks(decide(gpu(grouped("a0", "a"), grouped("b0", "b")), claim(request("r", "All")), features=NEW)) is None


def test_without_the_gate_slices_with_groups_are_not_there() -> None:
    grouping = slice_([grouped("a0", "a")], name="b", count=3)
    plain = slice_([grouped("n0")], name="c", count=3)
    sets = slice_([], name="a", count=3, sharedCounters=counters(gpu={"slots": "8"}))
    slices = [sets, grouping, plain]
    assert picks(decide(slices, claim(request("r")))) is None
    every = decide(slices, claim(request("r", "All")))
    assert "is currently being updated" in str(every.error)
    assert picks(decide(slices, claim(request("r")), features=NEW)) == ["r=a0"]


def test_the_reason_names_the_groups() -> None:
    outcome = decide(gpu(grouped("a0", "a"), grouped("b0", "b")), claim(request("r", 2)), features=NEW)
    assert "compatibility group on counter set gpu" in outcome.reasons[0]["text"]


def test_gpus_in_two_modes_are_decided_at_once() -> None:
    members = [
        device(
            f"{mode}-{number}-{part}",
            {"mode": mode},
            consumesCounters=[
                {
                    "counterSet": f"g{number}",
                    "counters": {"slots": {"value": "2"}},
                    "compatibilityGroups": [f"{mode}-{number}"],
                }
            ],
        )
        for number in range(8)
        for mode in ("mig", "mps")
        for part in range(4)
    ]
    slices = gpu(*members, **{f"g{number}": "8" for number in range(8)})

    def wanted(mig: int, mps: int) -> dict[str, Any]:
        modes = ["mig", "mps"] * min(mig, mps) + ["mig"] * (mig - mps)
        return claim(
            *[request(f"r{i}", 1, f'device.attributes["{DRIVER}"].mode == "{m}"') for i, m in enumerate(modes)]
        )

    assert picks(decide(slices, wanted(16, 16), features=NEW)) is not None
    start = time.perf_counter()
    # 17 of one mode need five GPUs and 13 of the other four.
    assert picks(decide(slices, wanted(17, 13), features=NEW)) is None
    assert time.perf_counter() - start < 60


# Derived attributes


def deriving(name: str, expression: str, count: int | str = 1, *selectors: str, **fields: Any) -> dict[str, Any]:
    """A request that computes `LABEL`."""
    derived = [{"name": LABEL, "expression": expression}]
    return request(name, count, *selectors, derivedAttributes=derived, **fields)


OWN = f'device.attributes["{DRIVER}"]'


def numbered(*indices: int) -> list[dict[str, Any]]:
    return [slice_([device(f"d{index}", {"index": index}) for index in indices])]


def test_devices_match_in_what_is_computed() -> None:
    wanted = claim(deriving("r", f"{OWN}.index % 3", 2), constraints=[match(LABEL)])
    assert picks(decide(numbered(0, 1, 2, 4), wanted, features=NEW)) == ["r=d1", "r=d4"]


def test_devices_differ_in_what_is_computed() -> None:
    wanted = claim(deriving("r", f"{OWN}.index / 2", 2), constraints=[distinct(LABEL)])
    assert picks(decide(numbered(0, 1, 2), wanted, features=NEW)) == ["r=d0", "r=d2"]


def test_a_computed_value_meets_what_others_publish() -> None:
    nics = slice_([device("n0", {LABEL: "x"}), device("n1", {LABEL: "g1"})], driver="nic.example.com", name="nics")
    wanted = claim(
        deriving("gpu", f'"g" + string({OWN}.index)'),
        request("nic", 1, device_class="nic"),
        constraints=[match(LABEL)],
    )
    assert picks(decide([*numbered(0, 1), nics], wanted, features=NEW)) == ["gpu=d1", "nic=n1"]


def test_two_requests_compute_the_same_name_differently() -> None:
    wanted = claim(deriving("r", f"{OWN}.index"), deriving("s", f"{OWN}.index - 1"), constraints=[match(LABEL)])
    assert picks(decide(numbered(0, 2, 3), wanted, features=NEW)) == ["r=d2", "s=d3"]


def test_a_derived_attribute_hides_the_drivers_for_constraints_but_not_for_selectors() -> None:
    slices = [slice_([device("a", {ROOT: "r0", LABEL: "same"}), device("b", {ROOT: "r1", LABEL: "same"})])]
    name = {"derivedAttributes": [{"name": LABEL, "expression": f'device.attributes["{ROOT.split("/")[0]}"].pcieRoot'}]}
    selector = f'device.attributes["{LABEL.split("/")[0]}"].kind == "same"'
    assert picks(decide(slices, claim(request("r", 2, selector), constraints=[match(LABEL)]), features=NEW))
    hidden = claim(request("r", 2, selector, **name), constraints=[match(LABEL)])
    assert picks(decide(slices, hidden, features=NEW)) is None


def test_lists_match_in_one_value() -> None:
    slices = [
        slice_([device("a", {"roots": ["x", "y"]}), device("b", {"roots": ["z"]}), device("c", {"roots": ["y"]})])
    ]
    wanted = claim(deriving("r", f"{OWN}.roots", 2), constraints=[match(LABEL)])
    assert picks(decide(slices, wanted, features=NEW)) == ["r=a", "r=c"]


def test_an_empty_list_matches_nothing() -> None:
    assert picks(decide(numbered(0), claim(deriving("r", "[]"), constraints=[match(LABEL)]), features=NEW)) is None


def test_alternatives_compute_too() -> None:
    wanted = claim(
        either("r", deriving("pair", f"{OWN}.index", 2), deriving("half", f"{OWN}.index / 2", 2)),
        constraints=[match(LABEL)],
    )
    assert picks(decide(numbered(0, 2, 3), wanted, features=NEW)) == ["r/half=d2", "r/half=d3"]


def test_an_expression_that_fails_is_an_error_once_reached() -> None:
    failing = f"{OWN}.index == 1 ? {OWN}.missing : {OWN}.index"
    one = claim(deriving("r", failing), constraints=[match(LABEL)])
    two = claim(deriving("r", failing, 2), constraints=[match(LABEL)])
    assert picks(decide(numbered(0, 1), one, features=NEW)) == ["r=d0"]
    error = decide(numbered(0, 1), two, features=NEW).error
    assert error is not None
    assert error.startswith(f"evaluate derived attribute {LABEL} on device {DRIVER}/node-1/d1 failed: no such key")


def test_what_keeps_a_device_away_before_keeps_its_error_away() -> None:
    failing = f"{OWN}.missing"
    wanted = claim(deriving("r", failing), constraints=[match(LABEL)])
    tainted = [device("a", {"index": 1}, taints=[{"key": "k", "effect": "NoSchedule"}])]
    assert picks(decide([slice_(tainted)], wanted, features=NEW)) is None
    earlier = claim(deriving("r", failing), constraints=[match("example.com/absent"), match(LABEL)])
    assert picks(decide(numbered(0), earlier, features=NEW)) is None
    later = claim(deriving("r", failing), constraints=[match(LABEL), match("example.com/absent")])
    assert decide(numbered(0), later, features=NEW).error
    assert picks(decide(numbered(0), claim(deriving("r", failing)), features=NEW)) == ["r=d0"]


def test_an_expression_that_does_not_compile_is_an_error_once_reached() -> None:
    wanted = claim(deriving("r", "1.5"), constraints=[match(LABEL)])
    error = decide(numbered(0), wanted, features=NEW).error
    assert error is not None
    assert error.startswith(f"compile derived attribute {LABEL} failed: must evaluate to a primitive scalar")
    assert picks(decide(numbered(0), wanted, features=NEW, allocatedDevices=held("d0"))) is None


def test_without_the_gate_such_a_request_is_refused() -> None:
    refused = decide([slice_(devices("a"))], claim(deriving("r", "1"), constraints=[match(LABEL)]))
    assert (
        refused.error
        == "claim ml/claim, request r: cannot handle request with derived attributes, the feature is disabled"
    )


def test_nodes_with_other_values_do_not_share_a_problem() -> None:
    def node(name: str, own: str, published: str) -> dict[str, Any]:
        members = [device("a", {"x": own}), device("b", {LABEL: published})]
        return slice_(members, pool=name, name=name, nodeName=name)

    slices = [node("node-1", "u", "v"), node("node-2", "u", "u")]
    wanted = claim(
        deriving("r", f"{OWN}.x", 1, f'"x" in {OWN}'),
        request("s", 1, f'!("x" in {OWN})'),
        constraints=[match(LABEL)],
    )
    inventory, allocator, shape = workplace(slices, Features(), wanted)
    assert not allocator.allocate(inventory.view("node-1"), [shape]).fits
    assert allocator.allocate(inventory.view("node-2"), [shape]).fits
