"""The claims of a cluster as they are now, and which of the placed pods use them.

What a claim gets is noted here and in the inventory together, so the two never disagree. Giving back is exact: a claim
whose last pod goes is again what it was before the first, so placing and removing a pod changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from fairlead.inventory import Inventory
from fairlead.resource import (
    AllocationResult,
    PlannedPod,
    Pod,
    ResourceClaim,
    ResourceClaimConsumerReference,
)


@dataclass(slots=True)
class _InUse:
    """A claim that placed pods use, and how it was before the first of them."""

    before: ResourceClaim
    users: dict[str, ResourceClaimConsumerReference]
    """By pod."""


class Claims:
    """The claims, by `namespace/name`."""

    def __init__(self, claims: Sequence[ResourceClaim], pods: Iterable[Pod], inventory: Inventory) -> None:
        """Begins with what the cluster has.

        Args:
            claims: of the cluster.
            pods: that have a node.
            inventory: knows the claims already, and is told what changes.
        """
        self._inventory = inventory
        self._present = {claim.key: claim for claim in claims}
        self._given = set(self._present)
        """The claims that are there by themselves, whatever is placed."""
        self._in_use: dict[str, _InUse] = {}
        self._owners = {pod.key: _owner(pod) for pod in pods}
        """By pod: the workload that it belongs to; empty where it stands alone."""
        self._placed_owners: dict[str, str] = {}
        """The same of pods that were given something."""

    def get(self, key: str) -> ResourceClaim | None:
        """The claim of that name; None where there is none yet."""
        return self._present.get(key)

    @property
    def all(self) -> list[ResourceClaim]:
        """Every claim."""
        return list(self._present.values())

    def present(self, claim: ResourceClaim) -> ResourceClaim:
        """A claim in its present state; itself where nothing is known of it."""
        return self._present.get(claim.key, claim)

    def set(self, claims: Iterable[ResourceClaim]) -> None:
        """Takes note of new states."""
        for claim in claims:
            self._present[claim.key] = claim
            self._inventory.set_claim(claim)

    def follow(self, claim: ResourceClaim) -> None:
        """Takes note of a claim that is there by itself, as it is now."""
        self._given.add(claim.key)
        self.set((claim,))

    def remove(self, key: str) -> None:
        """Takes note that a claim is gone; one that is not there is no error."""
        self._given.discard(key)
        claim = self._present.pop(key, None)
        if claim is not None:
            self._inventory.remove_claim(claim)

    def belongs(self, pod: Pod) -> None:
        """Takes note of whose work a pod with a node is."""
        self._owners[pod.key] = _owner(pod)

    def forget_pod(self, key: str) -> None:
        """Takes note that a pod is gone."""
        self._owners.pop(key, None)

    def keep(self, pod: str, keys: Iterable[str]) -> None:
        """Takes what was given for a pod for what there is by itself; it cannot be given back any more."""
        self._placed_owners.pop(pod, None)
        for key in keys:
            in_use = self._in_use[key]
            in_use.before = self._present[key]
            self._given.add(key)
            del in_use.users[pod]
            if not in_use.users:
                del self._in_use[key]

    def give(self, pod: PlannedPod, claim: ResourceClaim, allocation: AllocationResult) -> ResourceClaim:
        """Gives a claim its devices, or leaves it those that it has, and reserves it for the pod."""
        consumer = consumer_of(pod, claim)
        reserved = list(claim.status.reserved_for)
        if not is_reserved(claim, consumer):
            reserved.append(consumer)
        status = msgspec.structs.replace(claim.status, allocation=allocation, reserved_for=reserved)
        given = msgspec.structs.replace(claim, status=status)
        in_use = self._in_use.setdefault(claim.key, _InUse(claim, {}))
        in_use.users[pod.pod.key] = consumer
        self._placed_owners[pod.pod.key] = pod.owner
        self.set((given,))
        return given

    def give_back(self, pod: str, keys: Iterable[str]) -> list[str]:
        """Undoes what was given for a pod; names of claims that are gone with it are returned.

        A claim whose last pod goes is again what it was before the first: one that got its devices here gives them
        back, one that had them keeps them. Others of its pods, and whoever else it is reserved for, keep it.
        """
        gone: list[str] = []
        self._placed_owners.pop(pod, None)
        for key in keys:
            in_use = self._in_use[key]
            consumer = in_use.users.pop(pod)
            if not in_use.users:
                del self._in_use[key]
                self.set((in_use.before,))
                if key not in self._given:
                    del self._present[key]
                    gone.append(key)
            elif consumer not in (*in_use.users.values(), *in_use.before.status.reserved_for):
                self.set((_without(self._present[key], consumer),))
        return gone

    def owner_of(self, claim: str) -> str:
        """Whose work a claim serves: `Job ml/train`, or what is known of it."""
        known = self._present.get(claim)
        if known is None:
            return f"claim {claim}"
        for consumer in known.status.reserved_for:
            if consumer.resource == "pods":
                pod = f"{known.namespace}/{consumer.name}"
                return self._placed_owners.get(pod) or self._owners.get(pod) or f"pod {pod}"
            return f"{consumer.resource} {known.namespace}/{consumer.name}"
        return f"claim {claim}"


def consumer_of(pod: PlannedPod, claim: ResourceClaim) -> ResourceClaimConsumerReference:
    """Who the claim is reserved for: the pod, or its PodGroup for a claim made for all of the group (KEP-5729)."""
    for owner in claim.metadata.owner_references:
        if owner.controller and owner.kind == "PodGroup":
            group = owner.api_version.partition("/")[0]
            return ResourceClaimConsumerReference(api_group=group, resource="podgroups", name=owner.name, uid=owner.uid)
    return ResourceClaimConsumerReference(resource="pods", name=pod.pod.name, uid=pod.pod.metadata.uid)


def is_reserved(claim: ResourceClaim, consumer: ResourceClaimConsumerReference) -> bool:
    """Whether the claim is reserved for the consumer."""
    return any(
        (known.api_group, known.resource, known.name) == (consumer.api_group, consumer.resource, consumer.name)
        for known in claim.status.reserved_for
    )


def _without(claim: ResourceClaim, consumer: ResourceClaimConsumerReference) -> ResourceClaim:
    kept = [known for known in claim.status.reserved_for if known != consumer]
    return msgspec.structs.replace(claim, status=msgspec.structs.replace(claim.status, reserved_for=kept))


def _owner(pod: Pod) -> str:
    owner = pod.metadata.controller
    return f"{owner.kind} {pod.namespace}/{owner.name}" if owner is not None else ""
