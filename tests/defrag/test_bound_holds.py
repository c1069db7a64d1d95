"""The lower bound on clusters with shared capacity, counters, devices that several nodes reach, and taints.

Pods are placed first, some of them end, and one that found no place is the workload. Sets of movers that are smaller
than the bound are tried for real.
"""

from __future__ import annotations

import dataclasses
import random
from itertools import combinations
from typing import Any

import pytest
from msgspec.structs import replace
from places import claim, planned, pod, read
from test_invariants import random_cluster, random_pods

from builders import counters, device, request, slice_
from fairlead.placement import Cluster, Planner
from fairlead.placement.defrag import Defragmentation, defragment, movable
from fairlead.placement.defrag.trial import Failure, Trials
from fairlead.resource import OwnerReference, PlannedPod, PodResourceClaim, PodStatus, ResourceSlice

SEEDS = range(150)
_MOST_SETS = 60


def blocked(seed: int) -> tuple[Cluster, PlannedPod] | None:
    """A cluster with pods that run, and a pod that has no place; None where all have one."""
    rng = random.Random(seed)
    on = random_cluster(rng)
    if seed % 2:
        on = dataclasses.replace(on, slices=[*on.slices, *(read(ResourceSlice, one) for one in special(rng))])
    pods = [one for round_ in range(3) for one in renamed(random_pods(rng), round_)]
    for number in range(6 if seed % 2 else 0):
        asked = request("gpu", capacity={"credits": str(rng.randint(2, 6))}) if number % 2 else request("part")
        pods.insert(rng.randint(0, len(pods)), planned(pod(f"s{number}"), claim(f"s{number}", asked)))
    planner = Planner(on)
    placements = [planner.place(one) for one in pods]
    waiting = [one.pod for one in placements if not one.placed]
    if not waiting:
        return None
    running, claims = [], {}
    for placement in placements:
        if not placement.placed or rng.random() < 0.4:
            continue
        made = placement.pod.pod
        owner = OwnerReference("apps/v1", "ReplicaSet", f"rs-{rng.randint(0, 3)}", "", True)
        used = [PodResourceClaim(one.name, resource_claim_name=one.claim.name) for one in placement.claims]
        spec = replace(made.spec, node_name=placement.node, resource_claims=used)
        meta = replace(made.metadata, owner_references=[owner])
        running.append(replace(made, metadata=meta, spec=spec, status=PodStatus("Running")))
        claims.update({one.claim.key: one.claim for one in placement.claims})
    return dataclasses.replace(on, pods=running, claims=list(claims.values())), rng.choice(waiting)


def special(rng: random.Random) -> list[dict[str, Any]]:
    """A device that pods share, and one that is whole or two halves."""
    shared = device("nx", capacity={"credits": "10"}, allowMultipleAllocations=True)
    sizes = {"whole": "4", "left": "2", "right": "2"}
    parts = [device(name, uses={"card": {"slots": size}}) for name, size in sizes.items()]
    one, other = rng.choice(("n0", "n1")), rng.choice(("n0", "n1"))
    return [
        slice_([shared], pool="shared", nodeName=one),
        slice_(parts, pool="parts", nodeName=other, count=2),
        slice_(
            [], pool="parts", nodeName=other, count=2, name="counters", sharedCounters=counters(card={"slots": "4"})
        ),
    ]


def renamed(pods: list[PlannedPod], number: int) -> list[PlannedPod]:
    """The pods and their own claims under other names."""
    made = []
    for one in pods:
        pod = replace(one.pod, metadata=replace(one.pod.metadata, name=f"{one.pod.name}-{number}"))
        claims = [
            dataclasses.replace(
                used,
                claim=replace(used.claim, metadata=replace(used.claim.metadata, name=f"{used.claim.name}-{number}")),
            )
            for used in one.claims
        ]
        made.append(PlannedPod(pod, one.owner, one.group, tuple(claims)))
    return made


def found_for(seed: int) -> tuple[Cluster, PlannedPod, Defragmentation] | None:
    case = blocked(seed)
    return (*case, defragment(case[0], [[case[1]]], tries=20)) if case is not None else None


@pytest.mark.parametrize("seed", SEEDS)
def test_no_smaller_set_of_movers_holds(seed: int) -> None:
    case = found_for(seed)
    if case is None:
        return
    on, waiting, found = case
    if found.moves is not None:
        assert found.at_least <= len(found.moves)
    movers = movable(on, 0)
    least = found.at_least if found.possible and found.short is None else len(movers.movers) + 1
    trials = Trials(on, [[waiting]], movers)
    smaller = [set_ for size in range(least) for set_ in combinations(movers.movers, size)]
    for chosen in random.Random(seed).sample(smaller, min(len(smaller), _MOST_SETS)):
        if chosen and not movers.budgets.broken(chosen):
            nodes = {movers.movers[key].node for key in chosen}
            assert isinstance(trials.attempt(frozenset(chosen), nodes), Failure)


def test_the_cases_say_something() -> None:
    found = [case[2] for seed in SEEDS if (case := found_for(seed)) is not None]
    assert sum(bool(one.moves) for one in found) > 3
    assert sum(one.moves is None for one in found) > 3
