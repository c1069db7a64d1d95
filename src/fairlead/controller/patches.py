"""The bodies of our writes.

Finalizer and status never go in one request: each way to send both drops one half silently. Lists in a merge patch
are replaced whole, so every patch of a claim names the resource version that it was made for. The gate is removed by a
JSON patch that tests uid and gate first; only additions to the pod's node affinity may go with it.

Source: what was tried on a real API server of Kubernetes 1.36 (docs/controller.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from fairlead.controller.events import Write, version_of
from fairlead.resource import (
    Affinity,
    AllocationResult,
    Condition,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimStatus,
    encode_hook,
)

GATE: Final = "fairlead.dev/allocation"
FINALIZER: Final = "resource.kubernetes.io/delete-protection"
COMPONENT: Final = "fairlead"
PLACED: Final = "fairlead.dev/placed"
"""Annotation of a pod that we opened for a place: what holds it there."""
CONDITION: Final = "fairlead.dev/Allocated"
"""The condition of a pod that waited: whether it has its devices."""
LOCK: Final = "lock.fairlead.dev"
"""The webhook that refuses writes which take a held device; its name stands in the API server's message."""
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_MESSAGE_MAX: Final = 1000
"""An Event's message may have 1,024 bytes."""


def add_finalizer(claim: ResourceClaim) -> tuple[Write, ResourceClaim]:
    """The write that protects a claim's allocation from deletion, and the claim after it."""
    finalizers = [*claim.metadata.finalizers, FINALIZER]
    after = replace(claim, metadata=replace(claim.metadata, finalizers=finalizers))
    return _of_claim("finalizer", claim, {"finalizers": finalizers}, {}), after


def allocate(
    claim: ResourceClaim,
    allocation: AllocationResult,
    consumers: Sequence[ResourceClaimConsumerReference],
    now: datetime,
) -> tuple[Write, ResourceClaim]:
    """The write that gives a claim its devices and reserves it, and the claim after it.

    A claim that has devices keeps them, as the API server demands, and is only reserved.
    """
    status: dict[str, Any] = {}
    if claim.status.allocation is None:
        # Without a timestamp kube-scheduler would try to add one, which the server refuses for ever.
        allocation = replace(allocation, allocation_timestamp=timestamp(now))
        status["allocation"] = _plain(allocation)
    else:
        allocation = claim.status.allocation
    reserved = [*claim.status.reserved_for, *(one for one in consumers if one not in claim.status.reserved_for)]
    status["reservedFor"] = _plain(reserved)
    after = replace(claim, status=replace(claim.status, allocation=allocation, reserved_for=reserved))
    return _of_claim("allocate", claim, {}, {"status": status}), after


def clear(claim: ResourceClaim) -> tuple[Write, ResourceClaim]:
    """The write that takes devices and reservations back, and the claim after it."""
    status = {"allocation": None, "reservedFor": None, "devices": None}
    return _of_claim("clear", claim, {}, {"status": status}), replace(claim, status=ResourceClaimStatus())


def reserve_for(
    claim: ResourceClaim, consumers: Sequence[ResourceClaimConsumerReference]
) -> tuple[Write, ResourceClaim]:
    """The write that leaves a claim with these reservations and its devices, and the claim after it."""
    after = replace(claim, status=replace(claim.status, reserved_for=list(consumers)))
    return _of_claim("unpin", claim, {}, {"status": {"reservedFor": _plain(list(consumers))}}), after


def unprotect(claim: ResourceClaim) -> tuple[Write, ResourceClaim]:
    """The write that removes the finalizer from a claim without devices, and the claim after it."""
    finalizers = [one for one in claim.metadata.finalizers if one != FINALIZER]
    after = replace(claim, metadata=replace(claim.metadata, finalizers=finalizers))
    return _of_claim("unprotect", claim, {"finalizers": finalizers}, {}), after


def open_gate(pod: Pod, node: str, tie: bool = True) -> tuple[Write, Pod]:
    """The write that removes our gate and ties the pod to a node, and the pod after it.

    A pod with a place is marked, so that it is known for ours when it cannot be bound there.

    Args:
        pod: the pod.
        node: its place; empty for none.
        tie: whether node affinity is to hold it there.
    """
    gates = [gate.name for gate in pod.spec.scheduling_gates]
    path = f"/spec/schedulingGates/{gates.index(GATE)}"
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": pod.metadata.uid},
        {"op": "test", "path": f"{path}/name", "value": GATE},
        {"op": "remove", "path": path},
    ]
    left = [gate for gate in pod.spec.scheduling_gates if gate.name != GATE]
    spec, meta = replace(pod.spec, scheduling_gates=left), pod.metadata
    if node:
        held_by = "node" if tie else "claim"
        operations += _mark(pod, held_by)
        meta = replace(meta, annotations={**meta.annotations, PLACED: held_by})
    if node and tie:
        operations += _tie(pod.spec.affinity, node)
        spec = replace(spec, affinity=_tied(pod.spec.affinity, node))
    write = Write("open", "Pod", pod.namespace, pod.name, pod.metadata.uid, version_of(pod), operations)
    return write, replace(pod, spec=spec, metadata=meta)


