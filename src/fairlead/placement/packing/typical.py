"""Which pods are typical: the shapes that most pods have, with their shares.

As published for FGD: pods are grouped by what they ask for, and the greatest groups are taken until they hold a given
part of all pods, 95 % where nothing is said; the weights are made to sum up to 1. Memory is no part of what groups
them, because it keeps few pods from a node with accelerators: a group counts with the least that one of its pods asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from fairlead.allocator import Allocator, RequestError
from fairlead.placement.node import PodNeeds
from fairlead.placement.packing.fragmentation import Shape
from fairlead.resource import PlannedPod, ResourceClaim, ResourceClaimSpec


@dataclass(frozen=True, slots=True)
class TypicalPod:
    """Pods that ask for the same, and their share among all typical pods."""

    cpu: int
    """In units of 10^-9, as memory."""
    memory: int
    claims: tuple[ResourceClaim, ...]
    weight: float


def typical_pods(pods: Iterable[PlannedPod], share: float = 0.95, *, memory: bool = True) -> list[TypicalPod]:
    """The typical pods among many, the most frequent first; of equally frequent ones the first met.

    Args:
        pods: the pods that are expected, in any number.
        share: take groups until they hold this part of the pods, above 0, at most 1.
        memory: whether memory counts at all; FGD as published does not look at it.
    """
    groups: dict[tuple[int, bytes], _Group] = {}
    specs: dict[int, tuple[ResourceClaimSpec, bytes]] = {}
    total = 0
    for pod in pods:
        total += 1
        amounts = dict(PodNeeds.of(pod.pod).amounts)
        cpu, asked = amounts.get("cpu", 0), amounts.get("memory", 0) if memory else 0
        claims = tuple({used.claim.key: used.claim for used in pod.claims}.values())
        key = (cpu, b"\0".join(_spec_key(claim, specs) for claim in claims))
        group = groups.get(key)
        if group is None:
            groups[key] = _Group(cpu, asked, claims)
        else:
            group.memory = min(group.memory, asked)
            group.pods += 1
    taken: list[_Group] = []
    covered = 0
    for group in sorted(groups.values(), key=lambda group: -group.pods):
        if covered >= share * total:
            break
        covered += group.pods
        taken.append(group)
    return [TypicalPod(group.cpu, group.memory, group.claims, group.pods / covered) for group in taken]


@dataclass(slots=True)
class _Group:
    """Pods that ask for the same."""

    cpu: int
    memory: int
    claims: tuple[ResourceClaim, ...]
    pods: int = 1


def _spec_key(claim: ResourceClaim, known: dict[int, tuple[ResourceClaimSpec, bytes]]) -> bytes:
    """Equal for claims that ask for the same; claims of one template often share their spec."""
    entry = known.get(id(claim.spec))
    if entry is None or entry[0] is not claim.spec:
        entry = known[id(claim.spec)] = (claim.spec, msgspec.json.encode(claim.spec, enc_hook=str))
    return entry[1]


def shapes_of(pods: Sequence[TypicalPod], allocator: Allocator) -> list[Shape]:
    """The typical pods as the allocator knows them; those with a claim that it refuses are left out."""
    shapes = []
    for pod in pods:
        try:
            claims = tuple(allocator.wanted(claim) for claim in pod.claims)
        except RequestError:
            continue
        shapes.append(Shape(pod.cpu, pod.memory, claims, pod.weight))
    total = sum(shape.weight for shape in shapes) or 1.0
    return [Shape(shape.cpu, shape.memory, shape.claims, shape.weight / total) for shape in shapes]
