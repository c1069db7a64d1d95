"""Node policies through the planner: what they prefer, that scores are kept up to date, and that rules hold."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import claim, cluster, container, devices_of, gpus, node, planned, pod, where
from test_fragmentation import SHARE, parts, shared_gpus

import builders
from fairlead.placement import Advisor, Cluster, FirstFit, Placement, Plan, Planner, plan
from fairlead.placement.node import PodNeeds
from fairlead.placement.packing import NODE_POLICIES, NodePolicy, node_policy, typical_pods
from fairlead.placement.packing.ranks import Ranks
from fairlead.resource import PlannedPod

SCORED = [name for name in NODE_POLICIES if name != "random"]


def asking(name: str, cpu: int, *requests: dict[str, Any], **spec: Any) -> PlannedPod:
    """A pod with so much CPU and one claim; without requests, with none."""
    claims = [claim(f"{name}-claim", *requests)] if requests else []
    return planned(pod(name, container(cpu=str(cpu)), **spec), *claims)


def three_nodes(cpu: str = "8") -> Cluster:
    nodes = [node(f"node-{n}", cpu=cpu) for n in (1, 2, 3)]
    return cluster(nodes, [shared_gpus(f"node-{n}", 2) for n in (1, 2, 3)])


def test_first_fit_takes_the_first_node_of_the_order() -> None:
    policy = node_policy("first-fit", order=["node-2", "node-3", "node-1"])
    result = plan(three_nodes(), [asking(f"p{n}", 1, parts(2, 100)) for n in range(3)], policy)
    assert where(result) == ["node-2", "node-3", "node-1"]


def test_best_fit_fills_the_node_with_the_least_left_and_there_the_tightest_device() -> None:
    pods = [
        asking("a", 1, parts(1, 70)),
        asking("b", 1, parts(1, 40)),
        asking("c", 1, parts(1, 30)),
    ]
    result = plan(three_nodes(), pods, node_policy("best-fit", order=["node-3", "node-1", "node-2"]))
    assert where(result) == ["node-3"] * 3
    assert devices_of(result) == [["gpu-0"], ["gpu-1"], ["gpu-0"]]


@pytest.mark.parametrize("name", ["fgd", "pack"])
def test_room_for_typical_pods_is_kept(name: str) -> None:
    # Node 1 has the CPU for a pod with a GPU, node 2 has not: what needs CPU only belongs on node 2.
    made = cluster([node("node-1", cpu="16"), node("node-2", cpu="8")], [shared_gpus("node-1", 2), gpus("node-2", "x")])
    typical = typical_pods([asking(f"t{n}", 16, parts(1, 100)) for n in range(9)])
    policy = node_policy(name, typical=typical)
    result = plan(made, [asking("cpu-only", 8), asking("gpu", 16, parts(1, 100))], policy)
    assert where(result) == ["node-2", "node-1"]


@pytest.mark.parametrize("name", ["fgd", "pack"])
def test_a_share_goes_where_it_breaks_no_whole_device(name: str) -> None:
    typical = typical_pods([*[asking(f"t{n}", 1, parts(1, 100)) for n in range(9)], asking("s", 1, parts(1, 50))])
    pods = [asking("a", 1, parts(1, 60)), asking("b", 1, parts(1, 30))]
    result = plan(three_nodes(), pods, node_policy(name, typical=typical))
    assert where(result)[0] == where(result)[1]
    assert devices_of(result)[0] == devices_of(result)[1]


def test_random_draws_from_its_generator_alone() -> None:
    pods = [asking(f"p{n}", 1, parts(1, 25)) for n in range(12)]

    def drawn(seed: int) -> tuple[list[str], list[list[str]]]:
        result = plan(three_nodes(), pods, node_policy("random", rng=Random(seed)))
        return where(result), devices_of(result)

    assert drawn(1) == drawn(1)
    assert len({str(drawn(seed)) for seed in range(5)}) > 1
    assert len(set(drawn(1)[0])) == 3
    assert {device for [device] in drawn(1)[1]} == {"gpu-0", "gpu-1"}


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_what_a_policy_cannot_see_is_still_obeyed(name: str) -> None:
    """Node selectors and constraints between devices are not in the scores: other nodes and devices are tried."""
    slices = []
    for number in (1, 2, 3):
        made = [builders.device(f"gpu-{n}", {builders.ROOT: f"root-{n // 2 if number == 3 else n}"}) for n in range(4)]
        slices.append(builders.slice_(made, pool=f"node-{number}", nodeName=f"node-{number}"))
    nodes = [node(f"node-{n}", {"zone": "a" if n == 2 else "b"}, cpu="8") for n in (1, 2, 3)]
    chosen = asking("p", 1, builders.request("gpu"), nodeSelector={"zone": "a"})
    pair = claim("pair", builders.request("gpu", 2), constraints=[builders.match(builders.ROOT)])
    matched = planned(pod("m", container(cpu="1")), pair)
    result = plan(cluster(nodes, slices), [chosen, matched], node_policy(name))
    assert where(result) == ["node-2", "node-3"]


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_a_pod_that_fits_nowhere_is_told_why(name: str) -> None:
    result = plan(three_nodes(), [asking("p", 1, parts(3, 100)), asking("q", 9)], node_policy(name))
    assert where(result) == ["", ""]
    assert all(placement.obstacles for placement in result)


def test_without_reasons_a_pod_that_fits_nowhere_has_none() -> None:
    planner = Planner(three_nodes(), node_policy("pack"))
    assert planner.place(asking("p", 9), reasons=False) == Placement(asking("p", 9))
    planner = Planner(three_nodes(), FirstFit())
    assert not planner.place(asking("p", 1, parts(3, 100)), reasons=False).obstacles


def test_an_advisor_around_a_policy_keeps_its_order() -> None:
    made = three_nodes()
    policy = node_policy("first-fit", order=["node-3", "node-2", "node-1"], explain=True)
    advisor = Advisor(made, policy)
    result = plan(made, [asking("p", 1, parts(1, 100)), asking("q", 1, parts(3, 100))], advisor)
    assert where(result) == ["node-3", ""]
    assert str(policy.choices["ml/p"]) == (
        "first-fit chose node-3; next best was node-2, which comes later in the order of nodes"
    )
    assert list(policy.choices) == ["ml/p"]
    assert "ml/q" in advisor.advice


def test_extended_resources_that_a_device_plugin_serves_are_left_to_the_plain_order() -> None:
    nodes = [node("node-1", cpu="8", **{"example.com__gpu": "1"}), node("node-2", cpu="8")]
    extended = claim("extended", builders.request("gpu"))
    limits = container({"example.com/gpu": "1"}, cpu="1")
    result = plan(
        cluster(nodes, [gpus("node-2")]),
        [planned(pod("p", limits), extended=extended), planned(pod("q", limits), extended=extended)],
        policy := node_policy("pack", order=["node-2", "node-1"], explain=True),
    )
    assert where(result) == ["node-1", "node-2"]
    assert not policy.choices


def test_a_choice_is_explained_by_its_score_and_the_next_best() -> None:
    policy = node_policy("pack", typical=typical_pods([asking("t", 1, parts(1, 100))]), explain=True)
    plan(three_nodes(), [asking("a", 4, parts(2, 100)), asking("b", 1, parts(1, 50))], policy)
    first, second = (policy.choices[f"ml/{name}"] for name in "ab")
    assert str(first) == (
        "pack chose node-1 (fragmentation stays the same, 50% of a greatest node's CPU and 0% of its devices stay "
        "free, score -0.015); next best was node-2 (fragmentation stays the same, 50% of a greatest "
        "node's CPU and 0% of its devices stay free, score -0.015), which comes later in the order of nodes"
    )
    assert (second.chosen.node, second.chosen.score) == ("node-2", pytest.approx(-0.5 - 0.03 * 7 / 8 - 0.06 * 0.75))
    assert second.runner_up is not None
    assert second.runner_up.node == "node-3"


def test_a_policy_is_refused_that_is_not_known_or_has_a_planner() -> None:
    with pytest.raises(ValueError, match="unknown policy 'worst-fit': must be one of first-fit, random, best-fit"):
        node_policy("worst-fit")
    policy = node_policy("pack")
    Planner(three_nodes(), policy)
    with pytest.raises(ValueError, match="serves one planner"):
        Planner(three_nodes(), policy)
    with pytest.raises(ValueError, match="the order of nodes leaves out node-2"):
        Planner(three_nodes(), node_policy("pack", order=["node-1", "node-3"]))


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_capacities_that_are_used_unevenly_still_serve(name: str) -> None:
    """A share needs much of what is plenty and little of what is scarce: by the scarcest alone it would not fit."""
    shared = builders.device("gpu", capacity={"memory": "100", "slots": "100"}, allowMultipleAllocations=True)
    pods = [
        asking("a", 1, builders.request("gpu", capacity={"memory": "90", "slots": "10"})),
        asking("b", 1, builders.request("gpu", capacity={"memory": "5", "slots": "50"})),
        asking("c", 1, builders.request("gpu", capacity={"memory": "6", "slots": "5"})),
    ]
    made = cluster([node("node-1", cpu="8")], [builders.slice_([shared])])
    planner = Planner(made, node_policy(name))
    assert [planner.place(one, reasons=False).node for one in pods] == ["node-1", "node-1", ""]


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_two_requests_may_share_a_device(name: str) -> None:
    made = cluster([node("node-1", cpu="8")], [shared_gpus("node-1", 1)])
    first, second = parts(1, 40), parts(1, 60) | {"name": "other"}
    planner = Planner(made, node_policy(name))
    assert planner.place(asking("p", 1, first, second), reasons=False).node == "node-1"
    assert planner.place(asking("q", 1, parts(1, 1)), reasons=False).node == ""


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_alternatives_are_not_ruled_out_by_the_first(name: str) -> None:
    made = cluster([node("node-1", cpu="8")], [gpus("node-1", "gpu-0")])
    asked = builders.either("gpu", builders.request("four", 4), builders.request("one", 1))
    planner = Planner(made, node_policy(name))
    assert planner.place(asking("p", 1, asked), reasons=False).node == "node-1"


@pytest.mark.parametrize("name", NODE_POLICIES)
def test_all_devices_of_a_node_are_asked_for_where_all_are_free(name: str) -> None:
    made = cluster([node(f"node-{n}", cpu="8") for n in (1, 2)], [gpus(f"node-{n}") for n in (1, 2)])
    planner = Planner(made, node_policy(name))
    first = planner.place(asking("p", 1, builders.request("gpu", 1)), reasons=False).node
    other = planner.place(asking("q", 1, builders.request("gpu", "All")), reasons=False).node
    assert {first, other} == {"node-1", "node-2"}


Step = tuple[int, int, int, int, bool]
"""CPU, number of devices, hundredths of each, which model it wants (0: any), and whether a claim leaves again after."""

steps = st.lists(
    st.tuples(
        st.integers(0, 4), st.integers(0, 3), st.sampled_from([20, 50, 70, 100]), st.integers(0, 2), st.booleans()
    ),
    max_size=14,
)
MODELS = ["", "Falcon", "Swift"]


def wish(step: Step, name: str) -> PlannedPod:
    cpu, count, share, model, _ = step
    selectors = [f'device.attributes["{builders.DRIVER}"].model == "{MODELS[model]}"'] if model else []
    return asking(name, cpu, parts(count, share, *selectors)) if count else asking(name, cpu)


def mixed() -> Cluster:
    nodes = [node(f"node-{n}", cpu="8") for n in range(4)] + [node("unsized")]
    slices = [shared_gpus(f"node-{n}", n + 1, MODELS[1 + n % 2], share="100" if n else "200") for n in range(4)]
    return cluster(nodes, [*slices, shared_gpus("unsized", 1, "Swift")])


@settings(max_examples=60, deadline=None)
@given(history=steps, name=st.sampled_from(SCORED))
def test_scores_kept_equal_scores_computed_afresh(history: list[Step], name: str) -> None:
    wishes = [wish(step, f"t{n}") for n, step in enumerate(history)]
    policy = node_policy(name, typical=typical_pods(wishes, share=0.8))
    planner = Planner(mixed(), policy)
    for number, step in enumerate(history):
        asked = wish(step, f"p{number}")
        needs = PodNeeds.of(asked.pod)
        wanted = [planner.site.allocator.wanted(used.claim) for used in asked.claims]
        ranks = policy._ranks
        assert isinstance(ranks, Ranks)
        fresh = ranks.afresh(dict(needs.amounts).get("cpu", 0), 0, wanted)
        kept = list(policy.scored(needs, wanted))
        assert {one.node: one.score for one in kept} == fresh
        assert [(-one.score, one.node) for one in kept] == sorted((-score, name) for name, score in fresh.items())
        placement = planner.place(asked)
        assert placement.placed == bool(fresh)
        assert placement.node == (kept[0].node if kept else "")
        if step[4]:
            for used in placement.claims:
                planner.site.inventory.remove_claim(used.claim)


@settings(max_examples=60, deadline=None)
@given(history=steps, name=st.sampled_from(NODE_POLICIES))
def test_policies_place_a_pod_wherever_the_allocator_would_and_never_overbook(history: list[Step], name: str) -> None:
    wishes = [wish(step, f"p{n}") for n, step in enumerate(history)]
    policy: NodePolicy = node_policy(name, typical=typical_pods(wishes))
    planner = Planner(mixed(), policy)
    placements = []
    for asked in wishes:
        needs = PodNeeds.of(asked.pod)
        wanted = [planner.site.allocator.wanted(used.claim) for used in asked.claims]
        possible = [
            node_name
            for node_name, state in planner.site.nodes.items()
            if state.refuses(needs, frozenset()) is None
            and planner.site.allocator.allocate(planner.site.view(node_name), wanted).fits
        ]
        proposed = list(policy.propose(needs, wanted))
        assert {one.node for one in proposed} == set(possible)
        for one in proposed:
            assert planner.site.allocator.allocate(planner.site.view(one.node), wanted, one.within).fits
        placements.append(planner.place(asked))
        assert placements[-1].placed == bool(possible)
    taken: dict[tuple[str, str], int] = {}
    for used in Plan(placements).claims.values():
        assert used.status.allocation is not None
        for result in used.status.allocation.devices.results:
            key = (result.pool, result.device)
            taken[key] = taken.get(key, 0) + result.consumed_capacity[SHARE].value()
    assert all(amount <= (200 if pool == "node-0" else 100) for (pool, _), amount in taken.items())
