"""Pods that go: what they took is free again, what others use stays theirs."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from places import allocation, claim, cluster, container, gpus, node, planned, pod
from test_invariants import random_cluster, random_pods

from builders import device, request, slice_
from fairlead.placement import Placement, Planner
from fairlead.resource import OwnerReference, PlannedPod


def devices(placement: Placement) -> list[str]:
    return [
        result.device
        for used in placement.claims
        if used.claim.status.allocation is not None
        for result in used.claim.status.allocation.devices.results
    ]


def wants(name: str, count: int = 1) -> PlannedPod:
    return planned(pod(name), claim(f"{name}-gpu", request("gpu", count)))


def test_devices_are_free_again() -> None:
    planner = Planner(cluster([node("n1")], [gpus("n1")]))
    first, second = wants("first", 2), wants("second", 2)
    assert devices(planner.place(first)) == ["gpu-0", "gpu-1"]
    assert not planner.place(second).placed
    planner.remove(first)
    assert devices(planner.place(second)) == ["gpu-0", "gpu-1"]


def test_cpu_and_ports_are_free_again() -> None:
    planner = Planner(cluster([node("n1", cpu="4")]))
    one = planned(pod("one", container(cpu="3", port=80)))
    by_cpu, by_port = planned(pod("two", container(cpu="2"))), planned(pod("three", container(port=80)))
    assert planner.place(one).placed
    assert not planner.place(by_cpu).placed
    assert not planner.place(by_port).placed
    planner.remove(one)
    assert planner.place(by_cpu).placed
    assert planner.place(by_port).placed


def test_shares_are_free_again() -> None:
    sharing = {"allowMultipleAllocations": True}
    shared = slice_([device("nx", capacity={"credits": "10"}, **sharing)], pool="n1", nodeName="n1")
    planner = Planner(cluster([node("n1")], [shared]))
    pods = [planned(pod(name), claim(name, request("gpu", capacity={"credits": "5"}))) for name in "abc"]
    assert [planner.place(one).placed for one in pods] == [True, True, False]
    planner.remove(pods[0])
    assert planner.place(pods[2]).placed
    assert not planner.place(pods[0]).placed


def test_a_claim_of_several_pods_is_kept_until_the_last_of_them_goes() -> None:
    shared = claim("shared", request("gpu", 2))
    planner = Planner(cluster([node("n1")], [gpus("n1")], claims=[shared]))
    users = [planned(pod(name), shared) for name in ("one", "two")]
    placements = [planner.place(user) for user in users]
    assert devices(placements[0]) == devices(placements[1])
    planner.remove(users[0])
    assert not planner.place(wants("other")).placed
    again = planner.place(planned(pod("three"), shared))
    reserved = [consumer.name for consumer in again.claims[0].claim.status.reserved_for]
    assert reserved == ["two", "three"]
    planner.remove(users[1])
    planner.remove(again.pod)
    assert planner.place(wants("other")).placed


def test_a_claim_of_a_group_stays_reserved_for_the_group() -> None:
    owner = OwnerReference("scheduling.k8s.io/v1alpha2", "PodGroup", "gang", "", True)
    made = claim("of-group", request("gpu", 2))
    made = type(made)(
        metadata=type(made.metadata)(name="of-group", namespace="ml", owner_references=[owner]), spec=made.spec
    )
    planner = Planner(cluster([node("n1")], [gpus("n1")]))
    users = [planned(pod(name), made) for name in ("one", "two", "three")]
    for user in users[:2]:
        planner.place(user)
    planner.remove(users[0])
    third = planner.place(users[2])
    assert [consumer.name for consumer in third.claims[0].claim.status.reserved_for] == ["gang"]
    planner.remove(users[1])
    planner.remove(users[2])
    assert planner.place(wants("other", 2)).placed


def test_a_claim_that_had_its_devices_before_keeps_them() -> None:
    had = claim("had", request("gpu"), status=allocation("gpu-1", node_name="n1"))
    planner = Planner(cluster([node("n1")], [gpus("n1")], claims=[had]))
    user = planned(pod("user"), had)
    assert devices(planner.place(user)) == ["gpu-1"]
    planner.remove(user)
    assert devices(planner.place(wants("other"))) == ["gpu-0"]
    assert not planner.place(wants("another")).placed
    assert devices(planner.place(user)) == ["gpu-1"]


def test_neighbours_that_went_do_not_count() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
    rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    lonely = planned(pod("lonely", labels={"app": "x"}, affinity={"podAntiAffinity": rule}))
    other = planned(pod("other", labels={"app": "x"}))
    near = [planned(pod(name, labels={"app": "x"}, affinity={"podAffinity": rule})) for name in ("a", "b")]
    planner = Planner(cluster([node("n1")]))
    assert planner.place(lonely).placed
    assert not planner.place(other).placed
    planner.remove(lonely)
    assert planner.place(other).placed
    assert not planner.place(lonely).placed
    planner.remove(other)
    assert planner.place(near[0]).placed, "the first of its kind, now that the others have gone"


def test_only_what_was_placed_can_go() -> None:
    planner = Planner(cluster([node("n1")], [gpus("n1")]))
    with pytest.raises(KeyError):
        planner.remove(wants("never"))
    once = wants("once")
    planner.place(once)
    planner.remove(once)
    with pytest.raises(KeyError):
        planner.remove(once)


@pytest.mark.parametrize("seed", range(60))
def test_when_all_have_gone_everything_is_as_before(seed: int) -> None:
    rng = random.Random(seed)
    on, pods = random_cluster(rng), random_pods(rng)
    planner = Planner(on)
    first = [planner.place(one) for one in pods]
    placed = [placement.pod for placement in first if placement.placed]
    rng.shuffle(placed)
    for one in placed:
        planner.remove(one)
    assert [planner.place(one) for one in pods] == first


@pytest.mark.parametrize("seed", range(60))
def test_what_goes_and_comes_is_never_held_twice(seed: int) -> None:
    rng = random.Random(seed)
    on, pods = random_cluster(rng), random_pods(rng)
    planner = Planner(on)
    running: dict[str, Placement] = {}
    for _ in range(60):
        one = rng.choice(pods)
        if one.pod.name in running:
            planner.remove(one)
            del running[one.pod.name]
        elif (placement := planner.place(one)).placed:
            running[one.pod.name] = placement
        claims = {used.claim.key: used.claim for placement in running.values() for used in placement.claims}
        held: Counter[tuple[str, str, str]] = Counter()
        for claim_ in claims.values():
            assert claim_.status.allocation is not None
            held.update((r.driver, r.pool, r.device) for r in claim_.status.allocation.devices.results)
        assert all(count == 1 for count in held.values())
