"""Pods to nodes and devices, one after another: what an earlier pod got counts for the later ones.

For each pod the nodes are looked at in order of name: first what the node itself allows (`node`), then other pods
(`spread`), then where the pod's allocated claims can be used, then the allocator's decision on the claims that have
no devices yet, then what the devices take of the node (`allocatable`). The policy picks; what the allocator gives is
noted in the inventory, with the pod in `reservedFor`. A claim that several pods name is allocated with the first of
them; the others follow it.

A planner owns its bookkeeping and nothing else: the same cluster and pods give the same plan, but for the names of
shares. A node for a pod with claims comes from the `finder`, which leaves out the nodes that are known to have no room;
only for a pod that fits nowhere every node is looked at, for the reasons. Those are remembered until something on the
node changes, so that the many pods of one workload that fit nowhere cost one search a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from fairlead.allocator import Across, Allocator, Decision, Wanted
from fairlead.allocator.request import ClaimShape
from fairlead.allocator.result import random_share_id
from fairlead.inventory import Inventory, InventoryError, NodeView, Occupancy, SelectorError, selects
from fairlead.placement.allocatable import AllocatableError, DeviceCosts
from fairlead.placement.claims import Claims
from fairlead.placement.cluster import Cluster
from fairlead.placement.extended import without
from fairlead.placement.finder import Finder
from fairlead.placement.node import NodeState, PodNeeds
from fairlead.placement.plan import PlacedClaim, Placement
from fairlead.placement.policy import Candidate, FirstFit, Policy, ranking_of
from fairlead.placement.reasons import Finding, Obstacle, add_up
from fairlead.placement.requests import Amounts
from fairlead.placement.site import Site
from fairlead.placement.spread import Placed
from fairlead.placement.task import PlacementRefusedError, Task, Tasks
from fairlead.placement.wiring import (
    COMPACT,
    Choice,
    Chooser,
    DevicePolicy,
    Setting,
    contradicts,
    joined,
)
from fairlead.resource import (
    AllocationResult,
    PlannedPod,
    Pod,
    ResourceClaim,
)
from fairlead.topology import Rules, default_rules

Picker = Callable[[NodeView, Sequence[Wanted], int], Decision]
"""The devices for claims on a node, within a mask."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A pod that was placed, with what it took."""

    pod: Pod
    node: NodeState
    needs: PodNeeds
    claims: tuple[str, ...]


@dataclass(slots=True)
class _DeadEnd:
    """A decision that the claims of one shape do not fit, valid while what is taken on the node stays the same."""

    occupancy: Occupancy
    decision: Decision
    findings: tuple[Finding, ...] | None = None


