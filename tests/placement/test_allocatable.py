"""Devices that stand for CPU and memory of their node, or take some of it (KEP-5517)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from places import claim, cluster, container, node, planned, pod, read, reasons, where

from builders import device, request, slice_
from fairlead.inventory import Features
from fairlead.placement import diagnose, plan
from fairlead.placement.allocatable import DeviceCosts
from fairlead.resource import Node, PlannedPod, Pod, ResourceClaim, ResourceSlice

Resources = Mapping[str, Any]
CORES: Resources = {"cpu": {"mapping": {"deviceMultiplier": "4"}}}
HOST_MEMORY: Resources = {"memory": {"overhead": {"perPod": "1Gi", "perContainer": "256Mi"}}}


def gpus(resources: Resources, count: int = 4, node_name: str = "node-1", **fields: Any) -> dict[str, Any]:
    members = [device(f"gpu-{i}", nodeAllocatableResources=resources, **fields) for i in range(count)]
    return slice_(members, pool=node_name, nodeName=node_name)


def using(*containers: str, name: str = "p", **spec: Any) -> Pod:
    """A pod with a claim `c` that is used by containers which request so much CPU."""
    made = []
    for number, cpu in enumerate(containers or ("1",)):
        one = container(cpu=cpu) | {"name": f"c{number}"}
        one["resources"]["claims"] = [{"name": "c"}]
        made.append(one)
    return pod(name, *made, **spec)


def one_gpu(name: str = "c", count: int = 1, **fields: Any) -> ResourceClaim:
    return claim(name, request("gpu", count, **fields))


def pods(count: int) -> list[PlannedPod]:
    return [planned(using(name=f"p{i}"), one_gpu(f"c{i}")) for i in range(count)]


def try_one(on: Node, resources: Resources, wanted: PlannedPod, **fields: Any) -> list[str]:
    """Why the pod does not fit; empty where it does."""
    return reasons(plan(cluster([on], [gpus(resources, **fields)]), [wanted]))


class TestMapping:
    """Devices that are a part of the node's CPU."""

    def test_they_count_with_what_containers_request(self) -> None:
        assert where(plan(cluster([node("node-1", cpu="10")], [gpus(CORES)]), pods(3))) == ["node-1", "node-1", ""]

    def test_the_reason_tells_the_devices_part(self) -> None:
        result = plan(cluster([node("node-1", cpu="9")], [gpus(CORES)]), pods(2))
        assert reasons(result) == ["1 node (node-1): too little cpu left: 5 wanted (4 for its devices)"]

    def test_a_node_that_never_has_enough(self) -> None:
        wanted = planned(using("1"), one_gpu(count=3))
        assert try_one(node("node-1", cpu="12"), CORES, wanted) == [
            "1 node (node-1): the node is too small: 13 cpu wanted (12 for its devices), more than it has in all"
        ]
        assert try_one(node("node-1", cpu="13"), CORES, wanted) == []

    def test_another_node_takes_the_pod(self) -> None:
        nodes = [node("node-1", cpu="4"), node("node-2", cpu="8")]
        slices = [gpus(CORES), gpus(CORES, node_name="node-2")]
        assert where(plan(cluster(nodes, slices), pods(2))) == ["node-2", ""]

    def test_a_node_that_says_nothing_has_room(self) -> None:
        assert where(plan(cluster([node("node-1")], [gpus(CORES)]), pods(4))) == ["node-1"] * 4

    @pytest.mark.parametrize(("cpu", "fits"), [("10", True), ("9999m", False)])
    def test_what_is_consumed_of_a_capacity(self, cpu: str, fits: bool) -> None:
        by_cores = {"cpu": {"mapping": {"capacityKey": "gpu.example.com/cores", "capacityMultiplier": "1500m"}}}
        wanted = planned(using("1"), one_gpu(capacity={"cores": "6"}))
        shared = {
            "capacity": {"cores": {"value": "8", "requestPolicy": {"default": "1", "validRange": {"min": "1"}}}},
            "allowMultipleAllocations": True,
        }
        assert (try_one(node("node-1", cpu=cpu), by_cores, wanted, count=1, **shared) == []) is fits

    def test_a_capacity_that_nothing_is_consumed_of_is_an_error(self) -> None:
        by_cores = {"cpu": {"mapping": {"capacityKey": "cores", "capacityMultiplier": "1"}}}
        [reason] = try_one(node("node-1", cpu="8"), by_cores, planned(using(), one_gpu()), capacity={"cores": "8"})
        assert reason == (
            "1 node (node-1): device gpu.example.com/node-1/gpu-0 counts as cpu by its cores, but none was consumed"
        )

    def test_the_claim_serves_one_pod(self) -> None:
        shared = one_gpu("shared")
        result = plan(cluster([node("node-1")], [gpus(CORES)]), [planned(using(name=n), shared) for n in ("p", "q")])
        assert where(result) == ["node-1", ""]
        assert reasons(result) == ["claim ml/shared has devices that stand for CPU or memory: only one pod can use it"]


