"""Which running pods may move, and what is said of the others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from clusters import Running, budget, moved, plan_for, rig, waiting
from msgspec.structs import replace
from places import claim, node

from fairlead.placement import Cluster
from fairlead.placement.defrag import Hold
from fairlead.resource import PlannedPod, PodDisruptionBudget, PodResourceClaim, PodStatus, Toleration


def one_blocker(**fields: Any) -> Cluster:
    """A node whose one GPU of two is held by a pod, and a node with one free GPU."""
    running = Running()
    running.add("blocker", "n1", "gpu-0", **fields)
    running.add("fixed", "n2", "gpu-0", owner="")
    return running.on(*rig("n1", "n2"))


def test_a_pod_with_a_controller_moves() -> None:
    found = plan_for(one_blocker(), waiting())
    assert moved(found) == ["blocker"]
    assert found.proven
    (move,) = found.moves or ()
    assert (move.mover.node, move.placement.node) == ("n1", "n2")
    assert [placement.node for placement in found.placements] == ["n1"]


@pytest.mark.parametrize(
    ("fields", "hold", "reason"),
    [
        ({"owner": ""}, Hold.BARE, "no controller would make it again"),
        ({"owner": "DaemonSet/agent"}, Hold.DAEMON, "its DaemonSet wants it on that node"),
        ({"owner": "Node/n1"}, Hold.STATIC, "its node's kubelet makes it there"),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, Hold.STATIC, "its node's kubelet makes it there"),
        ({"annotations": {"fairlead.dev/move": "never"}}, Hold.NEVER, "annotation fairlead.dev/move: never"),
        ({"priority": 1}, Hold.PRIORITY, "priority 1 is above 0"),
    ],
)
def test_what_keeps_a_pod_is_named(fields: dict[str, Any], hold: Hold, reason: str) -> None:
    found = plan_for(one_blocker(**fields), waiting())
    assert found.moves is None
    assert not found.possible
    kept = {one.pod: (one.hold, one.reason) for one in found.kept}
    assert kept["ml/blocker"] == (hold, reason)


def test_a_pod_of_the_same_priority_moves() -> None:
    assert moved(plan_for(one_blocker(priority=7), waiting(priority=7))) == ["blocker"]


def test_a_gang_speaks_with_its_lowest_priority() -> None:
    running = Running()
    for name in ("n1", "n2"):
        running.add(f"on-{name}", name, "gpu-0", priority=5)
    on = running.on(*rig("n1", "n2", "n3"))
    (members,) = waiting(2, priority=9)
    low = replace(members[0].pod, spec=replace(members[0].pod.spec, priority=1))
    mixed = [PlannedPod(low, members[0].owner, members[0].group, members[0].claims), members[1]]
    assert {one.hold for one in plan_for(on, [mixed]).kept} == {Hold.PRIORITY}
    assert len(moved(plan_for(on, [members]))) == 1


def test_a_claim_that_others_use_keeps_its_pods() -> None:
    running = Running()
    running.add("first", "n1", "gpu-0")
    shared = PodResourceClaim("gpu", resource_claim_name="first-gpu")
    second = running.add("second", "n1")
    running.pods[-1] = replace(second, spec=replace(second.spec, resource_claims=[shared]))
    found = plan_for(running.on(*rig("n1", "n2")), waiting(2))
    holds = {one.pod: one for one in found.kept}
    assert holds["ml/first"].hold is Hold.SHARED
    assert holds["ml/first"].reason == "claim ml/first-gpu is used by 1 other running pod too"
    assert holds["ml/second"].reason == "claim ml/first-gpu is used by pods first too"


def test_a_pod_whose_claim_is_not_in_the_input_stays() -> None:
    running = Running()
    running.add("blocker", "n1", "gpu-0")
    on = running.on(*rig("n1"))
    lost = dataclasses.replace(on, claims=[claim("other")])
    (kept,) = plan_for(lost, waiting(gpus_each=3)).kept
    assert kept.hold is Hold.UNKNOWN
    assert "resourceClaims[0]" in kept.reason


def test_a_pod_that_ends_already_is_not_moved() -> None:
    running = Running()
    made = running.add("blocker", "n1", "gpu-0")
    gone = replace(made, metadata=replace(made.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    running.pods[-1] = gone
    (kept,) = plan_for(running.on(*rig("n1")), waiting()).kept
    assert kept.hold is Hold.ENDING


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        ({"minAvailable": 2}, 2),
        ({"minAvailable": 4}, 0),
        ({"minAvailable": 9}, 0),
        ({"minAvailable": "50%"}, 2),
        ({"minAvailable": "51%"}, 1),
        ({"minAvailable": "100%"}, 0),
        ({"maxUnavailable": 1}, 1),
        ({"maxUnavailable": "26%"}, 2),
        ({"maxUnavailable": "0%"}, 0),
        ({"maxUnavailable": 1, "allowed": 3}, 3),
        ({"minAvailable": 1, "allowed": 0}, 0),
        ({}, 0),
    ],
)
def test_what_a_budget_allows_is_counted_as_the_controller_does(limit: dict[str, Any], allowed: int) -> None:
    running = Running()
    for number in range(4):
        running.add(f"web-{number}", "n1", labels={"app": "web"})
    running.add("other", "n1", labels={"app": "other"})
    on = running.on(*rig("n1"), budgets=[budget("web", {"app": "web"}, **limit)])
    found = plan_for(on, waiting())
    (one,) = found.movable.budgets.of("ml/web-0")
    assert (one.allowed, len(one.pods)) == (allowed, 4)
    assert not found.movable.budgets.of("ml/other")
    assert ("ml/web-0" in found.movable.movers) == (allowed > 0)


def test_pods_that_do_not_run_yet_use_up_the_budget() -> None:
    running = Running()
    for number in range(3):
        running.add(f"web-{number}", "n1", labels={"app": "web"})
    running.pods[0] = replace(running.pods[0], status=PodStatus("Pending"))
    on = running.on(*rig("n1"), budgets=[budget("web", {"app": "web"}, maxUnavailable=1)])
    assert plan_for(on, waiting()).movable.budgets.of("ml/web-1")[0].allowed == 0


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    on = one_blocker()
    for labels, count in ((None, 0), ({}, 1)):
        limited = Cluster(
            **{
                **{name: getattr(on, name) for name in Cluster.__slots__},
                "budgets": [budget("b", labels, minAvailable=9)],
            }
        )
        assert len(plan_for(limited, waiting()).movable.budgets.of("ml/blocker")) == count


def test_a_pod_of_two_budgets_cannot_be_evicted() -> None:
    on = one_blocker(labels={"app": "web"})
    both: list[PodDisruptionBudget] = [budget(name, {"app": "web"}, minAvailable=0) for name in ("one", "two")]
    limited = dataclasses.replace(on, budgets=both)
    found = plan_for(limited, waiting())
    assert {one.pod: one.reason for one in found.kept}["ml/blocker"] == "several budgets select it (ml/one, ml/two)"


@pytest.mark.parametrize(("allowed", "moves"), [(1, None), (2, ["web-n1", "web-n2"])])
def test_a_budget_counts_all_moves_together(allowed: int, moves: list[str] | None) -> None:
    running = Running()
    for name in ("n1", "n2"):
        running.add(f"web-{name}", name, "gpu-0", labels={"app": "web"})
    nodes, slices = rig("n1", "n2", "n3")
    nodes[2] = node("n3", taints=["web=only:NoSchedule"])
    for at, one in enumerate(running.pods):
        tolerates = [Toleration(key="web", operator="Exists")]
        running.pods[at] = replace(one, spec=replace(one.spec, tolerations=tolerates))
    found = plan_for(running.on(nodes, slices, budgets=[budget("web", {"app": "web"}, allowed=allowed)]), waiting(2))
    if moves is None:
        assert found.moves is None
        assert [one.name for one in found.over_budget] == ["ml/web"]
    else:
        assert moved(found) == moves
