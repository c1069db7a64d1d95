"""Which pools a node sees: generation, completeness, validity, order and reach."""

import pytest

from builders import claim, decide, device, labelled, picks, request, slice_

ONE = claim(request("r"))
ALL = claim(request("r", "All"))


def test_only_the_newest_generation_counts() -> None:
    slices = [slice_("old", name="s1", generation=1), slice_("new", name="s2", generation=2)]
    assert picks(decide(slices, ONE)) == ["r=new"]
    assert picks(decide(slices[::-1], ONE)) == ["r=new"]


class TestIncompletePools:
    incomplete = (slice_("a", count=2),)

    def test_give_no_devices(self) -> None:
        outcome = decide(self.incomplete, ONE)
        assert picks(outcome) is None
        assert "incomplete (1 of 2 slices" in outcome.reasons[0]["text"]

    def test_are_an_error_for_all(self) -> None:
        error = decide(self.incomplete, ALL).error or ""
        assert "asks for all devices, but resource pool gpu.example.com/node-1 is currently being updated" in error

    def test_more_slices_than_announced_is_incomplete_too(self) -> None:
        assert picks(decide([slice_("a", name="s1"), slice_("b", name="s2")], ONE)) is None

    def test_slices_of_other_nodes_complete_a_pool(self) -> None:
        slices = [
            slice_("a", pool="p", name="s1", count=2),
            slice_("b", pool="p", name="s2", count=2, nodeName="node-2"),
        ]
        assert picks(decide(slices, ALL)) == ["r=a"]

    def test_a_newer_generation_elsewhere_hides_an_incomplete_pool(self) -> None:
        slices = [
            slice_("a", pool="p", name="s1", count=2),
            slice_("b", pool="p", name="s2", generation=2, nodeName="node-2"),
        ]
        assert picks(decide(slices, ALL)) is None, "hidden, not an error"


class TestInvalidPools:
    twice = (slice_([device("a"), device("a")]),)

    def test_are_an_error_when_nothing_else_fits(self) -> None:
        assert decide(self.twice, ONE).error == "invalid resource pools were encountered"

    def test_do_not_matter_when_another_pool_fits(self) -> None:
        assert picks(decide([*self.twice, slice_("b", pool="other")], ONE)) == ["r=b"]

    def test_are_an_error_for_all(self) -> None:
        assert "is currently invalid" in (decide(self.twice, ALL).error or "")


def test_order_is_driver_then_pool_then_slice_then_list() -> None:
    slices = [
        slice_("z y", driver="b.example.com", pool="a", allNodes=True),
        slice_("x", driver="a.example.com", pool="b", name="s2", count=2, allNodes=True),
        slice_("w", driver="a.example.com", pool="b", name="s1", count=2, allNodes=True),
        slice_("v", driver="a.example.com", pool="a", allNodes=True),
    ]
    expected = ["r=v", "r=w", "r=x", "r=z", "r=y"]
    assert picks(decide(slices, claim(request("r", 5, device_class="any")))) == expected
    assert picks(decide(slices[::-1], claim(request("r", 5, device_class="any")))) == expected


@pytest.mark.parametrize(
    ("reach", "labels", "expected"),
    [
        pytest.param({"nodeName": "node-1"}, {}, ["r=a"], id="this node"),
        pytest.param({"nodeName": "node-2"}, {}, None, id="another node"),
        pytest.param({"allNodes": True}, {}, ["r=a"], id="all nodes"),
        pytest.param({"nodeSelector": labelled("zone", "z1")}, {"zone": "z1"}, ["r=a"], id="label"),
        pytest.param({"nodeSelector": labelled("zone", "z1")}, {"zone": "z2"}, None, id="another label"),
        pytest.param({"nodeSelector": {"nodeSelectorTerms": [{}]}}, {}, None, id="an empty term selects nothing"),
    ],
)
def test_reach(reach: dict[str, object], labels: dict[str, str], expected: list[str] | None) -> None:
    assert picks(decide([slice_("a", pool="p", **reach)], ONE, labels=labels)) == expected


@pytest.mark.parametrize(
    ("operator", "values", "labels", "reaches"),
    [
        ("In", ["a", "b"], {"k": "b"}, True),
        ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("Exists", [], {"k": ""}, True),
        ("DoesNotExist", [], {"k": ""}, False),
        ("Gt", ["3"], {"k": "10"}, True),
        ("Gt", ["3"], {"k": "x"}, False),
        ("Lt", ["3"], {"k": "2"}, True),
    ],
)
def test_node_selector_operators(operator: str, values: list[str], labels: dict[str, str], reaches: bool) -> None:
    requirement = {"key": "k", "operator": operator, "values": values}
    selector = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    outcome = decide([slice_("a", pool="p", nodeSelector=selector)], ONE, labels=labels)
    assert (picks(outcome) is not None) == reaches


def test_a_node_selector_that_makes_no_sense_is_an_error() -> None:
    selector = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Near"}]}]}
    error = decide([slice_("a", pool="p", nodeSelector=selector)], ONE).error or ""
    assert "failed to perform node selection" in error
    assert "Near" in error
