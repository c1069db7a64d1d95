"""Reasons summed over nodes: counted, in order of use, never in general terms."""

from __future__ import annotations

from places import allocation, claim, cluster, gpus, node, planned, pod, reasons

from builders import DRIVER, request
from fairlead.placement import Finding, Obstacle, plan
from fairlead.placement.reasons import add_up


def test_equal_findings_are_counted_over_nodes() -> None:
    obstacles = add_up({f"n{i:02}": [Finding("class", "no GPU")] for i in range(12)} | {"x": [Finding("room", "full")]})
    assert [str(one) for one in obstacles] == ["1 node (x): full", "12 nodes: no GPU"]


def test_few_nodes_are_named() -> None:
    assert str(Obstacle("room", "full", ("a", "b"))) == "2 nodes (a, b): full"


def test_the_nearest_come_first() -> None:
    kinds = ["class", "labels", "tainted", "room", "constraint", "held"]
    obstacles = add_up({kind: [Finding(kind, kind)] for kind in kinds})
    assert [one.kind for one in obstacles] == list(reversed(kinds))


def test_among_equals_what_misses_least_then_what_is_most_frequent() -> None:
    findings = {
        "a": [Finding("held", "three too few", 3)],
        "b": [Finding("held", "one too few", 1)],
        "c": [Finding("held", "also one", 1)],
        "d": [Finding("held", "also one", 1)],
    }
    assert [one.text for one in add_up(findings)] == ["also one", "one too few", "three too few"]


def test_holders_are_collected_over_nodes() -> None:
    findings = {
        "a": [Finding("held", "taken", 1, ("ml/x", "ml/y"))],
        "b": [Finding("held", "taken", 1, ("ml/y",))],
    }
    [obstacle] = add_up(findings)
    assert str(obstacle) == "2 nodes (a, b): taken; held by claims ml/y, ml/x"


def test_many_holders_are_counted() -> None:
    text = str(Obstacle("held", "taken", ("a",), tuple(f"ml/c{i}" for i in range(9))))
    assert text == "1 node (a): taken; held by claims ml/c0, ml/c1, ml/c2 and 6 more"


def test_a_cluster_with_something_different_wrong_everywhere() -> None:
    slices = [gpus(f"held-{i}", "gpu-0", model="big") for i in range(3)]
    slices += [gpus(f"small-{i}", "gpu-0", model="small") for i in range(4)]
    holders = [claim(f"job-{i}", request("gpu"), status=allocation("gpu-0", node_name=f"held-{i}")) for i in range(3)]
    names = [f"held-{i}" for i in range(3)] + [f"small-{i}" for i in range(4)] + [f"bare-{i}" for i in range(5)]
    nodes = [*map(node, names), node("cordoned", cordoned=True)]
    wanted = claim("wanted", request("gpu", 1, f'device.attributes["{DRIVER}"].model == "big"'))
    assert reasons(plan(cluster(nodes, slices, claims=holders), [planned(pod(), wanted)])) == [
        "3 nodes: request gpu: the only matching device of class gpu is held, 1 wanted; "
        "held by claims ml/job-0, ml/job-1, ml/job-2",
        "1 node (cordoned): the node is cordoned (spec.unschedulable)",
        "4 nodes: request gpu: the only device of class gpu does not match "
        f'device.attributes["{DRIVER}"].model == "big", 1 wanted',
        "5 nodes: request gpu: no device reaches the node, 1 of class gpu wanted",
    ]
