"""What holds for every plan, tried on random small clusters: nothing twice, nothing overbooked, every no explained."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from places import claim, cluster, container, node, planned, pod

from builders import device, labelled, request, slice_
from fairlead.placement import Cluster, plan
from fairlead.resource import PlannedPod

CPUS = 8


def random_cluster(rng: random.Random) -> Cluster:
    names = [f"n{i}" for i in range(rng.randint(1, 4))]
    nodes = [
        node(
            name,
            {"rack": rng.choice("ab")},
            cpu=str(CPUS),
            cordoned=rng.random() < 0.1,
            taints=["x=y:NoSchedule"] if rng.random() < 0.1 else [],
        )
        for name in names
    ]
    slices = [
        slice_([device(f"gpu-{k}", {"root": k // 2}) for k in range(rng.randint(1, 4))], pool=name, nodeName=name)
        for name in names
        if rng.random() < 0.8
    ]
    fabric = slice_("acc-0 acc-1", driver="nic.example.com", pool="fabric", nodeSelector=labelled("rack", "a"))
    return cluster(nodes, [*slices, fabric])


def random_pods(rng: random.Random) -> list[PlannedPod]:
    shared = claim("shared", request("acc", device_class="nic"))
    pods = []
    for number in range(rng.randint(1, 12)):
        claims = []
        if rng.random() < 0.7:
            claims.append(claim(f"c{number}", request("gpu", rng.choice([1, 1, 2, 3, "All"]))))
        if rng.random() < 0.3:
            claims.append(rng.choice([shared, claim(f"d{number}", request("acc", device_class="nic"))]))
        pods.append(planned(pod(f"p{number}", container(cpu=str(rng.randint(0, 5)))), *claims))
    return pods


@pytest.mark.parametrize("seed", range(150))
def test_every_plan(seed: int) -> None:
    rng = random.Random(seed)
    on, pods = random_cluster(rng), random_pods(rng)
    result = plan(on, pods)
    assert [placement.pod for placement in result] == pods
    held: Counter[tuple[str, str, str]] = Counter()
    for made in result.claims.values():
        assert made.status.allocation is not None
        held.update((given.driver, given.pool, given.device) for given in made.status.allocation.devices.results)
    assert all(count == 1 for count in held.values())
    used: Counter[str] = Counter()
    for placement in result:
        if placement.placed:
            used[placement.node] += placement.pod.pod.spec.containers[0].resources.requests["cpu"].value()
            assert len(placement.claims) == len(placement.pod.claims)
            for taken in placement.claims:
                assert placement.pod.pod.name in [consumer.name for consumer in taken.claim.status.reserved_for]
        else:
            assert not placement.claims
            explained = {name for obstacle in placement.obstacles for name in obstacle.nodes}
            assert explained == {one.name for one in on.nodes}
    assert all(total <= CPUS for total in used.values())


@pytest.mark.parametrize("seed", range(30))
def test_the_same_input_gives_the_same_plan(seed: int) -> None:
    first = plan(random_cluster(random.Random(seed)), random_pods(random.Random(seed)))
    second = plan(random_cluster(random.Random(seed)), random_pods(random.Random(seed)))
    assert first == second
