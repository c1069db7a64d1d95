"""A unit of pods on its way: what the core remembers of it between two looks, and what follows from its claims.

Everything here can be found again from the API server; it is kept so that it need not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from fairlead.controller import patches
from fairlead.controller.pins import Hold, hold_of, is_pin, pin_of
from fairlead.placement import Placement
from fairlead.resource import (
    AllocationResult,
    PlannedPod,
    Pod,
    ResourceClaim,
    ResourceClaimConsumerReference,
)


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


def planned_from(placements: Sequence[Placement]) -> UnitPlan:
    """The plan that placements of all pods of a unit make."""
    pods = {placement.pod.pod.key: placement.pod.pod.metadata.uid for placement in placements}
    claims = {used.claim.key: used.claim for placement in placements for used in placement.claims}
    holds = {one.pod.pod.key: hold_of(one.pod.pod, [used.claim for used in one.claims]) for one in placements}
    uids = set(pods.values())
    consumers = {
        key: [one for one in claim.status.reserved_for if one.uid in uids or one.resource != "pods"]
        for key, claim in claims.items()
    }
    for placement in placements:
        if holds[placement.pod.pod.key] != "node":
            _add_pins(consumers, [used.claim for used in placement.claims])
    # A pod alone that has no claims is none of our business: kube-scheduler finds it a node.
    free = len(placements) == 1 and not placements[0].pod.claims and placements[0].pod.group is None
    nodes = {placement.pod.pod.key: "" if free else placement.node for placement in placements}
    return UnitPlan(pods, nodes, claims, consumers, holds)


def adopted(pods: Sequence[PlannedPod], group: bool) -> UnitPlan | None:
    """The plan that claims which are allocated already stand for; None where something is missing or not told."""
    nodes = {}
    claims: dict[str, ResourceClaim] = {}
    consumers: dict[str, list[ResourceClaimConsumerReference]] = {}
    holds: dict[str, Hold] = {}
    for pod in pods:
        if not all(ready(used.claim, pod.pod) for used in pod.claims):
            return None
        allocations = [used.claim.status.allocation for used in pod.claims]
        selectors = [one.node_selector for one in allocations if one is not None and one.node_selector is not None]
        named = {name for selector in selectors if (name := patches.single_node(selector))}
        if len(named) != 1 and (pod.claims or group):
            return None
        nodes[pod.pod.key] = named.pop() if named else ""
        for used in pod.claims:
            claims[used.claim.key] = used.claim
            mine = [one for one in used.claim.status.reserved_for if one.uid == pod.pod.metadata.uid]
            consumers.setdefault(used.claim.key, []).extend(mine)
        holds[pod.pod.key] = hold_of(pod.pod, [used.claim for used in pod.claims])
        if holds[pod.pod.key] != "node":
            _add_pins(consumers, [used.claim for used in pod.claims])
    return UnitPlan({pod.pod.key: pod.pod.metadata.uid for pod in pods}, nodes, claims, consumers, holds)


def _add_pins(consumers: dict[str, list[ResourceClaimConsumerReference]], claims: Iterable[ResourceClaim]) -> None:
    for claim in claims:
        if pin_of(claim) not in consumers[claim.key]:
            consumers[claim.key].append(pin_of(claim))


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
