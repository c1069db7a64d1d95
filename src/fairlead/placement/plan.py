"""What comes out of placing pods: for each pod its node and claims as the cluster would hold them, or the obstacles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairlead.placement.reasons import Obstacle
from fairlead.placement.wiring import Choice
from fairlead.resource import PlannedPod, ResourceClaim


@dataclass(frozen=True, slots=True)
class PlacedClaim:
    """A claim of a placed pod: `name` is what the pod calls it; `claim` has allocation and reservedFor."""

    name: str
    claim: ResourceClaim


@dataclass(frozen=True, slots=True)
class Placement:
    """One pod: with a node and its claims, or with the obstacles."""

    pod: PlannedPod
    node: str = ""
    claims: tuple[PlacedClaim, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    choice: Choice | None = None
    """What the devices are worth, where a device policy was asked for."""

    @property
    def placed(self) -> bool:
        """Whether the pod has a node."""
        return bool(self.node)


@dataclass(frozen=True, slots=True)
class Plan:
    """All pods, in the order in which they were placed."""

    placements: Sequence[Placement]

    def __iter__(self) -> Iterator[Placement]:
        return iter(self.placements)

    @property
    def complete(self) -> bool:
        """Whether every pod has a node."""
        return all(placement.placed for placement in self.placements)

    @property
    def claims(self) -> dict[str, ResourceClaim]:
        """Every claim that a placed pod uses, in its last state, by `namespace/name`."""
        return {used.claim.key: used.claim for placement in self.placements for used in placement.claims}
