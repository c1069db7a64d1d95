"""Pods that must be together, and pods that must not."""

from __future__ import annotations

from typing import Any

import pytest
from places import cluster, node, planned, pod, where

from fairlead.placement import plan
from fairlead.resource import Pod

HOST = "kubernetes.io/hostname"
NODES = [node("a1", {"rack": "a"}), node("a2", {"rack": "a"}), node("b1", {"rack": "b"}), node("bare")]


def term(key: str, **labels: str) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}}


def away(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def near(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def workers(count: int, affinity: dict[str, Any]) -> list[Pod]:
    return [pod(f"w{i}", labels={"job": "x"}, affinity=affinity) for i in range(count)]


def on(name: str, node_name: str, **fields: Any) -> Pod:
    return pod(name, nodeName=node_name, **fields)


CASES: dict[str, tuple[list[Pod], list[Pod], list[str]]] = {
    "one a node": ([], workers(5, away(term(HOST, job="x"))), ["a1", "a2", "b1", "bare", ""]),
    "one a rack; a node in no rack is in nobody's way": (
        [],
        workers(4, away(term("rack", job="x"))),
        ["a1", "b1", "bare", "bare"],
    ),
    "the term is about other pods only": ([], workers(2, away(term(HOST, job="y"))), ["a1", "a1"]),
    "pods of other namespaces do not count": (
        [],
        [pod("w", labels={"job": "x"}, affinity=away(term(HOST, job="x") | {"namespaces": ["other"]}))] * 2,
        ["a1", "a1"],
    ),
    "a running pod keeps others away": (
        [on("guard", "a1", affinity=away(term("rack", job="x")))],
        [pod("w", labels={"job": "x"})],
        ["b1"],
    ),
    "a term without selector matches no pod": (
        [],
        workers(2, away({"topologyKey": HOST})),
        ["a1", "a1"],
    ),
    "an empty selector matches every pod": (
        [on("other", "a1")],
        workers(1, away({"topologyKey": HOST, "labelSelector": {}})),
        ["a2"],
    ),
    "near a running pod": (
        [on("cache", "b1", labels={"app": "cache"})],
        [pod("w", affinity=near(term("rack", app="cache")))],
        ["b1"],
    ),
    "near a pod that is nowhere": ([], [pod("w", affinity=near(term("rack", app="cache")))], [""]),
    "the first of its kind goes anywhere, the others follow": (
        [],
        workers(3, near(term("rack", job="x")) | away(term(HOST, job="x"))),
        ["a1", "a2", ""],
    ),
}


@pytest.mark.parametrize(("running", "wanted", "expected"), CASES.values(), ids=CASES)
def test_spread(running: list[Pod], wanted: list[Pod], expected: list[str]) -> None:
    assert where(plan(cluster(NODES, pods=running), [planned(one) for one in wanted])) == expected


def test_the_reason_is_said() -> None:
    pods = [planned(one) for one in workers(2, away(term(HOST, job="x")))]
    obstacles = plan(cluster([node("a")]), pods).placements[1].obstacles
    assert [str(one) for one in obstacles] == [
        f"1 node (a): the pod's anti-affinity keeps it away from a pod with the same {HOST}",
    ]
