"""A pod made ready to be tried on nodes: its needs, its claims in their present state, and what it asks for besides.

What can be refused without a look at any node is refused here.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from fairlead.allocator import Allocator, RequestError, Wanted
from fairlead.placement.allocatable import DeviceCosts
from fairlead.placement.claims import Claims, consumer_of, is_reserved
from fairlead.placement.extended import resources_of_requests
from fairlead.placement.node import PodNeeds
from fairlead.placement.spread import Placed, Spread
from fairlead.placement.wiring import WishError, Wishes, wishes
from fairlead.resource import PlannedPod, PodClaim, ResourceClaim

MAX_CONSUMERS: Final = 256
"""`ResourceClaimReservedForMaxSize`."""


class PlacementRefusedError(Exception):
    """The pod fits on no node, whatever is free there; the text is the reason."""


@dataclass(frozen=True)
class Task:
    """One pod, ready to be tried on nodes."""

    pod: PlannedPod
    needs: PodNeeds
    spread: Spread
    claims: tuple[tuple[PodClaim, ResourceClaim], ...]
    """Each claim once, in the pod's order, in its present state."""
    allocated: tuple[ResourceClaim, ...]
    plugins: dict[str, dict[str, str]]
    """For claims made for extended resources: the resource of each request, by claim."""
    through_claims: frozenset[str]
    """Extended resources that devices serve where a node does not advertise them."""
    wishes: Wishes

    @cached_property
    def open(self) -> tuple[ResourceClaim, ...]:
        """The claims that have no devices yet."""
        return tuple([claim for _, claim in self.claims if claim.status.allocation is None])

    @cached_property
    def condition(self) -> Hashable:
        """Equal for pods that a node refuses alike, devices aside; None for a pod of which that depends on others."""
        if self.allocated or self.spread.away or self.spread.near:
            return None
        return self.needs.conditions, self.through_claims


class Tasks:
    """Makes pods ready, on a cluster as it is now."""

    def __init__(self, claims: Claims, placed: Placed, allocator: Allocator, costs: DeviceCosts) -> None:
        self._claims = claims
        self._placed = placed
        self._allocator = allocator
        self._costs = costs

    def of(self, pod: PlannedPod) -> Task:
        """A pod, ready to be tried.

        Raises:
            PlacementRefusedError: it fits on no node.
        """
        try:
            wished = wishes(pod)
        except WishError as error:
            raise PlacementRefusedError(str(error)) from None
        claims: dict[str, tuple[PodClaim, ResourceClaim]] = {}
        plugins: dict[str, dict[str, str]] = {}
        for used in pod.claims:
            claim = self._claims.present(used.claim)
            claims.setdefault(claim.key, (used, claim))
            if used.extended:
                plugins[claim.key] = resources_of_requests(used)
            self._check(claim, pod)
        return Task(
            pod=pod,
            needs=PodNeeds.of(pod.pod),
            spread=self._placed.spread(pod.pod),
            claims=tuple(claims.values()),
            allocated=tuple(claim for _, claim in claims.values() if claim.status.allocation is not None),
            plugins=plugins,
            through_claims=frozenset(name for names in plugins.values() for name in names.values()),
            wishes=wished,
        )

    def wanted(self, claim: ResourceClaim) -> Wanted:
        """A claim, ready to be allocated.

        Raises:
            PlacementRefusedError: it cannot be allocated on any node.
        """
        try:
            return self._allocator.wanted(claim)
        except RequestError as error:
            raise PlacementRefusedError(str(error)) from None

    def _check(self, claim: ResourceClaim, pod: PlannedPod) -> None:
        if claim.metadata.deletion_timestamp is not None:
            raise PlacementRefusedError(f"claim {claim.key} is being deleted")
        reserved = is_reserved(claim, consumer_of(pod, claim))
        if len(claim.status.reserved_for) >= MAX_CONSUMERS and not reserved:
            raise PlacementRefusedError(f"claim {claim.key} has {MAX_CONSUMERS} consumers, more it may not have")
        if claim.status.allocation is None:
            self.wanted(claim)
        elif claim.status.reserved_for and not reserved and self._costs.mapped(claim):
            raise PlacementRefusedError(
                f"claim {claim.key} has devices that stand for CPU or memory: only one pod can use it"
            )
