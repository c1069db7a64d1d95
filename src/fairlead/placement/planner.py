"""Pods to nodes and devices, one after another: what an earlier pod got counts for the later ones.

For each pod the nodes are looked at in order of name: first what the node itself allows (`node`), then other pods
(`spread`), then where the pod's allocated claims can be used, then the allocator's decision on the claims that have
no devices yet, then what the devices take of the node (`allocatable`). The policy picks; what the allocator gives is
noted in the state, with the pod in `reservedFor`. A claim that several pods name is allocated with the first of
them; the others follow it.

The same state and pods give the same plan, but for the names of shares; it makes no difference whether the planner
began with the state or followed it there by changes (`state`). A node for a pod with claims comes from the `finder`,
which leaves out the nodes that are known to have no room; only for a pod that fits nowhere every node is looked at, for
the reasons, and those are remembered (`surveys`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import cached_property, partial

from fairlead.allocator import Decision, Wanted
from fairlead.allocator.result import random_share_id
from fairlead.inventory import InventoryError, NodeView
from fairlead.placement.attempts import Attempts, explained
from fairlead.placement.cluster import Cluster
from fairlead.placement.node import NodeState
from fairlead.placement.plan import PlacedClaim, Placement
from fairlead.placement.policy import Candidate, FirstFit, Policy, ranking_of
from fairlead.placement.reasons import Finding, Obstacle, add_up
from fairlead.placement.searchers import Searchers
from fairlead.placement.state import ClusterState
from fairlead.placement.surveys import Survey, Surveys
from fairlead.placement.task import PlacementRefusedError, Task, Tasks
from fairlead.placement.wiring import COMPACT, Choice, Chooser, DevicePolicy
from fairlead.resource import PlannedPod, Pod, ResourceClaim
from fairlead.topology import Rules, default_rules

Picker = Callable[[NodeView, Sequence[Wanted], int], Decision]
"""The devices for claims on a node, within a mask."""


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
        self.state = ClusterState(cluster)
        """The cluster as it is now. It takes changes of the cluster at any time between two pods."""
        self.claims = self.state.claims
        """The claims as they are now, to look at."""
        self.site = self.state.site
        """The nodes and devices as they are now, to look at."""
        self._allocator = self.state.allocator
        self._searchers = Searchers(self.state, ranking_of(self._policy))
        self._tasks = Tasks(self.claims, self.state.placed, self._allocator, self.state.costs)
        self._attempts = Attempts(self.state, self._tasks, lambda: self.rules, share_id)
        self._surveys = Surveys(self.state, self._tasks)
        self._reclassed = 0

    def place(self, pod: PlannedPod, reasons: bool = True) -> Placement:
        """Finds a node for a pod and takes what the pod needs there; a pod that fits nowhere takes nothing.

        Args:
            pod: the pod.
            reasons: whether to look at every node for why a pod fits on none. Without, a pod that fits nowhere has no
                obstacles, and costs no more than the others.
        """
        self._catch_up()
        try:
            task = self._tasks.of(pod)
            # A ranking proposes devices claim by claim, so it knows nothing of constraints across them.
            ranking = self._searchers.ranking if not task.wishes.constraints and self._alike_everywhere(task) else None
            searched = ranking is not None or self._findable(task)
            first = self._ranked(task) if ranking is not None else self._found(task) if searched else iter(())
            chosen = self._policy.choose(pod, first)
            if chosen is not None:
                return self._take(task, chosen)
            if searched and not reasons:
                return Placement(pod)
            survey = self._surveys.of(task)
            tried = survey.fruitless if survey.fruitless is not None else self._candidates(task, survey)
            chosen = self._policy.choose(pod, tried)
            if chosen is not None:
                return self._take(task, chosen)
            if not reasons:
                return Placement(pod)
            self._surveys.keep(task, survey)
        except PlacementRefusedError as refusal:
            return Placement(pod, obstacles=(Obstacle("claim", str(refusal)),))
        obstacles = survey.obstacles(task, self._attempts, self.state.nodes)
        return Placement(pod, obstacles=obstacles or (Obstacle("claim", "no node is known"),))

    def place_on(self, pod: PlannedPod, name: str, within: int = -1) -> Placement:
        """Places a pod of a gang on one node, with devices of a mask of its view only.

        Its devices are close together unless somebody asked for something else. A pod that does not fit takes nothing.

        Raises:
            PlacementRefusedError: the pod fits on no node, whatever is free there.
        """
        self._catch_up()
        task = self._tasks.of(pod)
        node = self.state.nodes[name]
        finding = self._attempts.refusal(task, node)
        if finding is None:
            claims = self._attempts.open_claims(task, node)
            view = self.view(name) if claims else None
            decision = None
            if view is not None:
                wanted = [self.wanted(claim) for claim in claims]
                across = self._attempts.across(task, view, claims)
                decision = self._allocator.allocate(view, wanted, within, across)
            candidate = self._attempts.candidate(task, node, partial(_same, decision), claims)
            if candidate.fits:
                return self._take(task, candidate, self._close(task), within)
            finding = candidate.lack
            if finding is None and decision is not None:
                return Placement(pod, obstacles=add_up({name: explained(decision)}))
        return Placement(pod, obstacles=add_up({name: (finding,)} if finding is not None else {}))

    def _close(self, task: Task) -> DevicePolicy:
        return task.wishes.policy or self._devices or COMPACT

    def picker(self, pod: PlannedPod) -> Picker:
        """What picks the devices of a gang's pod on a node, among those of a mask, as `place_on` does.

        Raises:
            PlacementRefusedError: the pod fits on no node.
        """
        self._catch_up()
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
        return bool(self.state.costs)

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
        return lambda name: self._attempts.refusal(task, self.state.nodes[name])

    def condition(self, pod: PlannedPod) -> Hashable:
        """Equal for pods that a node refuses alike, devices aside; None for a pod of which that depends on others.

        Raises:
            PlacementRefusedError: it fits on no node.
        """
        return self._tasks.of(pod).condition

    def remove(self, pod: PlannedPod) -> None:
        """Gives back what a placed pod took, as if it had never been placed.

        A claim whose last pod goes is again what it was before the first: one that got its devices here gives them
        back, one that had them keeps them. Others of its pods, and whoever else it is reserved for, keep it.

        Raises:
            KeyError: no pod of that name was placed here, or it was removed already.
        """
        self.state.give_back(pod.pod.key)

    def lift(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Takes a pod that had its node from the beginning off it, until `put_back`.

        Args:
            pod: one of the pods of the cluster, the very object.
            claims: the claims that go with it, without devices.

        Raises:
            KeyError: the pod is not there, or its node is not known.
        """
        self.state.lift(pod, claims)

    def put_back(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Puts a lifted pod back; `claims` are its claims with the devices that they had."""
        self.state.put_back(pod, claims)

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

    def _catch_up(self) -> None:
        """Brings what is remembered up to date with the state."""
        if self._reclassed != self.state.reclassed:
            self._reclassed = self.state.reclassed
            self._attempts.forget()
            self._surveys.forget()
            self.__dict__.pop("_chooser", None)
        self._searchers.catch_up()

    def _alike_everywhere(self, task: Task) -> bool:
        """Whether the pod asks every node for the same devices: not where some have a device plugin for them."""
        return not any(node.advertises(name) for name in task.through_claims for node in self.state.nodes.values())

    def _findable(self, task: Task) -> bool:
        """Whether the finder knows all nodes that can hold the pod."""
        return self._searchers.finder is not None and bool(task.open) and not task.plugins

    def _found(self, task: Task) -> Iterator[Candidate]:
        """The nodes that can hold the pod, without a look at those that are known not to: most of them, most times."""
        assert self._searchers.finder is not None

        def allowed(name: str) -> bool:
            return self._attempts.refusal(task, self.state.nodes[name]) is None

        wanted = [self.wanted(claim) for claim in task.open]
        for decision in self._searchers.finder.find(wanted, allowed, task.condition):
            if decision.error:
                raise PlacementRefusedError(decision.error)
            decide: Callable[[], Decision | None] = partial(_same, decision)
            if task.wishes.constraints:
                decide = partial(self._attempts.decide, task, decision.view, task.open)
            yield self._attempts.candidate(task, self.state.nodes[decision.view.name], decide, task.open)

    def _ranked(self, task: Task) -> Iterator[Candidate]:
        """The nodes in the order of the policy, with the devices that it proposes."""
        assert self._searchers.ranking is not None
        wanted = [self.wanted(claim) for claim in task.open]
        for name, within in self._searchers.ranking.propose(task.needs, wanted):
            node = self.state.nodes[name]
            if self._attempts.refusal(task, node) is None:
                decide = partial(self._attempts.decide_within, task, name, task.open, within)
                yield self._attempts.candidate(task, node, decide, task.open)

    def _candidates(self, task: Task, survey: Survey) -> Iterator[Candidate]:
        """The nodes on which only devices can be missing; all that is found is noted in the survey."""
        entries = survey.entries
        for name, node in self.state.nodes.items():
            entry = entries.get(name)
            if entry is None:
                entry = entries[name] = self._attempts.refusal(task, node) or self._tried(task, node)
            if isinstance(entry, Candidate):
                yield entry

    def _tried(self, task: Task, node: NodeState) -> Candidate | Finding:
        claims = self._attempts.open_claims(task, node)
        try:
            view = self.site.view(node.name) if claims else None
        except InventoryError as error:
            return Finding("error", str(error))
        return self._attempts.candidate(task, node, partial(self._attempts.decide, task, view, claims), claims)

    def _choose(
        self, task: Task, chosen: Candidate, policy: DevicePolicy | None, within: int
    ) -> tuple[Decision | None, Choice | None]:
        """The devices on the chosen node, and what they are worth where somebody asked for a policy."""
        decision = chosen.decision
        if policy is None or decision is None:
            return decision, None
        across = self._attempts.across(task, decision.view, self._attempts.open_claims(task, chosen.node))
        accept = chosen.accepts if self.state.costs else None
        return self._chooser.choose(decision, policy, across, accept, within)

    def _take(self, task: Task, chosen: Candidate, policy: DevicePolicy | None = None, within: int = -1) -> Placement:
        node = chosen.node
        open_claims = self._attempts.open_claims(task, node)
        decision, choice = self._choose(task, chosen, policy or task.wishes.policy or self._devices, within)
        allocations = decision.allocations(self._share_id) if decision is not None else []
        given = {claim.key: (claim, got) for claim, got in zip(open_claims, allocations, strict=True)}
        needs = self._attempts.needs(task, {key: got for key, (_, got) in given.items()})
        placed = []
        for used, present in task.claims:
            if present.status.allocation is None and present.key not in given:
                continue  # a device plugin serves all of it
            claim, allocation = given.get(present.key, (present, present.status.allocation))
            assert allocation is not None
            placed.append(PlacedClaim(used.name, self.claims.give(task.pod, claim, allocation)))
        self.state.take(task.pod, node, needs, [used.claim.key for used in placed])
        return Placement(task.pod, node.name, tuple(placed), choice=choice)


def _same(decision: Decision | None) -> Decision | None:
    return decision
