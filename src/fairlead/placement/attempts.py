"""One pod on one node: what keeps it off, which devices it would get, and what those take of the node.

Everything is answered for the state as it is when somebody asks, and nothing here changes it. That the claims of one
shape do not fit on a node is remembered while what is taken there stays the same, with the reasons once somebody wants
them: the many pods of one workload that fit nowhere cost one search a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.allocator import Across, ClaimShape, Decision
from fairlead.inventory import NodeView, Occupancy, SelectorError, selects
from fairlead.placement.allocatable import AllocatableError
from fairlead.placement.extended import without
from fairlead.placement.node import NodeState, PodNeeds
from fairlead.placement.policy import Candidate
from fairlead.placement.reasons import Finding
from fairlead.placement.state import ClusterState
from fairlead.placement.task import PlacementRefusedError, Task, Tasks
from fairlead.placement.wiring import Setting, contradicts, joined
from fairlead.resource import AllocationResult, ResourceClaim
from fairlead.topology import Rules

_KEPT: Final = 200_000
"""Decisions that are remembered."""
_VARIANTS_KEPT: Final = 10_000


@dataclass(slots=True)
class _DeadEnd:
    """A decision that the claims of one shape do not fit, valid while what is taken on the node stays the same."""

    occupancy: Occupancy
    decision: Decision
    findings: tuple[Finding, ...] | None = None


class Attempts:
    """Pods on the nodes of one cluster."""

    def __init__(
        self, state: ClusterState, tasks: Tasks, rules: Callable[[], Rules], share_id: Callable[[], str]
    ) -> None:
        """Nothing is known yet.

        Args:
            state: the cluster.
            tasks: makes claims ready.
            rules: gives what attributes say of wiring; called when it is needed.
            share_id: names the shares of shared devices.
        """
        self._state = state
        self._share_id = share_id
        self._tasks = tasks
        self._rules = rules
        self._dead_ends: dict[tuple[str, tuple[ClaimShape, ...], tuple[Across, ...]], _DeadEnd] = {}
        self._variants: dict[str, tuple[ResourceClaim, dict[frozenset[str], ResourceClaim]]] = {}

    def forget(self) -> None:
        """Forgets all decisions: claims that look the same may be of another shape now."""
        self._dead_ends.clear()

    def refusal(self, task: Task, node: NodeState) -> Finding | None:
        """Why the pod may not run on the node, devices aside."""
        return (
            node.refuses(task.needs, task.through_claims)
            or task.spread.refuses(node.labels)
            or _unreached(task.allocated, node)
        )

    def open_claims(self, task: Task, node: NodeState) -> Sequence[ResourceClaim]:
        """The claims that need devices on the node, as they are there."""
        if not task.plugins:
            return task.open
        claims = [self._as_on(claim, task, node) for claim in task.open]
        return [claim for claim in claims if claim.spec.devices.requests]

    def _as_on(self, claim: ResourceClaim, task: Task, node: NodeState) -> ResourceClaim:
        """A claim without the requests that a device plugin of the node serves."""
        names = task.plugins.get(claim.key, {})
        served = frozenset(request for request, name in names.items() if node.advertises(name))
        if not served:
            return claim
        known = self._variants.get(claim.key)
        if known is None or known[0] is not claim:
            if len(self._variants) >= _VARIANTS_KEPT:
                self._variants.clear()
            known = self._variants[claim.key] = (claim, {})
        variant = known[1].get(served)
        if variant is None:
            variant = known[1][served] = without(claim, served)
        return variant

    def across(self, task: Task, view: NodeView, claims: Sequence[ResourceClaim]) -> tuple[Across, ...]:
        """The pod's constraints across its claims, on a node; `claims` are those that need devices there."""
        if not task.wishes.constraints:
            return ()
        setting = Setting.of(view, self._rules())
        return joined(task.wishes.constraints, task.pod.claims, claims, task.allocated, view, setting)

    def decide(self, task: Task, view: NodeView | None, claims: Sequence[ResourceClaim]) -> Decision | None:
        """The decision on claims on a node; None where there is nothing to decide.

        Raises:
            PlacementRefusedError: they fit on no node.
        """
        if view is None:
            return None
        wanted = [self._tasks.wanted(claim) for claim in claims]
        across = self.across(task, view, claims)
        place = (view.name, tuple([claim.shape for claim in wanted]), across)
        dead_end = self._dead_ends.get(place)
        if dead_end is not None and dead_end.occupancy is view.occupancy:
            return dead_end.decision
        decision = self._state.allocator.allocate(view, wanted, across=across)
        if decision.error and not decision.node_error:
            raise PlacementRefusedError(decision.error)
        if not decision.fits:
            if len(self._dead_ends) >= _KEPT:
                self._dead_ends.clear()
            self._dead_ends[place] = _DeadEnd(view.occupancy, decision)
        return decision

    def decide_within(self, task: Task, name: str, claims: Sequence[ResourceClaim], within: int) -> Decision | None:
        """The decision for proposed devices; for any, where the rules do not allow these.

        Raises:
            PlacementRefusedError: the claims fit on no node.
        """
        if not claims:
            return None
        allocator = self._state.allocator
        view = self._state.site.view(name)
        wanted = [self._tasks.wanted(claim) for claim in claims]
        across = self.across(task, view, claims)
        decision = allocator.allocate(view, wanted, within, across)
        if not decision.fits and within != -1 and not decision.error:
            decision = allocator.allocate(view, wanted, across=across)
        if decision.error and not decision.node_error:
            raise PlacementRefusedError(decision.error)
        return decision

    def candidate(
        self, task: Task, node: NodeState, decide: Callable[[], Decision | None], claims: Sequence[ResourceClaim]
    ) -> Candidate:
        """The pod on a node that does not refuse it, with the decision on its claims that need devices there."""

        def check(decision: Decision | None) -> Finding | None:
            if task.wishes.constraints and (broken := self._broken(task, node, claims)) is not None:
                return broken
            allocations = decision.allocations(self._share_id) if decision is not None else []
            given = {claim.key: got for claim, got in zip(claims, allocations, strict=True)}
            try:
                needs = self.needs(task, given)
            except AllocatableError as error:
                return Finding("error", str(error))
            return node.lacks(needs, task.through_claims) if needs is not task.needs else None

        checked = (self._state.costs or task.wishes.constraints) and task.claims
        return Candidate(node, decide, check if checked else None)

    def needs(self, task: Task, given: Mapping[str, AllocationResult]) -> PodNeeds:
        """What the pod asks of a node, with what its devices take; `given` is what its claims get there.

        Raises:
            AllocatableError: that cannot be told.
        """
        if not self._state.costs:
            return task.needs
        claims = [claim for _, claim in task.claims]
        costs = self._state.cost_of_planned(task.pod, claims, given)
        return PodNeeds.of(task.pod.pod, costs) if costs else task.needs

    def findings(self, task: Task, candidate: Candidate) -> tuple[Finding, ...]:
        """Why the devices of a node do not do for the pod that was tried there."""
        decision = candidate.decision
        assert decision is not None
        across = self.across(task, decision.view, self.open_claims(task, candidate.node))
        place = (candidate.node.name, tuple([claim.shape for claim in decision.claims]), across)
        dead_end = self._dead_ends.get(place)
        if dead_end is None or dead_end.decision is not decision:
            return explained(decision)
        if dead_end.findings is None:
            dead_end.findings = explained(decision)
        return dead_end.findings

    def _broken(self, task: Task, node: NodeState, claims: Sequence[ResourceClaim]) -> Finding | None:
        """The constraint that the devices which the pod has already break."""
        if not task.allocated:
            return None
        for one in self.across(task, self._state.site.view(node.name), claims):
            if contradicts(one):
                return Finding("constraint", f"{one.name}: the devices that the pod's claims have already break it")
        return None


def explained(decision: Decision) -> tuple[Finding, ...]:
    """Why the claims do not fit on a node."""
    if decision.error:
        return (Finding("error", decision.error),)
    return tuple(
        Finding(reason.kind, reason.text, max(0, reason.wanted - reason.available), reason.holders)
        for reason in decision.reasons(named=False)
    )


def _unreached(allocated: Iterable[ResourceClaim], node: NodeState) -> Finding | None:
    for claim in allocated:
        allocation = claim.status.allocation
        if allocation is None or allocation.node_selector is None:
            continue
        try:
            if selects(allocation.node_selector, node.name, node.labels):
                continue
        except SelectorError as error:
            return Finding("allocated", f"the node selector of claim {claim.key} cannot be evaluated: {error}")
        return Finding("allocated", f"the devices that claim {claim.key} has are not reached from there")
    return None
