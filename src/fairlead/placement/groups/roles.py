"""The roles of a gang: pods that are alike but for their names, and how many of each a node could run.

Pods are alike when their specs are, and when they use the same shared claims. A role's own claims are made for each of
its pods; claims that several pods of the gang use are shared and get their devices once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import msgspec

from fairlead.placement.node import HOSTNAME, PodNeeds
from fairlead.placement.spread import Term, terms_of
from fairlead.resource import PlannedPod, PodClaim, ResourceClaim


@dataclass(frozen=True, slots=True)
class PodRole:
    """Pods of a gang that are alike."""

    name: str
    pods: tuple[PlannedPod, ...]
    needs: PodNeeds
    claims: tuple[ResourceClaim, ...]
    """The first pod's own claims, in order; the other pods' are of the same shape."""
    claim_names: tuple[str, ...]
    """What the pod calls them."""

    @property
    def first(self) -> PlannedPod:
        """The pod that stands for all."""
        return self.pods[0]


def roles_of(pods: Sequence[PlannedPod]) -> tuple[list[PodRole], list[ResourceClaim]]:
    """The roles in the order of their first pods, and the claims that several of the pods use."""
    users: Counter[str] = Counter()
    claims: dict[str, ResourceClaim] = {}
    for pod in pods:
        for key, claim in {used.claim.key: used.claim for used in pod.claims}.items():
            users[key] += 1
            claims[key] = claim
    shared = [claim for key, claim in claims.items() if users[key] > 1]
    alike: dict[Hashable, list[PlannedPod]] = {}
    for pod in pods:
        kept = tuple(used.claim.key for used in pod.claims if users[used.claim.key] > 1)
        specs = tuple(
            (msgspec.json.encode(used.claim.spec, enc_hook=str), used.claim.status.allocation is not None)
            for used in pod.claims
            if users[used.claim.key] == 1
        )
        # How a pod comes to its own claims, by name or by template, makes no difference.
        spec = msgspec.structs.replace(pod.pod.spec, resource_claims=[])
        called = tuple(one.name for one in pod.pod.spec.resource_claims)
        alike.setdefault((msgspec.json.encode(spec, enc_hook=str), called, kept, specs), []).append(pod)
    roles = []
    for members in alike.values():
        own: dict[str, PodClaim] = {}
        for used in members[0].claims:
            if users[used.claim.key] == 1:
                own.setdefault(used.claim.key, used)
        needs = PodNeeds.of(members[0].pod)
        own_claims = tuple([used.claim for used in own.values()])
        names = tuple([used.name for used in own.values()])
        roles.append(PodRole(_name(members), tuple(members), needs, own_claims, names))
    return roles, shared


def _name(members: Sequence[PlannedPod]) -> str:
    return members[0].pod.name if len(members) == 1 else f"{members[0].pod.name} to {members[-1].pod.name}"


def keep_apart(roles: Sequence[PodRole]) -> list[list[bool]]:
    """By pair of roles: whether a pod of one must not share a node with one of the other (on the diagonal: its own)."""

    def against(role: PodRole, other: PodRole) -> bool:
        return any(term.matches(other.first.pod) for term in _node_terms(role))

    return [[against(one, other) or against(other, one) for other in roles] for one in roles]


def _node_terms(role: PodRole) -> list[Term]:
    return [term for term in terms_of(role.first.pod, away=True) if term.key == HOSTNAME]
