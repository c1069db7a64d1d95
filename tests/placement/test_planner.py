"""Pods one after another: what earlier ones took, shared and allocated claims, extended resources, policies."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from places import allocation, claim, cluster, container, devices_of, gpus, node, planned, pod, read, reasons, where

from builders import DRIVER, ROOT, device, either, labelled, match, request, slice_
from fairlead.placement import Candidate, Cluster, plan
from fairlead.resource import PlannedPod, ResourceClaim

MAPPED = {
    "metadata": {"name": "mapped"},
    "spec": {
        "extendedResourceName": "example.com/gpu",
        "selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}],
    },
}
TWO_NODES = [node("node-1"), node("node-2")]


def gpu_claim(name: str, count: int = 1) -> ResourceClaim:
    return claim(name, request("gpu", count))


def pods(count: int, each: int = 1) -> list[PlannedPod]:
    return [planned(pod(f"p{i}"), gpu_claim(f"c{i}", each)) for i in range(count)]


def two_nodes_of_two() -> Cluster:
    return cluster(TWO_NODES, [gpus("node-1"), gpus("node-2")])


def test_earlier_pods_count_for_later_ones() -> None:
    result = plan(two_nodes_of_two(), pods(5))
    assert where(result) == ["node-1", "node-1", "node-2", "node-2", ""]
    assert devices_of(result) == [["gpu-0"], ["gpu-1"], ["gpu-0"], ["gpu-1"], []]


def test_a_pod_that_fits_nowhere_takes_nothing() -> None:
    result = plan(two_nodes_of_two(), [*pods(1), planned(pod("big"), gpu_claim("big", 2)), planned(pod("q"))])
    assert where(result) == ["node-1", "node-2", "node-1"]
    result = plan(two_nodes_of_two(), [planned(pod("big"), gpu_claim("big", 3)), *pods(4)])
    assert where(result) == ["", "node-1", "node-1", "node-2", "node-2"]


def test_the_node_must_have_room_and_devices() -> None:
    small, large = node("node-1", cpu="1"), node("node-2", cpu="8")
    wanted = planned(pod("p", container(cpu="4")), gpu_claim("c"))
    assert where(plan(cluster([small, large], [gpus("node-1"), gpus("node-2")]), [wanted])) == ["node-2"]


def test_the_claims_of_a_pod_are_decided_together() -> None:
    """One claim alone would take gpu-0, which the other one needs."""
    slices = [slice_([device("gpu-0", {"big": True}), device("gpu-1", {"big": False})])]
    any_gpu = claim("any", request("gpu"))
    big_gpu = claim("big", request("gpu", 1, f'device.attributes["{DRIVER}"].big'))
    result = plan(cluster([node("node-1")], slices), [planned(pod(), any_gpu, big_gpu)])
    assert devices_of(result) == [["gpu-1", "gpu-0"]]


def test_a_claim_has_its_pod_in_reserved_for() -> None:
    placement = plan(two_nodes_of_two(), pods(1)).placements[0]
    status = placement.claims[0].claim.status
    assert [(consumer.resource, consumer.name) for consumer in status.reserved_for] == [("pods", "p0")]


class TestSharedClaims:
    """One claim, several pods."""

    def test_the_first_pod_allocates_and_the_others_follow(self) -> None:
        shared = gpu_claim("shared")
        result = plan(two_nodes_of_two(), [planned(pod(f"p{i}"), shared) for i in range(3)])
        assert where(result) == ["node-1"] * 3
        assert devices_of(result) == [["gpu-0"]] * 3
        reserved = result.claims["ml/shared"].status.reserved_for
        assert [consumer.name for consumer in reserved] == ["p0", "p1", "p2"]

    def test_it_binds_the_others_to_where_its_devices_are(self) -> None:
        shared = gpu_claim("shared")
        on = cluster([node("node-1", pods="1"), node("node-2")], [gpus("node-1"), gpus("node-2")])
        result = plan(on, [planned(pod("p"), shared), planned(pod("q"), shared)])
        assert where(result) == ["node-1", ""]
        assert reasons(result) == [
            "1 node (node-2): the devices that claim ml/shared has are not reached from there",
            "1 node (node-1): the node has as many pods as it may",
        ]

    def test_devices_of_a_fabric_are_shared_across_nodes(self) -> None:
        fabric = slice_("acc-0", pool="fabric", nodeSelector=labelled("rack", "a"))
        nodes = [node(name, {"rack": rack}, pods="1") for name, rack in (("n1", "a"), ("n2", "b"), ("n3", "a"))]
        shared = gpu_claim("shared")
        result = plan(cluster(nodes, [fabric]), [planned(pod(f"p{i}"), shared) for i in range(3)])
        assert where(result) == ["n1", "n3", ""]

    def test_a_pod_that_names_a_claim_twice_uses_it_once(self) -> None:
        shared = gpu_claim("shared")
        assert devices_of(plan(two_nodes_of_two(), [planned(pod(), shared, shared)])) == [["gpu-0"]]

    def test_a_claim_has_at_most_256_consumers(self) -> None:
        shared = gpu_claim("shared")
        result = plan(two_nodes_of_two(), [planned(pod(f"p{i}"), shared) for i in range(257)])
        assert result.placements[255].placed
        assert reasons(result) == ["claim ml/shared has 256 consumers, more it may not have"]

    def test_a_claim_of_a_group_is_reserved_for_the_group(self) -> None:
        owner = {"apiVersion": "scheduling.k8s.io/v1beta1", "kind": "PodGroup", "name": "g", "controller": True}
        made = gpu_claim("g-gpu")
        meta = read(ResourceClaim, {"metadata": {"name": "g-gpu", "namespace": "ml", "ownerReferences": [owner]}})
        shared = msgspec.structs.replace(made, metadata=meta.metadata)
        result = plan(two_nodes_of_two(), [planned(pod(f"p{i}"), shared) for i in range(2)])
        [reserved] = result.claims["ml/g-gpu"].status.reserved_for
        assert (reserved.api_group, reserved.resource, reserved.name) == ("scheduling.k8s.io", "podgroups", "g")


class TestAllocatedClaims:
    """Claims that have devices when planning starts."""

    def test_what_they_hold_is_taken(self) -> None:
        holder = claim("holder", request("gpu"), status=allocation("gpu-0"))
        result = plan(cluster(TWO_NODES[:1], [gpus("node-1")], claims=[holder]), pods(2))
        assert devices_of(result) == [["gpu-1"], []]
        assert reasons(result) == [
            "1 node (node-1): request gpu: both devices of class gpu are held, 1 wanted; "
            "held by claims ml/c0, ml/holder"
        ]

    def test_a_pod_goes_where_its_claim_is(self) -> None:
        mine = claim("mine", request("gpu"), status=allocation("gpu-1", node_name="node-2"))
        on = cluster(TWO_NODES, [gpus("node-1"), gpus("node-2")], claims=[mine])
        result = plan(on, [planned(pod("p"), mine)])
        assert where(result) == ["node-2"]
        assert devices_of(result) == [["gpu-1"]]
        assert [consumer.name for consumer in result.claims["ml/mine"].status.reserved_for] == ["p"]

    def test_a_claim_that_is_being_deleted_is_refused(self) -> None:
        meta = {"name": "gone", "namespace": "ml", "deletionTimestamp": "2026-01-01T00:00:00Z"}
        gone = read(ResourceClaim, {"metadata": meta})
        assert reasons(plan(two_nodes_of_two(), [planned(pod(), gone)])) == ["claim ml/gone is being deleted"]


class TestExtendedResources:
    """`example.com/gpu: 1` that a DeviceClass maps; a device plugin goes before devices."""

    def wanted(self) -> PlannedPod:
        asking = pod("p", container(**{"example.com/gpu": "1"}))
        made = claim("p-extended", request("container-0-request-0", device_class="mapped"))
        return planned(asking, extended=made)

    def test_devices_serve_it_where_the_node_does_not_offer_it(self) -> None:
        on = cluster([node("node-1", cpu="8")], [gpus("node-1")], classes=[MAPPED])
        result = plan(on, [self.wanted()])
        assert devices_of(result) == [["gpu-0"]]

    def test_zero_is_no_offer(self) -> None:
        on = cluster([node("node-1", example_com__gpu="0")], [gpus("node-1")], classes=[MAPPED])
        assert devices_of(plan(on, [self.wanted()])) == [["gpu-0"]]

    def test_the_device_plugin_serves_it_where_the_node_offers_it(self) -> None:
        on = cluster([node("node-1", example_com__gpu="1")], [], classes=[MAPPED])
        result = plan(on, [self.wanted(), self.wanted()])
        assert where(result) == ["node-1", ""]
        assert result.placements[0].claims == ()
        assert reasons(result) == ["1 node (node-1): too little example.com/gpu left: 1 wanted"]

    def test_it_is_missing_where_nobody_has_it(self) -> None:
        on = cluster([node("node-1", cpu="8")], [], classes=[MAPPED])
        assert reasons(plan(on, [self.wanted()])) == [
            "1 node (node-1): request container-0-request-0: no device reaches the node, 1 of class mapped wanted"
        ]


class TestNodes:
    """Which nodes there are."""

    def test_nodes_are_tried_in_order_of_name(self) -> None:
        assert where(plan(cluster([node("b"), node("a")]), [planned(pod())])) == ["a"]

    def test_without_nodes_that_is_the_reason(self) -> None:
        assert reasons(plan(cluster(), [planned(pod())])) == ["no node is known"]

    def test_pods_without_claims_need_no_devices(self) -> None:
        assert where(plan(cluster([node("a")]), [planned(pod())])) == ["a"]


class TestErrors:
    """What no node can help."""

    def test_a_claim_that_cannot_be_allocated_anywhere_is_the_only_reason(self) -> None:
        broken = claim("c", request("gpu", device_class="gone"))
        assert reasons(plan(two_nodes_of_two(), [planned(pod(), broken)])) == [
            "claim ml/c, request gpu: could not retrieve device class gone: "
            'deviceclass.resource.k8s.io "gone" not found'
        ]

    def test_a_selector_that_fails_stops_the_pod_at_once(self) -> None:
        broken = claim("c", request("gpu", 1, f'device.attributes["{DRIVER}"].nothing == 1'))
        [text] = reasons(plan(two_nodes_of_two(), [planned(pod(), broken)]))
        assert "no such key: nothing" in text
        assert "node" not in text.split(":")[0]


def test_alternatives_are_taken_in_order() -> None:
    slices = [
        slice_([device("gpu-0", {"model": "big"})], pool="node-1"),
        slice_([device("gpu-0", {"model": "small"})], pool="node-2", nodeName="node-2"),
    ]
    model = f'device.attributes["{DRIVER}"].model == '
    wanted = [
        planned(
            pod(f"p{i}"),
            claim(f"c{i}", either("gpu", request("big", 1, f'{model}"big"'), request("small", 1, f'{model}"small"'))),
        )
        for i in range(3)
    ]
    result = plan(cluster(TWO_NODES, slices), wanted)
    assert where(result) == ["node-1", "node-2", ""]
    [reason] = reasons(result)[:1]
    assert "alternatives" in reason


def test_constraints_hold_in_the_plan() -> None:
    members = [device(f"gpu-{i}", {ROOT: f"pci{i // 2}"}) for i in range(4)]
    wanted = [planned(pod(f"p{i}"), claim(f"c{i}", request("gpu", 2), constraints=[match(ROOT)])) for i in range(2)]
    one_more = planned(pod("single"), gpu_claim("single"))
    result = plan(cluster([node("node-1")], [slice_(members)]), [*wanted, one_more])
    assert devices_of(result) == [["gpu-0", "gpu-1"], ["gpu-2", "gpu-3"], []]


class TestPolicy:
    """A policy sees candidates one by one and decides how many it looks at."""

    def test_first_fit_looks_no_further_than_it_must(self) -> None:
        seen: list[str] = []

        class Watching:
            def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
                for candidate in candidates:
                    seen.append(candidate.node.name)
                    if candidate.fits:
                        return candidate
                return None

        assert where(plan(two_nodes_of_two(), pods(1), Watching())) == ["node-1"]
        assert seen == ["node-1"]

    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_another_policy_chooses_otherwise(self, count: int) -> None:
        class Last:
            def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
                return max((one for one in candidates if one.fits), key=lambda one: one.node.name, default=None)

        result = plan(two_nodes_of_two(), pods(count), Last())
        assert where(result) == ["node-2", "node-2", "node-1", "node-1"][:count]
