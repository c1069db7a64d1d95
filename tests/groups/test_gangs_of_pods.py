"""Gangs of pods: placed whole or not at all, inside the domains that they ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from places import allocation, claim, cluster, container, devices_of, gpus, node, planned, pod, reasons, where

import builders
from fairlead.placement import Plan, ask_problems, plan
from fairlead.placement.groups import GANG
from fairlead.placement.groups.roles import roles_of
from fairlead.resource import Node, PlannedPod, PodClaim

RACK = "cloud.provider.com/topology-rack"
BLOCK = "cloud.provider.com/topology-block"


def gang(
    count: int, *, gpus_each: int = 1, name: str = "worker", ask: dict[str, Any] | str | None = None, **spec: Any
) -> list[PlannedPod]:
    """Pods that run together or not at all."""
    members = []
    for number in range(count):
        own = claim(f"{name}-{number}", builders.request("gpu", gpus_each))
        made = pod(f"{name}-{number}", labels={"app": name}, **spec)
        if ask is not None:
            text = ask if isinstance(ask, str) else json.dumps(ask)
            made = replace(made, metadata=replace(made.metadata, annotations={GANG: text}))
        members.append(replace_group(planned(made, own), f"Job ml/{name}"))
    return members


def replace_group(member: PlannedPod, group: str) -> PlannedPod:
    """The pod as one of a group."""
    return PlannedPod(member.pod, group, group, member.claims)


def racks(**sizes: int) -> tuple[list[Node], list[dict[str, Any]]]:
    """Nodes with two GPUs each, by rack; the racks of one letter are one block."""
    nodes, slices = [], []
    for rack, size in sizes.items():
        for number in range(size):
            name = f"{rack}-{number}"
            nodes.append(node(name, {RACK: rack, BLOCK: rack[0]}))
            slices.append(gpus(name))
    return nodes, slices


def racks_used(result: Plan) -> list[str]:
    """The racks of the pods, each once, sorted."""
    return sorted({name.partition("-")[0] for name in where(result)})


def test_a_gang_that_fits_only_in_part_takes_nothing() -> None:
    nodes, slices = racks(a1=1)
    single = planned(pod("single"), claim("single", builders.request("gpu", 2)))
    result = plan(cluster(nodes, slices), [*gang(3), single])
    assert where(result) == ["", "", "", "a1-0"]
    (outcome,) = result.gangs
    assert not outcome.placed
    assert outcome.reasons == ("3 pods wanted at the same time, all nodes together have room for 2",)


def test_pods_of_a_gang_are_placed_where_the_first_of_them_stands() -> None:
    nodes, slices = racks(a1=1)
    first, second = gang(2)
    single = planned(pod("single"), claim("single", builders.request("gpu", 1)))
    result = plan(cluster(nodes, slices), [first, single, second])
    assert [placement.pod.pod.name for placement in result] == ["worker-0", "worker-1", "single"]
    assert where(result) == ["a1-0", "a1-0", ""]


def test_few_domains_come_first_even_where_an_earlier_rack_has_some_room() -> None:
    nodes, slices = racks(a1=2, a2=3)
    result = plan(cluster(nodes, slices), gang(3, gpus_each=2))
    assert racks_used(result) == ["a2"]


def test_a_broken_node_is_taken_before_a_whole_one() -> None:
    nodes, slices = racks(a1=3)
    held = claim("held", builders.request("gpu", 1), status=allocation("gpu-0", node_name="a1-2"))
    lone = gang(1) + gang(1, name="other")
    both = [replace_group(member, "Job ml/both") for member in lone]
    result = plan(cluster(nodes, slices, claims=[held]), both)
    assert where(result) == ["a1-0", "a1-0"]  # one node is better than two
    result = plan(cluster(nodes, slices, claims=[held]), gang(3))
    assert sorted(set(where(result))) == ["a1-0", "a1-2"]


def test_a_required_level_that_nowhere_has_room_is_named_with_what_would_help() -> None:
    nodes, slices = racks(a1=2, a2=3)
    result = plan(cluster(nodes, slices), gang(4, gpus_each=2, ask={"required": ["rack"]}))
    (outcome,) = result.gangs
    assert outcome.reasons == ("no rack has room for all 4 pods: a2 has room for 3",)
    assert "if level rack is preferred and not required" in outcome.helps
    assert where(result) == [""] * 4
    assert reasons(result)[0].startswith("all 4 pods of Job ml/worker or none: no rack has room")


def test_a_level_may_be_named_by_its_label() -> None:
    nodes, slices = racks(a1=2, a2=3)
    result = plan(cluster(nodes, slices), gang(4, gpus_each=2, ask={"required": [RACK]}))
    assert result.gangs[0].reasons == ("no rack has room for all 4 pods: a2 has room for 3",)


def test_who_would_make_room_by_ending_is_named() -> None:
    nodes, slices = racks(a1=2, a2=2)
    running = gang(1, gpus_each=2, name="train")
    blocked = gang(2, gpus_each=2, name="next", ask={"required": ["rack"]})
    more = gang(1, gpus_each=2, name="more")
    pinned = [
        replace(one.pod, spec=replace(one.pod.spec, node_selector={"kubernetes.io/hostname": name}))
        for one, name in ((running[0], "a1-0"), (more[0], "a2-0"))
    ]
    started = [PlannedPod(p, o.owner, None, o.claims) for p, o in zip(pinned, (running[0], more[0]), strict=True)]
    result = plan(cluster(nodes, slices), [*started, *blocked])
    assert "when Job ml/train ends: 1 more node of rack a1 would have room" in result.gangs[0].helps


def test_slices_fill_racks_in_equal_parts() -> None:
    nodes, slices = racks(a1=5, a2=3, a3=3)
    ask = {"slices": {"level": "rack", "size": 3}}
    result = plan(cluster(nodes, slices), gang(6, gpus_each=2, ask=ask))
    counts = [sum(name.startswith(rack) for name in where(result)) for rack in ("a1", "a2", "a3")]
    assert sorted(counts) == [0, 3, 3]


def test_pods_that_keep_apart_get_a_node_each() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "worker"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    nodes, slices = racks(a1=3)
    result = plan(cluster(nodes, slices), gang(3, affinity=apart))
    assert sorted(where(result)) == ["a1-0", "a1-1", "a1-2"]
    assert result.gangs[0].proven
    assert not plan(cluster(nodes, slices), gang(4, affinity=apart)).complete


def test_a_leader_without_devices_is_placed_with_its_workers() -> None:
    nodes, slices = racks(a1=2, a2=2)
    leader = replace_group(planned(pod("leader", container(cpu="1"))), "Job ml/worker")
    result = plan(cluster(nodes, slices), [leader, *gang(2, gpus_each=2, ask={"required": ["rack"]})])
    assert result.complete
    assert len(racks_used(result)) == 1


def test_many_roles_on_one_node_are_no_reason_for_a_no() -> None:
    nodes = [node("n", {RACK: "r"}, cpu="64")]
    slices = [gpus("n", " ".join(f"gpu-{n}" for n in range(16)))]
    members = []
    for number in range(8):
        made = planned(
            pod(f"role-{number}", container(cpu=str(number + 1))), claim(f"c{number}", builders.request("gpu", 2))
        )
        members.append(replace_group(made, "Job ml/many"))
    result = plan(cluster(nodes, slices), members)
    assert result.complete, result.gangs


def test_cpu_limits_how_many_pods_a_node_takes() -> None:
    nodes = [node("n-0", {RACK: "r"}, cpu="1"), node("n-1", {RACK: "r"}, cpu="2")]
    slices = [gpus("n-0"), gpus("n-1")]
    members = [
        replace_group(planned(pod(m.pod.name, container(cpu="1")), *[c.claim for c in m.claims]), "Job ml/worker")
        for m in gang(3)
    ]
    result = plan(cluster(nodes, slices), members)
    assert sorted(where(result)) == ["n-0", "n-1", "n-1"]


def test_a_gang_stays_inside_the_pool_that_its_shared_claim_comes_from() -> None:
    nodes, slices = racks(a1=1, a2=2)
    selector = {"nodeSelectorTerms": [{"matchExpressions": [{"key": RACK, "operator": "In", "values": ["a2"]}]}]}
    fabric = builders.slice_(
        builders.devices("channel-0"), driver="fabric.example.com", pool="a2", nodeSelector=selector
    )
    wanted = builders.request("channel", 1, device_class="fabric")
    shared = claim("shared", wanted)
    members = [replace_group(planned(m.pod, shared, *[c.claim for c in m.claims]), "Job ml/worker") for m in gang(4)]
    fabric_class = {
        "metadata": {"name": "fabric"},
        "spec": {"selectors": [{"cel": {"expression": 'device.driver == "fabric.example.com"'}}]},
    }
    result = plan(cluster(nodes, [*slices, fabric], classes=[fabric_class]), members)
    assert result.complete, result.gangs
    assert racks_used(result) == ["a2"]
    assert all("channel-0" in given for given in devices_of(result))
    assert len({c.claim.metadata.name for p in result for c in p.claims if c.name == "shared"}) == 1


def test_a_gang_with_conditions_that_cannot_be_searched_is_still_whole_or_nothing() -> None:
    near = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": "worker"}}, "topologyKey": RACK}
            ]
        }
    }
    nodes, slices = racks(a1=1, a2=2)
    fits = plan(cluster(nodes, slices), gang(2, gpus_each=1, affinity=near))
    assert fits.complete
    assert not fits.gangs[0].proven
    far = plan(cluster(nodes, slices), gang(2, gpus_each=2, ask={"required": ["rack"]}, affinity=near))
    assert racks_used(far) == ["a2"]
    refused = plan(cluster(nodes, slices), gang(2, ask={"slices": {"level": "rack", "size": 2}}, affinity=near))
    assert "are not searched for pods with affinity" in refused.gangs[0].reasons[0]
    blocked = plan(cluster(nodes, slices), gang(3, gpus_each=2, affinity=near))
    assert where(blocked) == ["", "", ""]


def test_devices_of_all_pods_can_be_made_to_match() -> None:
    nodes = [node(f"n-{number}", {RACK: "r"}) for number in range(4)]
    models = ["old", "new", "old", "new"]
    slices = [gpus(name.name, "gpu-0", model=model) for name, model in zip(nodes, models, strict=True)]
    slices[0]["spec"]["devices"].append(builders.device("gpu-1", {"model": "new"}))
    ask = {"match": [{"attribute": f"{builders.DRIVER}/model"}]}
    result = plan(cluster(nodes, slices), gang(3, ask=ask))
    assert [(placement.node, *given) for placement, given in zip(result, devices_of(result), strict=True)] == [
        ("n-0", "gpu-1"),
        ("n-1", "gpu-0"),
        ("n-3", "gpu-0"),
    ]
    assert not plan(cluster(nodes, slices), gang(4, ask=ask)).complete


def test_bad_topology_is_named_and_placement_goes_on_without_that_level() -> None:
    nodes, slices = racks(a1=2, a2=2)
    nodes.append(node("b-0", {RACK: "a1", BLOCK: "b"}))
    slices.append(gpus("b-0"))
    result = plan(cluster(nodes, slices), gang(5, gpus_each=2, ask={"required": ["rack"]}))
    assert result.complete
    assert any(problem.level == "rack" and "a1" in problem.text for problem in result.topology)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Input data was truncated"),
        ('{"requires": ["rack"]}', "Object contains unknown field `requires`"),
        ('{"slices": {"level": "rack", "size": "3"}}', "Expected `int`, got `str` - at `$.slices.size`"),
        ('{"slices": {"level": "rack", "size": 2}}', "the gang's 3 pods are no multiple of slices.size"),
        ('{"rails": "straight"}', "Invalid enum value 'straight' - at `$.rails`"),
        ('{"match": [{"attribute": "a.b/c", "requests": ["g/x"]}]}', "match[0].requests: Invalid value: 'g/x'"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_refused(text: str, reason: str) -> None:
    (problem,) = ask_problems(gang(3, ask=text))
    assert problem.field == f"metadata.annotations[{GANG}]"
    assert reason in problem.reason


def test_pods_of_a_gang_may_not_contradict_each_other() -> None:
    members = [*gang(1, ask={"required": ["rack"]}), *gang(1, name="other", ask={"required": ["block"]})]
    both: Sequence[PlannedPod] = [replace_group(member, "Job ml/both") for member in members]
    assert "another pod of the gang asks for something else" in ask_problems(both)[0].reason


def test_pods_that_name_their_own_claims_are_alike() -> None:
    """A live pod may name each claim; that they are called differently does not make the pods different."""
    pods: list[PlannedPod] = []
    for number in range(40):
        own = claim(f"own-{number}", builders.request("gpu", 1))
        made = pod(f"worker-{number}", resourceClaims=[{"name": "gpus", "resourceClaimName": own.name}])
        pods.append(PlannedPod(made, "Job ml/train", "Job ml/train", (PodClaim("gpus", own),)))
    roles, shared = roles_of(pods)
    assert [len(role.pods) for role in roles] == [40]
    assert shared == []
