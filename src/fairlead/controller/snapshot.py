"""The cluster as a value, for a round of planning: all that may be taken counts as taken.

Claims count with what they hold and with what they are to hold: one that is to change its devices has both until the
old ones are given back. Pods count on the node that they are bound to, that they were opened for, or that they are
planned on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from msgspec.structs import replace

from fairlead.controller.binding import failed
from fairlead.controller.grouping import finished, has_gate
from fairlead.controller.pins import home_of
from fairlead.controller.store import Store
from fairlead.controller.unit import UnitPlan, agrees
from fairlead.placement import Cluster
from fairlead.resource import PlannedPod, Pod, ResourceClaim, ResourceClaimStatus


def snapshot(store: Store, plans: Iterable[UnitPlan], released: set[str]) -> Cluster:
    """The cluster.

    Args:
        store: what is there.
        plans: what is under way.
        released: claims (`namespace/name`) that count as if they had no devices.
    """
    targets: dict[str, ResourceClaim] = {}
    nodes: dict[str, str] = {}
    for plan in plans:
        targets |= plan.claims
        nodes |= plan.nodes
    claims = []
    for claim in store.held_claims():
        if claim.key in released:
            claim = replace(claim, status=ResourceClaimStatus())
        target = targets.get(claim.key)
        if target is not None and claim.status.allocation is None:
            claim = target
        elif target is not None and not agrees(claim.status.allocation, target.status.allocation):
            # Until it is taken back and given anew, the claim has both.
            claims.append(replace(target, metadata=replace(target.metadata, name=f"{target.name} (planned)")))
        claims.append(claim)
    pods = []
    for pod in store.pods():
        if finished(pod):
            continue
        if not pod.spec.node_name:
            node = nodes.get(pod.key) or ("" if has_gate(pod) else home_of(pod, store.claim))
            if not node or pod.metadata.deletion_timestamp is not None:
                continue
            pod = replace(pod, spec=replace(pod.spec, node_name=node))
        pods.append(pod)
    return Cluster(store.nodes, store.slices, store.classes, claims, store.taint_rules, pods)


def moved_from(cluster: Cluster, pod: Pod, claims: Iterable[ResourceClaim]) -> Cluster:
    """The cluster without a pod that is to be moved, and with those devices of its claims taken that failed it."""
    kept = [one for one in cluster.pods if one.key != pod.key]
    broken = [one for claim in claims if (one := failed(claim)) is not None]
    return dataclasses.replace(cluster, pods=kept, claims=[*cluster.claims, *broken])


def without(pod: PlannedPod, released: set[str]) -> PlannedPod:
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