def evict(pod: Pod) -> Write:
    """The request to evict a pod, this very one."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.metadata.uid}},
    }
    return Write("evict", "Pod", pod.namespace, pod.name, pod.metadata.uid, version_of(pod), body)


def tied_to(pod: Pod) -> str:
    """The one node that a pod's affinity leaves it, as `open_gate` writes it; empty for none."""
    affinity = pod.spec.affinity.node_affinity
    if affinity is None or affinity.required is None:
        return ""
    return single_node(affinity.required)


def single_node(selector: NodeSelector) -> str:
    """The one node that every term of a selector names; empty where that is not so."""
    names = set()
    for term in selector.node_selector_terms:
        named = [one.values for one in term.match_fields if one.key == "metadata.name" and one.operator == "In"]
        names.add(named[-1][0] if named and len(named[-1]) == 1 else "")
    return names.pop() if len(names) == 1 else ""


@dataclass(frozen=True, slots=True)
class About:
    """What an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


def say(pod: Pod, reason: str, message: str, now: datetime) -> Write:
    """An Event that says why a pod waits."""
    return event(About("v1", "Pod", pod.namespace, pod.name, pod.metadata.uid), reason, message, now)


def event(about: About, reason: str, message: str, now: datetime) -> Write:
    """An Event.

    Its name follows from object and text: what was said already is refused by the server, also after a restart.
    """
    message = cut(message)
    digest = hashlib.sha256(f"{about.uid} {reason} {message}".encode()).hexdigest()[:16]
    name = f"{about.name[:200]}.{digest}"
    time = timestamp(now)
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
    }
    return Write("say", "Event", about.namespace, name, about.uid, 0, body)


def set_condition(pod: Pod, condition: Condition) -> Write:
    """The write that sets one condition of a pod, this very one, and leaves the others as they are."""
    said = {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time,
    }
    body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [said]}}
    return Write("mark", "Pod", pod.namespace, pod.name, pod.metadata.uid, version_of(pod), body)


def cut(message: str) -> str:
    """A message on one line, as long as an Event may have it."""
    message = " ".join(message.split())
    if len(message.encode()) > _MESSAGE_MAX:
        message = message.encode()[: _MESSAGE_MAX - 3].decode(errors="ignore") + "..."
    return message


def timestamp(now: datetime) -> str:
    """A time as the API server writes it, to the second."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_claim(purpose: Any, claim: ResourceClaim, metadata: dict[str, Any], rest: dict[str, Any]) -> Write:
    meta = claim.metadata
    body = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, **metadata}, **rest}
    return Write(purpose, "ResourceClaim", claim.namespace, claim.name, meta.uid, version_of(claim), body)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=encode_hook)


def _mark(pod: Pod, held_by: str) -> list[dict[str, Any]]:
    """The operations that add our annotation. Adding a map where there is one would drop what is in it."""
    path = "/metadata/annotations"
    if pod.metadata.annotations:
        return [{"op": "add", "path": f"{path}/{PLACED.replace('/', '~1')}", "value": held_by}]
    return [{"op": "test", "path": path, "value": None}, {"op": "add", "path": path, "value": {PLACED: held_by}}]


def _field(node: str) -> NodeSelectorRequirement:
    return NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])


def _tie(affinity: Affinity, node: str) -> list[dict[str, Any]]:
    """The operations that add the node to every term, or the first term, and whatever has to be around it."""
    field = _plain(_field(node))
    term = {"matchFields": [field]}
    path = "/spec/affinity/nodeAffinity"
    known = affinity.node_affinity
    if known is not None and known.required is not None:
        terms = f"{path}/{_REQUIRED}/nodeSelectorTerms"
        return [
            {"op": "add", "path": f"{terms}/{number}/matchFields/-", "value": field}
            if one.match_fields
            else {"op": "add", "path": f"{terms}/{number}/matchFields", "value": [field]}
            for number, one in enumerate(known.required.node_selector_terms)
        ]
    required = {"nodeSelectorTerms": [term]}
    if known is not None and known.preferred:
        return [{"op": "add", "path": f"{path}/{_REQUIRED}", "value": required}]
    if affinity.pod_affinity is not None or affinity.pod_anti_affinity is not None:
        return [{"op": "add", "path": path, "value": {_REQUIRED: required}}]
    return [{"op": "add", "path": "/spec/affinity", "value": {"nodeAffinity": {_REQUIRED: required}}}]


def _tied(affinity: Affinity, node: str) -> Affinity:
    known = affinity.node_affinity or NodeAffinity()
    terms = known.required.node_selector_terms if known.required is not None else [NodeSelectorTerm()]
    tied = [replace(term, match_fields=[*term.match_fields, _field(node)]) for term in terms]
    return replace(affinity, node_affinity=replace(known, required=NodeSelector(node_selector_terms=tied)))
