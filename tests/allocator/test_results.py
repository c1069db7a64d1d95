"""What stands in `status.allocation` besides the devices."""

import pytest

from builders import CLASSES, claim, decide, device, either, labelled, picks, request, slice_

HERE = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]}


def selector(slices: list[dict[str, object]], *wanted: dict[str, object], **case: object) -> object:
    outcome = decide(slices, claim(*wanted), **case)  # type: ignore[arg-type]
    assert outcome.allocations is not None
    return outcome.allocations[0].get("nodeSelector")


class TestNodeSelector:
    def test_a_local_device_pins_the_node(self) -> None:
        assert selector([slice_("a")], request("r")) == HERE

    def test_a_device_for_all_nodes_pins_nothing(self) -> None:
        assert selector([slice_("a", allNodes=True)], request("r")) is None

    def test_a_network_attached_device_is_usable_where_its_pool_is(self) -> None:
        slices = [slice_("a", pool="fabric", nodeSelector=labelled("zone", "z1"))]
        assert selector(slices, request("r"), labels={"zone": "z1"}) == labelled("zone", "z1")

    def test_selectors_of_several_pools_are_joined(self) -> None:
        slices = [
            slice_("a", pool="one", nodeSelector=labelled("zone", "z1")),
            slice_("b", pool="two", nodeSelector=labelled("rack", "r1")),
            slice_("c", pool="three", nodeSelector=labelled("zone", "z1")),
        ]
        joined = selector(slices, request("r", 3), labels={"zone": "z1", "rack": "r1"})
        expressions = joined["nodeSelectorTerms"][0]["matchExpressions"]  # type: ignore[index]
        assert sorted(entry["key"] for entry in expressions) == ["rack", "zone"]

    def test_a_device_that_binds_to_the_node_pins_it(self) -> None:
        assert selector([slice_([device("a", bindsToNode=True)], allNodes=True)], request("r")) == HERE

    def test_each_device_may_say_for_itself(self) -> None:
        mixed = [
            slice_(
                [
                    device("elsewhere", nodeName="node-2"),
                    device("zone", nodeSelector=labelled("zone", "z1")),
                    device("here", nodeName="node-1"),
                ],
                perDeviceNodeSelection=True,
            )
        ]
        assert picks(decide(mixed, claim(request("r", 2)), labels={"zone": "z1"})) == ["r=zone", "r=here"]
        assert picks(decide(mixed, claim(request("r", 1)), labels={"zone": "z2"})) == ["r=here"]


def opaque(key: str) -> dict[str, object]:
    return {"opaque": {"driver": "gpu.example.com", "parameters": {"key": key}}}


@pytest.fixture
def configured() -> list[dict[str, object]]:
    classes = [dict(entry) for entry in CLASSES]
    classes[0] = {"metadata": {"name": "gpu"}, "spec": {**classes[0]["spec"], "config": [opaque("class")]}}  # type: ignore[dict-item]
    return classes


class TestConfig:
    def test_of_class_then_claim(self, configured: list[dict[str, object]]) -> None:
        wanted = claim(request("a"), request("b"), config=[opaque("claim") | {"requests": ["a"]}, opaque("all")])
        outcome = decide([slice_("x y")], wanted, classes=configured)
        assert outcome.allocations is not None
        assert outcome.allocations[0]["devices"]["config"] == [
            {"source": "FromClass", **opaque("class")},
            {"source": "FromClaim", "requests": ["a"], **opaque("claim")},
            {"source": "FromClaim", **opaque("all")},
        ]

    def test_a_class_used_by_some_requests_names_them(self, configured: list[dict[str, object]]) -> None:
        outcome = decide([slice_("x y")], claim(request("a"), request("b", device_class="any")), classes=configured)
        assert outcome.allocations is not None
        assert outcome.allocations[0]["devices"]["config"] == [
            {"source": "FromClass", "requests": ["a"], **opaque("class")}
        ]

    def test_of_the_alternative_that_was_chosen(self, configured: list[dict[str, object]]) -> None:
        wanted = either("r", request("two", 2), request("one", 1, device_class="any"))
        config = [opaque("two") | {"requests": ["r/two"]}, opaque("one") | {"requests": ["r/one"]}]
        outcome = decide(
            [slice_("x")], claim(wanted, request("other", 1, adminAccess=True, device_class="any")), classes=configured
        )
        assert picks(outcome) is None, "one device cannot serve both requests of a claim"
        outcome = decide([slice_("x")], claim(wanted, config=config), classes=configured)
        assert outcome.allocations is not None
        assert outcome.allocations[0]["devices"]["config"] == [{"source": "FromClaim", **opaque("one")}]


def test_binding_conditions_are_copied_and_their_pools_come_last() -> None:
    binding = device("a", bindingConditions=["ready"], bindingFailureConditions=["failed"])
    slices = [slice_([binding], pool="a", allNodes=True), slice_("b", pool="b", allNodes=True)]
    assert picks(decide(slices, claim(request("r")))) == ["r=b"]
    outcome = decide(slices, claim(request("r", 2)))
    assert outcome.allocations is not None
    results = outcome.allocations[0]["devices"]["results"]
    assert [result.get("bindingConditions") for result in results] == [None, ["ready"]]
    assert picks(decide(slices, claim(request("r", 2)), features=[])) is None