class TestOverhead:
    """Devices that cost the node something beside themselves."""

    @pytest.mark.parametrize(("memory", "fits"), [("1536Mi", True), ("1535Mi", False)])
    def test_for_the_pod_and_for_each_container(self, memory: str, fits: bool) -> None:
        wanted = planned(using("1", "1"), one_gpu("c"))
        assert (try_one(node("node-1", memory=memory), HOST_MEMORY, wanted) == []) is fits

    def test_a_container_that_does_not_use_the_claim_costs_nothing(self) -> None:
        wanted = planned(pod("p", container(cpu="1")), one_gpu("c"))
        assert try_one(node("node-1", memory="1Gi"), HOST_MEMORY, wanted) == []

    def test_each_pod_of_a_shared_claim_pays(self) -> None:
        shared = one_gpu("c")
        on = cluster([node("node-1", memory="3Gi")], [gpus(HOST_MEMORY)])
        result = plan(on, [planned(using(name=f"p{i}"), shared) for i in range(3)])
        assert where(result) == ["node-1", "node-1", ""]
        assert reasons(result) == ["1 node (node-1): too little memory left: 1280Mi wanted (1280Mi for its devices)"]

    def test_both_add_up(self) -> None:
        both = {"cpu": {"mapping": {"deviceMultiplier": "4"}, "overhead": {"perPod": "500m"}}}
        assert try_one(node("node-1", cpu="5500m"), both, planned(using("1"), one_gpu("c"))) == []
        assert try_one(node("node-1", cpu="5499m"), both, planned(using("1"), one_gpu("c"))) != []


class TestRequestsOfThePod:
    """A request of the pod as a whole replaces those of its containers and devices, and has to cover them."""

    def test_it_is_what_counts(self) -> None:
        wanted = planned(using("1", resources={"requests": {"cpu": "6"}}), one_gpu("c"))
        assert try_one(node("node-1", cpu="6"), CORES, wanted) == []

    def test_it_must_cover_the_devices(self) -> None:
        wanted = planned(using("1", resources={"requests": {"cpu": "4"}}), one_gpu("c"))
        assert try_one(node("node-1", cpu="64"), CORES, wanted) == [
            "1 node (node-1): the pod's own request of 4 cpu does not cover its containers and devices"
        ]


@pytest.mark.parametrize("made", [False, True])
def test_pods_that_run_already_take_their_part(made: bool) -> None:
    result = {"request": "gpu", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}
    held = claim("held", request("gpu"), status={"allocation": {"devices": {"results": [result]}}})
    named = {"resourceClaimTemplateName": "t"} if made else {"resourceClaimName": "held"}
    running = using("1", name="running", nodeName="node-1", resourceClaims=[{"name": "c", **named}])
    if made:
        status = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "held"}]}
        running = msgspec.structs.replace(running, status=read(Pod, {"status": status}).status)
    for cpu, expected in (("9", ""), ("10", "node-1")):
        on = cluster([node("node-1", cpu=cpu)], [gpus(CORES)], pods=[running], claims=[held])
        assert where(plan(on, pods(1))) == [expected]


def test_without_the_feature_nothing_counts() -> None:
    on = cluster([node("node-1", cpu="1")], [gpus(CORES)])
    off = dataclasses.replace(on, features=Features(node_allocatable_resources=False))
    assert where(plan(on, pods(1))) == [""]
    assert where(plan(off, pods(1))) == ["node-1"]


def test_a_diagnosis_says_so_too() -> None:
    on = cluster([node("node-1", cpu="4"), node("node-2", cpu="8")], [gpus(CORES), gpus(CORES, node_name="node-2")])
    small, large = diagnose(on, pods(1), 0).nodes
    assert (small.fits, large.fits) == (False, True)
    assert [one.text for one in small.obstacles] == [
        "the node is too small: 5 cpu wanted (4 for its devices), more than it has in all"
    ]


def test_the_newest_generation_of_a_pool_counts() -> None:
    def generation(number: int, resources: Resources) -> ResourceSlice:
        members = [device("gpu-0", **({"nodeAllocatableResources": resources} if resources else {}))]
        return cluster(slices=[slice_(members, name=f"s{number}", generation=number)]).slices[0]

    assert not DeviceCosts([generation(1, CORES), generation(2, {})])
    assert not DeviceCosts([generation(2, {}), generation(1, CORES)])
    assert DeviceCosts([generation(1, {}), generation(2, CORES)])
