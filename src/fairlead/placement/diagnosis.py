"""One pod looked at on every node: where it fits, what stands in the way elsewhere, and what would help.

The pods before it are placed first, as a plan does. Then a policy that takes nothing looks at all nodes, and only after
that the pod is placed itself, so the answer is about the state on which the plan decides, and is the plan's answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.allocator import Decision, Excluded, Reason, Relaxation, Relaxations
from fairlead.allocator.explain import tally
from fairlead.allocator.moves import Moves, standing
from fairlead.placement.advice import Help, Search, sum_up
from fairlead.placement.cluster import Cluster
from fairlead.placement.plan import Placement
from fairlead.placement.planner import Planner
from fairlead.placement.policy import Candidate, FirstFit, Policy
from fairlead.placement.reasons import Obstacle
from fairlead.placement.wiring import DevicePolicy
from fairlead.resource import PlannedPod
from fairlead.topology import Rules

_NODES: Final = 2_000
_DECISIONS: Final = 20_000
_EFFORT: Final = 300


@dataclass(frozen=True, slots=True)
class RequestTally:
    """The devices that reach a node, each under the first rule that keeps it from a request."""

    claim: str
    request: str
    """`request` or `request/alternative`."""
    wanted: int
    """0 for all devices."""
    devices: int
    excluded: tuple[Excluded, ...]

    @property
    def left(self) -> int:
        """Devices that no rule keeps from the request by itself."""
        return self.devices - sum(one.count for one in self.excluded)


@dataclass(frozen=True, slots=True)
class NodeDiagnosis:
    """The pod on one node."""

    node: str
    fits: bool
    obstacles: tuple[Obstacle, ...] = ()
    """What stands in the way; the node's own rules before devices, which are not asked for then."""
    reasons: tuple[Reason, ...] = ()
    """The part of it that is about devices."""
    tallies: tuple[RequestTally, ...] = ()
    relaxations: Relaxations | None = None
    """None where they were not looked for: the pod fits, the node itself refuses it, or there were too many nodes."""

    @property
    def changes(self) -> tuple[Relaxation, ...]:
        """The changes that would make the pod fit here, smallest first."""
        return self.relaxations.found if self.relaxations is not None else ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The pod on all nodes, or on those that were asked about."""

    placement: Placement
    """As in the plan."""
    nodes: tuple[NodeDiagnosis, ...]
    """In order of name. An error that ends the allocation on every node also ends the look at them."""
    obstacles: tuple[Obstacle, ...] = ()
    """What stands in the way on nodes where the pod does not fit, in order of use; of a placed pod too."""
    help: tuple[Help, ...] = ()
    complete: bool = True
    """False where a bound ended the search for what would help."""


class _Survey:
    """A policy that, once told to, looks at every node and takes none."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.looking = False
        self.finished = False
        self.seen: list[Candidate] = []

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The other policy's choice; none while looking."""
        if not self.looking:
            return self._policy.choose(pod, candidates)
        for candidate in candidates:
            _ = candidate.fits  # now: what is taken changes when the pod is placed
            self.seen.append(candidate)
        self.finished = True
        return None


def diagnose(
    cluster: Cluster,
    pods: Sequence[PlannedPod],
    position: int,
    *,
    only: Collection[str] = (),
    policy: Policy | None = None,
    devices: DevicePolicy | None = None,
    rules: Rules | None = None,
) -> Diagnosis:
    """Explains what a plan does with one of its pods.

    Args:
        cluster: the snapshot.
        pods: the pods of the plan, in order.
        position: which of them.
        only: nodes to look at; none named: all. The pod is placed on any node all the same.
        policy: as for the plan.
        devices: as for the plan.
        rules: as for the plan.
    """
    survey = _Survey(policy or FirstFit())
    planner = Planner(cluster, survey, devices=devices, rules=rules)
    for pod in pods[:position]:
        planner.place(pod)
    pod = pods[position]
    survey.looking = True
    looked = planner.place(pod)
    obstacles: dict[str, list[Obstacle]] = {}
    for obstacle in looked.obstacles:
        for node in obstacle.nodes:
            obstacles.setdefault(node, []).append(obstacle)
    candidates = {candidate.node.name: candidate for candidate in survey.seen}
    names = [name for name in sorted({*obstacles, *candidates}) if not only or name in only]
    failed = [
        decision
        for name in names
        if name in candidates and (decision := candidates[name].decision) is not None and not decision.fits
    ]
    found: dict[str, Relaxations] = {}
    nowhere = survey.finished and all(not candidate.fits for candidate in survey.seen)
    if nowhere or only:
        search = Search(cluster)
        found = search.look(pod, failed, nodes=_NODES, total=_DECISIONS, effort=_EFFORT)
    nodes = [_on_node(name, candidates.get(name), tuple(obstacles.get(name, ())), found.get(name)) for name in names]
    survey.looking = False
    return Diagnosis(
        placement=planner.place(pod),
        nodes=tuple(nodes),
        obstacles=tuple(obstacle for obstacle in looked.obstacles if obstacle.nodes or not nodes),
        help=sum_up({name: one.found for name, one in found.items()}),
        complete=all(one.complete for one in found.values()) and (not found or len(found) == len(failed)),
    )


def _on_node(
    name: str, candidate: Candidate | None, obstacles: tuple[Obstacle, ...], relaxations: Relaxations | None
) -> NodeDiagnosis:
    fits = candidate is not None and candidate.fits
    decision = candidate.decision if candidate is not None else None
    if decision is None:
        return NodeDiagnosis(name, fits, obstacles)
    if decision.fits:
        return NodeDiagnosis(name, fits, obstacles, tallies=_tallies(decision))
    return NodeDiagnosis(name, False, obstacles, decision.reasons(), _tallies(decision), relaxations)


def _tallies(decision: Decision) -> tuple[RequestTally, ...]:
    moves = Moves(decision.problem, standing(decision.problem, decision.view.occupancy))
    made = []
    for slot in decision.problem.slots:
        stages, _ = tally(moves, decision.view, slot)
        wanted = 0 if slot.unit.all_devices else slot.unit.count
        excluded = tuple(one for one, _ in stages)
        claim = decision.claims[slot.claim].name
        made.append(RequestTally(claim, slot.unit.name, wanted, decision.view.size, excluded))
    return tuple(made)
