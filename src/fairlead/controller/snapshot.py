"""What counts as taken, for a round of planning: all that may be taken does.

Claims count with what they hold and with what they are to hold: one that is to change its devices has both until the
old ones are given back. Pods count on the node that they are bound to, that they were opened for, or that they are
planned on.

`snapshot` is the cluster as a value, and says what `following` keeps up to date object by object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from fairlead.controller.binding import failed
from fairlead.controller.grouping import finished, has_gate
from fairlead.controller.pins import home_of
from fairlead.controller.store import Store
from fairlead.controller.unit import UnitPlan, agrees
from fairlead.placement import Cluster
from fairlead.resource import PlannedPod, Pod, ResourceClaim, ResourceClaimStatus


def snapshot(store: Store, plans: Iterable[UnitPlan], released: Collection[str]) -> Cluster:
    """The cluster.

    Args:
        store: what is there.
        plans: what is under way.
        released: claims (`namespace/name`) that count as if they had no devices.
    """
    of_claims: dict[str, list[UnitPlan]] = {}
    of_pods: dict[str, list[UnitPlan]] = {}
    for plan in plans:
        for key in plan.claims:
            of_claims.setdefault(key, []).append(plan)
        for key in plan.nodes:
            of_pods.setdefault(key, []).append(plan)
    claims: list[ResourceClaim] = []
    for claim in store.held_claims():
        claims += counted_claims(claim, of_claims.get(claim.key, ()), released)
    pods = [counted_pod(pod, of_pods.get(pod.key, ()), home_of(pod, store.claim)) for pod in store.pods()]
    there = [pod for pod in pods if pod is not None]
    return Cluster(store.nodes, store.slices, store.classes, claims, store.taint_rules, there)


def counted_claims(
    claim: ResourceClaim, plans: Collection[UnitPlan], released: Collection[str]
) -> tuple[ResourceClaim, ...]:
    """What a claim counts as: itself, perhaps with the devices that it is to have, and doubles for any others.

    Args:
        claim: the claim with whatever it may hold.
        plans: those that say what it is to have. Where units share a claim that is to change its devices they may
            contradict each other, until the first write decides.
        released: claims that count as if they had no devices.
    """
    if claim.key in released:
        claim = replace(claim, status=ResourceClaimStatus())
    targets = sorted((plan.claims[claim.key] for plan in plans), key=_reservations, reverse=True)
    if targets and claim.status.allocation is None:
        claim = targets[0]
    # Until it is taken back and given anew, the claim has both.
    counted = [claim]
    for target in targets:
        if not any(agrees(one.status.allocation, target.status.allocation) for one in counted):
            name = double_of(target.name, len(counted))
            counted.append(replace(target, metadata=replace(target.metadata, name=name)))
    return tuple(counted)


def double_of(name: str, number: int) -> str:
    """What stands beside a claim for devices that it is to have instead of its own; no claim can be named so."""
    return f"{name} (planned)" if number == 1 else f"{name} (planned, {number})"


def counted_pod(pod: Pod, plans: Collection[UnitPlan], home: str) -> Pod | None:
    """A pod with the node that it counts on; None where it counts on none.

    Args:
        pod: the pod, as opened where it may be.
        plans: those that say where it is to go.
        home: the node that it can be bound to, where it is open.
    """
    if finished(pod):
        return None
    if pod.spec.node_name:
        return pod
    node = max((plan.nodes[pod.key] for plan in plans), default="")
    node = node or ("" if has_gate(pod) else home)
    if not node or pod.metadata.deletion_timestamp is not None:
        return None
    return replace(pod, spec=replace(pod.spec, node_name=node))


def moved_from(cluster: Cluster, pod: Pod, claims: Iterable[ResourceClaim]) -> Cluster:
    """The cluster without a pod that is to be moved, and with those devices of its claims taken that failed it."""
    kept = [one for one in cluster.pods if one.key != pod.key]
    broken = [one for claim in claims if (one := failed(claim)) is not None]
    return dataclasses.replace(cluster, pods=kept, claims=[*cluster.claims, *broken])


def without(pod: PlannedPod, released: Collection[str]) -> PlannedPod:
    """The pod with some of its claims as if they had no devices."""
    if not any(used.claim.key in released for used in pod.claims):
        return pod
    claims = [
        dataclasses.replace(used, claim=replace(used.claim, status=ResourceClaimStatus()))
        if used.claim.key in released
        else used
        for used in pod.claims
    ]
    return dataclasses.replace(pod, claims=tuple(claims))


def _reservations(claim: ResourceClaim) -> tuple[int, list[str], list[tuple[str, str, str]]]:
    """Orders what plans say of one claim; that counts first which reserves it for most."""
    reserved, allocation = claim.status.reserved_for, claim.status.allocation
    results = allocation.devices.results if allocation is not None else []
    return len(reserved), [one.uid for one in reserved], [(one.driver, one.pool, one.device) for one in results]
