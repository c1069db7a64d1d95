"""A unit of pods on its way: what the core remembers of it between two looks, and what follows from its claims.

Everything here can be found again from the API server; it is kept so that it need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from fairlead.controller import patches
from fairlead.controller.grouping import group_of
from fairlead.controller.pins import Hold, hold_of, is_pin, pin_of
from fairlead.placement import Placement
from fairlead.resource import (
    AllocationResult,
    PlannedPod,
    Pod,
    PodGroup,
    ResourceClaim,
    ResourceClaimConsumerReference,
)

_SCHEDULING: Final = "scheduling.k8s.io"

FindGroup = Callable[[str], PodGroup | None]
"""Looks up a PodGroup by `namespace/name`."""


@dataclass(slots=True)
class UnitPlan:
    """Where the gated pods of a unit go."""

    pods: dict[str, str]
    """Their UIDs, by `namespace/name`."""
    nodes: dict[str, str]
    """By pod; empty for a pod that may go anywhere."""
    claims: dict[str, ResourceClaim]
    """What each claim is to have, by `namespace/name`."""
    consumers: dict[str, list[ResourceClaimConsumerReference]]
    """Whom each claim is to be reserved for, of this unit."""
    holds: dict[str, Hold] = field(default_factory=dict)
    """What is to hold each pod in its place."""
    shown_at: datetime | None = None
    """Since when the watch shows all of it."""


@dataclass(slots=True)
class Unit:
    """Pods that are placed together, and how far they are."""

    name: str
    group: bool
    pods: dict[str, Pod] = field(default_factory=dict)
    """As the watch shows them. Of a group all pods, else those with our gate."""
    plan: UnitPlan | None = None
    candidates: list[PlannedPod] = field(default_factory=list)
    """The pods to be planned."""
    failures: int = 0
    """Refusals of the API server since something last went well."""
    not_before: datetime | None = None
    trouble: str = ""
    blocked_since: datetime | None = None
    """Since when pods or claims are missing."""
    said: str = ""
    said_at: datetime | None = None
    told: set[str] = field(default_factory=set)
    """The pods, by UID, that were told."""

    @property
    def order(self) -> tuple[int, str, str]:
        """By priority, then by age."""
        priority = max((pod.spec.priority or 0 for pod in self.pods.values()), default=0)
        created = min((pod.metadata.creation_timestamp or "" for pod in self.pods.values()), default="")
        return -priority, created, self.name

    @property
    def wants_company(self) -> bool:
        """Whether a pod must be near other pods."""
        affinities = (pod.spec.affinity.pod_affinity for pod in self.pods.values())
        return any(affinity is not None and affinity.required for affinity in affinities)


def planned_from(placements: Sequence[Placement], pod_group: FindGroup) -> UnitPlan:
    """The plan that placements of all pods of a unit make."""
    plan = UnitPlan({}, {}, {}, {}, {})
    # A pod alone that has no claims is none of our business: kube-scheduler finds it a node.
    free = len(placements) == 1 and not placements[0].pod.claims and placements[0].pod.group is None
    uids = {placement.pod.pod.metadata.uid for placement in placements}
    for placement in placements:
        pod = placement.pod.pod
        plan.pods[pod.key] = pod.metadata.uid
        plan.nodes[pod.key] = "" if free else placement.node
        for used in placement.claims:
            plan.claims[used.claim.key] = used.claim
            group = group_of(pod, used.name, pod_group)
            plan.consumers[used.claim.key] = [
                one
                for one in used.claim.status.reserved_for
                if one.resource != "pods" or (one.uid in uids and group is None)
            ]
            if group is not None and not _has_group(plan.consumers[used.claim.key], group):
                plan.consumers[used.claim.key].append(_consumer(group))
    for placement in placements:
        _hold(plan, placement.pod.pod, [used.claim for used in placement.claims])
    return plan


def adopted(pods: Sequence[PlannedPod], group: bool) -> UnitPlan | None:
    """The plan that claims which are allocated already stand for; None where something is missing or not told."""
    plan = UnitPlan({}, {}, {}, {}, {})
    for pod in pods:
        if not all(ready(used.claim, pod.pod) for used in pod.claims):
            return None
        allocations = [used.claim.status.allocation for used in pod.claims]
        selectors = [one.node_selector for one in allocations if one is not None and one.node_selector is not None]
        named = {name for selector in selectors if (name := patches.single_node(selector))}
        if len(named) != 1 and (pod.claims or group):
            return None
        plan.pods[pod.pod.key] = pod.pod.metadata.uid
        plan.nodes[pod.pod.key] = named.pop() if named else ""
        for used in pod.claims:
            plan.claims[used.claim.key] = used.claim
            mine = [one for one in used.claim.status.reserved_for if one.uid == pod.pod.metadata.uid]
            plan.consumers.setdefault(used.claim.key, []).extend(mine)
    for pod in pods:
        _hold(plan, pod.pod, [used.claim for used in pod.claims])
    return plan


def _hold(plan: UnitPlan, pod: Pod, claims: Sequence[ResourceClaim]) -> None:
    """Decides what is to hold a pod, and plans the pins."""
    shared = any(
        one.resource == "podgroups"
        for claim in claims
        for one in (*claim.status.reserved_for, *plan.consumers[claim.key])
    )
    # What a PodGroup holds is not one pod's to move.
    plan.holds[pod.key] = "node" if shared else hold_of(pod, claims)
    if plan.holds[pod.key] != "node":
        for claim in claims:
            if pin_of(claim) not in plan.consumers[claim.key]:
                plan.consumers[claim.key].append(pin_of(claim))


def _consumer(group: PodGroup) -> ResourceClaimConsumerReference:
    return ResourceClaimConsumerReference(
        api_group=_SCHEDULING, resource="podgroups", name=group.name, uid=group.metadata.uid
    )


def _has_group(consumers: Iterable[ResourceClaimConsumerReference], group: PodGroup) -> bool:
    return any(one.resource == "podgroups" and one.uid == group.metadata.uid for one in consumers)


def ready(claim: ResourceClaim, pod: Pod) -> bool:
    """Whether nothing has to be written to a claim before the pod may be opened."""
    allocation = claim.status.allocation
    return (
        allocation is not None
        and allocation.allocation_timestamp is not None
        and claim.metadata.deletion_timestamp is None
        and patches.FINALIZER in claim.metadata.finalizers
        and any(one.uid == pod.metadata.uid or _of_group(one, pod) for one in claim.status.reserved_for)
    )


def releasable(claim: ResourceClaim, gated: Iterable[Pod], whole: bool) -> bool:
    """Whether only gated pods can use a claim's devices.

    Args:
        claim: the claim.
        gated: the pods of a unit that have the gate.
        whole: whether these are all its pods, so that a reservation for their PodGroup is theirs alone.
    """
    if claim.status.allocation is None or not claim.status.reserved_for:
        return False
    pods = list(gated)
    uids = {pod.metadata.uid for pod in pods}
    return all(
        one.uid in uids or is_pin(one) or (whole and any(_of_group(one, pod) for pod in pods))
        for one in claim.status.reserved_for
    )


def agrees(given: AllocationResult | None, wanted: AllocationResult | None) -> bool:
    """Whether an allocation is the one that was planned; the names of shares are drawn anew in every plan."""
    if given is None or wanted is None:
        return given is wanted
    return [replace(one, share_id=None) for one in given.devices.results] == [
        replace(one, share_id=None) for one in wanted.devices.results
    ]


def _of_group(consumer: ResourceClaimConsumerReference, pod: Pod) -> bool:
    group = pod.spec.scheduling_group
    return consumer.resource == "podgroups" and group is not None and consumer.name == group.pod_group_name
