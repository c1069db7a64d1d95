"""Taints and tolerations; admin access."""

import pytest

from builders import claim, decide, device, held, picks, request, slice_


def tainted(*taints: dict[str, str]) -> list[dict[str, object]]:
    """A tainted device before a clean one."""
    return [slice_([device("bad", taints=list(taints)), device("good")])]


SICK = {"key": "example.com/sick", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "chosen"),
    [
        pytest.param([], "good", id="none"),
        pytest.param([{"key": "example.com/sick", "operator": "Exists"}], "bad", id="any value of the key"),
        pytest.param([{"operator": "Exists"}], "bad", id="everything"),
        pytest.param([{"key": "example.com/sick", "operator": "Equal", "value": "yes"}], "bad", id="the value"),
        pytest.param([{"key": "example.com/sick", "value": "yes"}], "bad", id="no operator means Equal"),
        pytest.param([{"key": "example.com/sick", "operator": "Equal", "value": "no"}], "good", id="another value"),
        pytest.param([{"operator": "Exists", "effect": "NoExecute"}], "good", id="another effect"),
        pytest.param([{"key": "example.com/sick", "operator": "Like"}], "good", id="an unknown operator"),
    ],
)
def test_a_taint_must_be_tolerated(tolerations: list[dict[str, str]], chosen: str) -> None:
    outcome = decide(tainted(SICK), claim(request("r", tolerations=tolerations)))
    assert picks(outcome) == [f"r={chosen}"]
    assert outcome.allocations is not None
    result = outcome.allocations[0]["devices"]["results"][0]
    assert len(result.get("tolerations", [])) == len(tolerations), "tolerations are copied into the result"


@pytest.mark.parametrize("effect", ["None", "SomethingNew"])
def test_other_effects_keep_nobody_away(effect: str) -> None:
    assert picks(decide(tainted(SICK | {"effect": effect}), claim(request("r")))) == ["r=bad"]


def test_every_taint_must_be_tolerated() -> None:
    more = {"key": "example.com/old", "effect": "NoExecute"}
    wanted = request("r", 2, tolerations=[{"key": "example.com/sick", "operator": "Exists"}])
    outcome = decide(tainted(SICK, more), claim(wanted))
    assert picks(outcome) is None
    assert outcome.reasons[0]["kind"] == "taint"


def test_without_the_feature_taints_are_not_looked_at() -> None:
    assert picks(decide(tainted(SICK), claim(request("r")), features=[])) == ["r=bad"]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        pytest.param({"driver": "gpu.example.com", "pool": "node-1", "device": "good"}, "bad", id="one device"),
        pytest.param({"driver": "gpu.example.com"}, None, id="a driver"),
        pytest.param({}, None, id="everything"),
        pytest.param({"driver": "other.example.com"}, "bad", id="another driver"),
        pytest.param(None, "bad", id="no selector selects nothing"),
    ],
)
def test_rules_taint_devices(selector: dict[str, str] | None, chosen: str | None) -> None:
    spec: dict[str, object] = {"taint": {"key": "rule", "effect": "NoSchedule"}}
    if selector is not None:
        spec["deviceSelector"] = selector
    rule = {"metadata": {"name": "rule"}, "spec": spec}
    slices = [slice_("bad good")]
    assert picks(decide(slices, claim(request("r")), taintRules=[rule])) == ([f"r={chosen}"] if chosen else None)


class TestAdminAccess:
    def test_observes_devices_that_others_hold(self) -> None:
        outcome = decide([slice_("a b")], claim(request("r", "All", adminAccess=True)), allocatedDevices=held("a", "b"))
        assert picks(outcome) == ["r=a", "r=b"]
        assert outcome.allocations is not None
        assert all(result["adminAccess"] for result in outcome.allocations[0]["devices"]["results"])

    def test_taints_still_apply(self) -> None:
        assert picks(decide(tainted(SICK), claim(request("r", adminAccess=True)))) == ["r=good"]

    def test_not_twice_in_one_claim(self) -> None:
        both = claim(request("use"), request("watch", adminAccess=True))
        assert picks(decide([slice_("a")], both)) is None
        assert picks(decide([slice_("a b")], both)) == ["use=a", "watch=b"]

    def test_the_device_of_another_claim_of_the_pod(self) -> None:
        use, watch = claim(request("r"), name="use"), claim(request("r", adminAccess=True), name="watch")
        assert picks(decide([slice_("a")], use, watch)) == ["r=a", "r=a"]

    def test_costs_no_counters(self) -> None:
        pool = [
            slice_([], name="counters", count=2, sharedCounters=[{"name": "s", "counters": {"m": {"value": "1"}}}]),
            slice_([device("p", uses={"s": {"m": "1"}})], name="devices", count=2),
        ]
        watch = claim(request("r", adminAccess=True))
        assert picks(decide(pool, watch, allocatedDevices=held("p"))) == ["r=p"]