class Planner:
    """A cluster with the pods that were placed on it so far."""

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy | None = None,
        share_id: Callable[[], str] = random_share_id,
        devices: DevicePolicy | None = None,
        rules: Rules | None = None,
    ) -> None:
        self._policy = policy or FirstFit()
        self._share_id = share_id
        self._devices = devices
        self._given_rules = rules
        self._inventory = Inventory(cluster.slices, cluster.claims, cluster.taint_rules, cluster.features)
        self._allocator = Allocator(cluster.classes, cluster.features)
        self.claims = Claims(cluster.claims, cluster.pods, self._inventory)
        """The claims as they are now; the planner alone changes anything of it."""
        self._nodes = {node.name: NodeState(node) for node in sorted(cluster.nodes, key=lambda node: node.name)}
        self.site = Site(self._inventory, self._allocator, self._nodes)
        """The cluster as it is now, to look at."""
        self._ranking = ranking_of(self._policy)
        self._finder = self._find_from(self._nodes.values()) if self._ranking is None else None
        self._costs = DeviceCosts(cluster.slices if cluster.features.node_allocatable_resources else ())
        self._placed = Placed()
        self._running: dict[str, _Running] = {}
        self._tasks = Tasks(self.claims, self._placed, self._allocator, self._costs)
        self._dead_ends: dict[tuple[str, tuple[ClaimShape, ...], tuple[Across, ...]], _DeadEnd] = {}
        self._variants: dict[str, dict[frozenset[str], ResourceClaim]] = {}
        for pod in cluster.pods:
            node = self._nodes.get(pod.spec.node_name)
            if node is not None:
                node.add(PodNeeds.of(pod, self._cost_of_running(pod)))
                self._placed.add(pod, node.labels)
        if self._ranking is not None:
            try:
                self._ranking.attach(self.site)
            except InventoryError:
                self._ranking = None  # a node is told so when it is looked at

    def place(self, pod: PlannedPod, reasons: bool = True) -> Placement:
        """Finds a node for a pod and takes what the pod needs there; a pod that fits nowhere takes nothing.

        Args:
            pod: the pod.
            reasons: whether to look at every node for why a pod fits on none. Without, a pod that fits nowhere has no
                obstacles, and where the policy ranks nodes it costs no more than the others.
        """
        findings: dict[str, tuple[Finding, ...]] = {}
        tried: list[Candidate] = []
        try:
            task = self._tasks.of(pod)
            # A ranking proposes devices claim by claim, so it knows nothing of constraints across them.
            ranked = self._ranking is not None and not task.wishes.constraints and self._alike_everywhere(task)
            chosen = self._policy.choose(pod, self._ranked(task) if ranked else self._found(task))
            if chosen is None and (reasons or not ranked):
                chosen = self._policy.choose(pod, self._candidates(task, findings, tried))
        except PlacementRefusedError as refusal:
            return Placement(pod, obstacles=(Obstacle("claim", str(refusal)),))
        if chosen is not None:
            return self._take(task, chosen)
        if not reasons:
            return Placement(pod)
        for candidate in tried:
            if candidate.lack is not None:
                findings[candidate.node.name] = (candidate.lack,)
            elif not candidate.fits:
                findings[candidate.node.name] = self._findings(task, candidate)
        return Placement(pod, obstacles=add_up(findings) or (Obstacle("claim", "no node is known"),))

    def place_on(self, pod: PlannedPod, name: str, within: int = -1) -> Placement:
        """Places a pod of a gang on one node, with devices of a mask of its view only.

        Its devices are close together unless somebody asked for something else. A pod that does not fit takes nothing.

        Raises:
            PlacementRefusedError: the pod fits on no node, whatever is free there.
        """
        task = self._tasks.of(pod)
        node = self._nodes[name]
        finding = self._refusal(task, node)
        if finding is None:
            claims = self._open_claims(task, node)
            view = self.view(name) if claims else None
            wanted = [self.wanted(claim) for claim in claims]
            decision = None
            if view is not None:
                decision = self._allocator.allocate(view, wanted, within, self._across(task, view, claims))
            candidate = self._candidate(task, node, partial(_same, decision), claims)
            if candidate.fits:
                return self._take(task, candidate, self._close(task), within)
            finding = candidate.lack
            if finding is None and decision is not None:
                return Placement(pod, obstacles=add_up({name: _explained(decision)}))
        return Placement(pod, obstacles=add_up({name: (finding,)} if finding is not None else {}))

    def _close(self, task: Task) -> DevicePolicy:
        return task.wishes.policy or self._devices or COMPACT

    def picker(self, pod: PlannedPod) -> Picker:
        """What picks the devices of a gang's pod on a node, among those of a mask, as `place_on` does.

        Raises:
            PlacementRefusedError: the pod fits on no node.
        """
        policy = self._close(self._tasks.of(pod))

        def pick(view: NodeView, claims: Sequence[Wanted], within: int) -> Decision:
            decision = self._allocator.allocate(view, claims, within)
            if not decision.fits:
                return decision
            return self._chooser.choose(decision, policy, within=within)[0]

        return pick

    @property
    def devices_cost_resources(self) -> bool:
        """Whether there are devices that cost CPU, memory and the like."""
        return bool(self._costs)

    def joins_claims(self, pod: PlannedPod) -> bool:
        """Whether the pod has constraints across its claims.

        Raises:
            PlacementRefusedError: its annotations cannot be used.
        """
        return bool(self._tasks.of(pod).wishes.constraints)

    def view(self, name: str) -> NodeView | None:
        """The devices of a node; None where it cannot be told which they are."""
        try:
            return self.site.view(name)
        except InventoryError:
            return None

    def refusals(self, pod: PlannedPod) -> Callable[[str], Finding | None]:
        """By node, why a pod may not run there now, devices aside; None where it may. Good until something is placed.

        Raises:
            PlacementRefusedError: it fits on no node.
        """
        task = self._tasks.of(pod)
        return lambda name: self._refusal(task, self._nodes[name])

    def remove(self, pod: PlannedPod) -> None:
        """Gives back what a placed pod took, as if it had never been placed.

        A claim whose last pod goes is again what it was before the first: one that got its devices here gives them
        back, one that had them keeps them. Others of its pods, and whoever else it is reserved for, keep it.

        Raises:
            KeyError: no pod of that name was placed here, or it was removed already.
        """
        running = self._running.pop(pod.pod.key)
        running.node.remove(running.needs)
        self._moved(running.node)
        self._placed.remove(running.pod)
        for gone in self.claims.give_back(pod.pod.key, running.claims):
            self._variants.pop(gone, None)

    def lift(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Takes a pod that had its node from the beginning off it, until `put_back`.

        Args:
            pod: one of the pods of the cluster, the very object.
            claims: the claims that go with it, without devices.

        Raises:
            KeyError: the pod is not there, or its node is not known.
        """
        node = self._nodes[pod.spec.node_name]
        self._placed.remove(pod)
        node.remove(PodNeeds.of(pod, self._cost_of_running(pod)))
        self._moved(node)
        self.claims.set(claims)

    def put_back(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Puts a lifted pod back; `claims` are its claims with the devices that they had."""
        self.claims.set(claims)
        node = self._nodes[pod.spec.node_name]
        node.add(PodNeeds.of(pod, self._cost_of_running(pod)))
        self._placed.add(pod, node.labels)
        self._moved(node)

    def _moved(self, node: NodeState) -> None:
        if self._ranking is not None:
            self._ranking.changed(node.name)

    @cached_property
    def rules(self) -> Rules:
        """What attributes and labels say of wiring; those that are shipped are only read when they are needed."""
        return self._given_rules if self._given_rules is not None else default_rules()

    @cached_property
    def _chooser(self) -> Chooser:
        return Chooser(self._allocator, self.rules)

    def wanted(self, claim: ResourceClaim) -> Wanted:
        """A claim, ready to be allocated.

        Raises:
            PlacementRefusedError: it cannot be allocated on any node.
        """
        return self._tasks.wanted(claim)

    def _find_from(self, nodes: Iterable[NodeState]) -> Finder | None:
        labels = {node.name: node.labels for node in nodes}
        declared = {node.name: node.declared for node in nodes}
        try:
            return Finder(self._inventory, self._allocator, labels, declared)
        except InventoryError:
            return None  # a node is told so when it is looked at

    def _found(self, task: Task) -> Iterator[Candidate]:
        """The nodes that can hold the pod, without a look at those that are known not to: most of them, most times.

        None where that cannot be known, so where none is left the reasons are still to be found.
        """
        claims = [claim for _, claim in task.claims if claim.status.allocation is None]
        if self._finder is None or not claims or task.plugins:
            return

        def allowed(name: str) -> bool:
            return self._refusal(task, self._nodes[name]) is None

        for decision in self._finder.find([self.wanted(claim) for claim in claims], allowed):
            if decision.error:
                raise PlacementRefusedError(decision.error)
            decide: Callable[[], Decision | None] = partial(_same, decision)
            if task.wishes.constraints:
                decide = partial(self._decide, task, decision.view, claims)
            yield self._candidate(task, self._nodes[decision.view.name], decide, claims)

    def _alike_everywhere(self, task: Task) -> bool:
        """Whether the pod asks every node for the same devices: not where some have a device plugin for them."""
        return not any(node.advertises(name) for name in task.through_claims for node in self._nodes.values())

    def _ranked(self, task: Task) -> Iterator[Candidate]:
        """The nodes in the order of the policy, with the devices that it proposes."""
        assert self._ranking is not None
        claims = [claim for _, claim in task.claims if claim.status.allocation is None]
        wanted = [self.wanted(claim) for claim in claims]
        for name, within in self._ranking.propose(task.needs, wanted):
            node = self._nodes[name]
            if self._refusal(task, node) is None:
                decide = partial(self._decide_within, task, name, claims, within)
                yield self._candidate(task, node, decide, claims)

    def _decide_within(self, task: Task, name: str, claims: Sequence[ResourceClaim], within: int) -> Decision | None:
        """The decision for the proposed devices; for any, where the rules do not allow these."""
        if not claims:
            return None
        view = self.site.view(name)
        wanted = [self.wanted(claim) for claim in claims]
        across = self._across(task, view, claims)
        decision = self._allocator.allocate(view, wanted, within, across)
        if not decision.fits and within != -1 and not decision.error:
            decision = self._allocator.allocate(view, wanted, across=across)
        if decision.error and not decision.node_error:
            raise PlacementRefusedError(decision.error)
        return decision

    def _refusal(self, task: Task, node: NodeState) -> Finding | None:
        """Why the pod may not run on the node, devices aside."""
        return (
            node.refuses(task.needs, task.through_claims)
            or task.spread.refuses(node.labels)
            or _unreached(task.allocated, node)
        )

    def _candidates(
        self, task: Task, findings: dict[str, tuple[Finding, ...]], tried: list[Candidate]
    ) -> Iterator[Candidate]:
        """The nodes on which only devices can be missing; what is wrong with the others goes to `findings`."""
        for node in self._nodes.values():
            finding = self._refusal(task, node)
            if finding is None:
                open_claims = self._open_claims(task, node)
                try:
                    view = self._inventory.view(node.name, node.labels, node.declared) if open_claims else None
                except InventoryError as error:
                    finding = Finding("error", str(error))
                else:
                    decide = partial(self._decide, task, view, open_claims)
                    candidate = self._candidate(task, node, decide, open_claims)
                    tried.append(candidate)
                    yield candidate
            if finding is not None:
                findings[node.name] = (finding,)

    def _candidate(
        self, task: Task, node: NodeState, decide: Callable[[], Decision | None], claims: Sequence[ResourceClaim]
    ) -> Candidate:
        def check(decision: Decision | None) -> Finding | None:
            if task.wishes.constraints and (broken := self._broken(task, node, claims)) is not None:
                return broken
            allocations = decision.allocations(self._share_id) if decision is not None else []
            given = {claim.key: got for claim, got in zip(claims, allocations, strict=True)}
            try:
                needs = self._needs(task, given)
            except AllocatableError as error:
                return Finding("error", str(error))
            return node.lacks(needs, task.through_claims) if needs is not task.needs else None

        return Candidate(node, decide, check if (self._costs or task.wishes.constraints) and task.claims else None)

    def _needs(self, task: Task, given: Mapping[str, AllocationResult]) -> PodNeeds:
        """What the pod asks of a node, with what its devices take; `given` is what its claims get there."""
        if not self._costs:
            return task.needs
        claims = [(claim.key, given.get(claim.key, claim.status.allocation)) for _, claim in task.claims]
        names = {key: {used.name for used in task.pod.claims if used.claim.key == key} for key, _ in claims}
        costs = self._costs.of(task.pod.pod, [(names[key], got) for key, got in claims if got is not None])
        return PodNeeds.of(task.pod.pod, costs) if costs else task.needs

    def _cost_of_running(self, pod: Pod) -> Amounts:
        """What the devices of a pod that has a node take there."""
        made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
        names: dict[str, set[str]] = {}
        for wanted in pod.spec.resource_claims if self._costs else ():
            key = f"{pod.namespace}/{wanted.resource_claim_name or made.get(wanted.name)}"
            names.setdefault(key, set()).add(wanted.name)
        known = [(called, self.claims.get(key)) for key, called in names.items()]
        claims = [(called, claim.status.allocation) for called, claim in known if claim is not None]
        try:
            return self._costs.of(pod, [(called, got) for called, got in claims if got is not None])
        except AllocatableError:
            return {}

    def _open_claims(self, task: Task, node: NodeState) -> list[ResourceClaim]:
        """The claims that need devices on the node, as they are there."""
        if not task.plugins:
            return [claim for _, claim in task.claims if claim.status.allocation is None]
        claims = [self._as_on(claim, task, node) for _, claim in task.claims if claim.status.allocation is None]
        return [claim for claim in claims if claim.spec.devices.requests]

    def _as_on(self, claim: ResourceClaim, task: Task, node: NodeState) -> ResourceClaim:
        names = task.plugins.get(claim.key, {})
        served = frozenset(request for request, name in names.items() if node.advertises(name))
        if not served:
            return claim
        variants = self._variants.setdefault(claim.key, {})
        known = variants.get(served)
        if known is None:
            known = variants[served] = without(claim, served)
        return known

    def _across(self, task: Task, view: NodeView, claims: Sequence[ResourceClaim]) -> tuple[Across, ...]:
        """The pod's constraints across its claims, on a node; `claims` are those that need devices there."""
        if not task.wishes.constraints:
            return ()
        setting = Setting.of(view, self.rules)
        return joined(task.wishes.constraints, task.pod.claims, claims, task.allocated, view, setting)

    def _broken(self, task: Task, node: NodeState, claims: Sequence[ResourceClaim]) -> Finding | None:
        """The constraint that the devices which the pod has already break."""
        if not task.allocated:
            return None
        view = self._inventory.view(node.name, node.labels, node.declared)
        for one in self._across(task, view, claims):
            if contradicts(one):
                return Finding("constraint", f"{one.name}: the devices that the pod's claims have already break it")
        return None

    def _decide(self, task: Task, view: NodeView | None, claims: Sequence[ResourceClaim]) -> Decision | None:
        if view is None:
            return None
        wanted = [self.wanted(claim) for claim in claims]
        across = self._across(task, view, claims)
        place = (view.name, tuple([claim.shape for claim in wanted]), across)
        dead_end = self._dead_ends.get(place)
        if dead_end is not None and dead_end.occupancy is view.occupancy:
            return dead_end.decision
        decision = self._allocator.allocate(view, wanted, across=across)
        if decision.error and not decision.node_error:
            raise PlacementRefusedError(decision.error)
        if not decision.fits:
            self._dead_ends[place] = _DeadEnd(view.occupancy, decision)
        return decision

    def _findings(self, task: Task, candidate: Candidate) -> tuple[Finding, ...]:
        decision = candidate.decision
        assert decision is not None
        across = self._across(task, decision.view, self._open_claims(task, candidate.node))
        place = (candidate.node.name, tuple([claim.shape for claim in decision.claims]), across)
        dead_end = self._dead_ends[place]
        if dead_end.findings is None:
            dead_end.findings = _explained(decision)
        return dead_end.findings

    def _choose(
        self, task: Task, chosen: Candidate, policy: DevicePolicy | None, within: int
    ) -> tuple[Decision | None, Choice | None]:
        """The devices on the chosen node, and what they are worth where somebody asked for a policy."""
        decision = chosen.decision
        if policy is None or decision is None:
            return decision, None
        across = self._across(task, decision.view, self._open_claims(task, chosen.node))
        accept = chosen.accepts if self._costs else None
        return self._chooser.choose(decision, policy, across, accept, within)

    def _take(self, task: Task, chosen: Candidate, policy: DevicePolicy | None = None, within: int = -1) -> Placement:
        node = chosen.node
        open_claims = self._open_claims(task, node)
        decision, choice = self._choose(task, chosen, policy or task.wishes.policy or self._devices, within)
        allocations = decision.allocations(self._share_id) if decision is not None else []
        given = {claim.key: (claim, got) for claim, got in zip(open_claims, allocations, strict=True)}
        placed = []
        for used, present in task.claims:
            if present.status.allocation is None and present.key not in given:
                continue  # a device plugin serves all of it
            claim, allocation = given.get(present.key, (present, present.status.allocation))
            assert allocation is not None
            placed.append(PlacedClaim(used.name, self.claims.give(task.pod, claim, allocation)))
        needs = self._needs(task, {key: got for key, (_, got) in given.items()})
        node.add(needs)
        self._placed.add(task.pod.pod, node.labels)
        self._moved(node)
        keys = tuple(used.claim.key for used in placed)
        self._running[task.pod.pod.key] = _Running(task.pod.pod, node, needs, keys)
        return Placement(task.pod, node.name, tuple(placed), choice=choice)


def _same(decision: Decision | None) -> Decision | None:
    return decision


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


def _explained(decision: Decision) -> tuple[Finding, ...]:
    if decision.error:
        return (Finding("error", decision.error),)
    return tuple(
        Finding(reason.kind, reason.text, max(0, reason.wanted - reason.available), reason.holders)
        for reason in decision.reasons(named=False)
    )
