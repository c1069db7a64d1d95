"""Pods that are held by their claims, not by node affinity: an entry of our own in `reservedFor`, the pin.

Node affinity cannot be taken back, and hides other nodes from topology spread constraints. A pin holds a pod as well:
kube-scheduler does not clear an allocation that is reserved for somebody who is no pod, and binds the pod where its
claims can be used. We can still give the claims other devices, and take the pin away once the pod is bound.

A pin belongs to a claim. Its UID follows from the claim's and differs from every pod's: kube-scheduler compares UIDs
alone. It must go in the end: nobody but us removes it, and as long as it is there the claim keeps its devices.

Source: what was tried on a real API server, and KEP-5729.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Final, Literal

from fairlead.controller.patches import PLACED, single_node, tied_to
from fairlead.resource import AllocationResult, Pod, ResourceClaim, ResourceClaimConsumerReference

PIN: Final = "fairlead.dev/pin"
"""Annotation of a pod: what is to hold it in its place, `node` or `claim`."""
_GROUP, _RESOURCE = "fairlead.dev", "pins"
_UIDS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, _GROUP)

Hold = Literal["node", "claim", "both"]
"""What holds a pod: node affinity, the pins of its claims, or both."""


def pin_of(claim: ResourceClaim) -> ResourceClaimConsumerReference:
    """The pin of a claim."""
    uid = str(uuid.uuid5(_UIDS, claim.metadata.uid))
    return ResourceClaimConsumerReference(api_group=_GROUP, resource=_RESOURCE, name=claim.name, uid=uid)


def is_pin(consumer: ResourceClaimConsumerReference) -> bool:
    """Whether a consumer is a pin of ours."""
    return consumer.api_group == _GROUP and consumer.resource == _RESOURCE


def pinned(claim: ResourceClaim) -> bool:
    """Whether a claim has our pin."""
    return any(is_pin(one) for one in claim.status.reserved_for)


def hold_of(pod: Pod, claims: Iterable[ResourceClaim]) -> Hold:
    """What is to hold a pod that has these claims, with their devices."""
    used = list(claims)
    if not used:
        return "node"
    allocations = [claim.status.allocation for claim in used if claim.status.allocation is not None]
    if pod.metadata.annotations.get(PIN) == "claim":
        return "claim"
    if any(result.binding_conditions for one in allocations for result in one.devices.results):
        # Where they fail kube-scheduler would clear the allocation and give out devices beside us.
        return "claim" if _node_of(allocations) else "both"
    if any(one.binding for one in pod.spec.topology_spread_constraints) and _node_of(allocations):
        return "claim"
    return "node"


def home_of(pod: Pod, claim: Callable[[str], ResourceClaim | None]) -> str:
    """The one node that a pod which we opened can be bound to; empty where that is not so."""
    if pod.metadata.annotations.get(PLACED) != "claim":
        return tied_to(pod)
    made = [one.resource_claim_name for one in pod.status.resource_claim_statuses]
    names = [*made, *(one.resource_claim_name for one in pod.spec.resource_claims)]
    known = [claim(f"{pod.namespace}/{name}") for name in names if name is not None]
    return _node_of(one.status.allocation for one in known if one is not None and one.status.allocation is not None)


def _node_of(allocations: Iterable[AllocationResult]) -> str:
    """The node that some allocations name together; empty where they do not name exactly one."""
    named = {single_node(one.node_selector) for one in allocations if one.node_selector is not None} - {""}
    return named.pop() if len(named) == 1 else ""
