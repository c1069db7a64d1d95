"""What a request can ask for, and what is refused."""

import pytest

from builders import EVERYTHING, claim, decide, device, devices, either, held, picks, request, slice_

GPUS = [slice_("gpu-0 gpu-1 gpu-2 gpu-3")]


@pytest.mark.parametrize(
    ("count", "taken", "expected"),
    [
        pytest.param(1, (), ["r=gpu-0"], id="the first device"),
        pytest.param(1, ("gpu-0",), ["r=gpu-1"], id="the first that is free"),
        pytest.param(3, ("gpu-1",), ["r=gpu-0", "r=gpu-2", "r=gpu-3"], id="several, in order"),
        pytest.param(4, ("gpu-1",), None, id="one too many"),
        pytest.param("All", (), ["r=gpu-0", "r=gpu-1", "r=gpu-2", "r=gpu-3"], id="all"),
        pytest.param("All", ("gpu-3",), None, id="all, one of them held"),
    ],
)
def test_count(count: int | str, taken: tuple[str, ...], expected: list[str] | None) -> None:
    assert picks(decide(GPUS, claim(request("r", count)), allocatedDevices=held(*taken))) == expected


def test_selectors_of_class_and_request_both_hold() -> None:
    mixed = [slice_(devices("a b", model="X") + devices("c d", model="Y"))]
    wanted = request("r", 2, 'device.attributes["gpu.example.com"].model == "Y"')
    assert picks(decide(mixed, claim(wanted))) == ["r=c", "r=d"]


def test_requests_of_one_claim_share_the_devices() -> None:
    assert picks(decide(GPUS, claim(request("a", 3), request("b")))) == ["a=gpu-0", "a=gpu-1", "a=gpu-2", "b=gpu-3"]
    assert picks(decide(GPUS, claim(request("a", 3), request("b", 2)))) is None


def test_an_earlier_request_gives_way_only_when_it_must() -> None:
    marked = [slice_([device("a", {"fast": True}), device("b", {"fast": False}), device("c", {"fast": False})])]
    fast = request("fast", 1, 'device.attributes["gpu.example.com"].fast')
    assert picks(decide(marked, claim(request("any", 1), fast))) == ["any=b", "fast=a"]
    assert picks(decide(marked, claim(request("any", 2), fast))) == ["any=b", "any=c", "fast=a"]


def test_claims_of_one_pod_do_not_share_a_device() -> None:
    one, two = claim(request("r", 2), name="one"), claim(request("r", 2), name="two")
    assert picks(decide(GPUS, one, two)) == ["r=gpu-0", "r=gpu-1", "r=gpu-2", "r=gpu-3"]
    assert picks(decide(GPUS, one, two, allocatedDevices=held("gpu-0"))) is None


def test_alternatives_are_tried_in_order_of_preference() -> None:
    wanted = either("r", request("eight", 8), request("four", 4), request("one", 1))
    assert picks(decide(GPUS, claim(wanted))) == [f"r/four=gpu-{i}" for i in range(4)]
    assert picks(decide(GPUS, claim(wanted), allocatedDevices=held("gpu-0"))) == ["r/one=gpu-1"]


def test_the_first_request_has_the_first_choice_of_alternatives() -> None:
    first = either("first", request("three", 3), request("one", 1))
    second = either("second", request("three", 3), request("one", 1))
    assert picks(decide(GPUS, claim(first, second))) == [
        "first/three=gpu-0",
        "first/three=gpu-1",
        "first/three=gpu-2",
        "second/one=gpu-3",
    ]


def test_a_claim_gets_at_most_32_devices() -> None:
    many = [slice_([device(f"d{i}") for i in range(40)])]
    assert "exceeds the claim limit of 32" in (decide(many, claim(request("r", 33))).error or "")
    assert "exceeds the claim limit of 32" in (decide(many, claim(request("r", "All"))).error or "")
    choice = either("r", request("all", 30), request("few", 2))
    assert picks(decide(many, claim(request("first", 10), choice))) == [
        *(f"first=d{i}" for i in range(10)),
        "r/few=d10",
        "r/few=d11",
    ]


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        pytest.param({"name": "r"}, "exactly one of `exactly` or `firstAvailable`", id="neither kind"),
        pytest.param(request("r", 0), "exact count 0", id="count zero"),
        pytest.param(request("r", -1), "exact count -1", id="negative count"),
        pytest.param(request("r", device_class="none"), 'deviceclass.resource.k8s.io "none" not found', id="no class"),
        pytest.param(request("r", device_class=""), "missing device class name", id="class not named"),
        pytest.param(
            {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "Some"}},
            "unsupported count mode Some",
            id="unknown mode",
        ),
        pytest.param(
            {"name": "r", "exactly": request("r")["exactly"] | {"selectors": [{"future": {}}]}},
            "CEL expression empty (unsupported selector type?)",
            id="unknown selector",
        ),
    ],
)
def test_what_is_not_understood_is_refused(wanted: dict[str, object], error: str) -> None:
    outcome = decide(GPUS, claim(wanted))
    assert outcome.allocations is None
    assert error in (outcome.error or "")


def test_an_unknown_constraint_is_refused() -> None:
    outcome = decide(GPUS, claim(request("r"), constraints=[{"requests": ["r"], "future": "x"}]))
    assert "constraint #0: empty constraint" in (outcome.error or "")


@pytest.mark.parametrize(
    ("gate", "wanted", "error"),
    [
        ("PrioritizedList", either("r", request("a")), "DRAPrioritizedList feature is disabled"),
        ("ConsumableCapacity", request("r", capacity={"memory": "1Gi"}), "DRAConsumableCapacity feature is disabled"),
        ("AdminAccess", request("r", adminAccess=False), "admin access is requested, but the feature is disabled"),
    ],
)
def test_a_feature_that_is_off_is_refused(gate: str, wanted: dict[str, object], error: str) -> None:
    outcome = decide(GPUS, claim(wanted), features=[name for name in EVERYTHING if name != gate])
    assert error in (outcome.error or "")


class TestSelectorErrors:
    """An error surfaces where the search reaches the device, as upstream, and nowhere else."""

    wanted = request("r", 1, 'device.attributes["gpu.example.com"].speed > 1')

    def test_reached(self) -> None:
        outcome = decide([slice_([device("a"), device("b", {"speed": 2})])], claim(self.wanted))
        assert "selector #0 on device gpu.example.com/node-1/a: CEL runtime error: no such key: speed" in (
            outcome.error or ""
        )

    def test_not_reached_behind_a_device_that_fits(self) -> None:
        assert picks(decide([slice_([device("a", {"speed": 2}), device("b")])], claim(self.wanted))) == ["r=a"]

    def test_not_reached_because_held(self) -> None:
        held_one = decide(
            [slice_([device("a"), device("b", {"speed": 2})])], claim(self.wanted), allocatedDevices=held("a")
        )
        assert picks(held_one) == ["r=b"]

    def test_not_reached_because_an_earlier_request_cannot_be_met(self) -> None:
        outcome = decide([slice_([device("a"), device("b")])], claim(request("first", 3), self.wanted))
        assert picks(outcome) is None

    def test_all_looks_at_every_device(self) -> None:
        wanted = request("r", "All", 'device.attributes["gpu.example.com"].speed > 1')
        assert decide([slice_([device("a")])], claim(wanted), allocatedDevices=held("a")).error
