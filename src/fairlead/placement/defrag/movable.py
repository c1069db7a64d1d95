"""Which running pods may move to make room for a workload, and why the others may not.

A pod may move when a controller makes it again somewhere else, its priority is not above the workload's, nobody else
uses its claims, and the budgets that select it allow one more disruption. The annotation `fairlead.dev/move: never`
keeps a pod where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from fairlead.placement.cluster import Cluster
from fairlead.placement.defrag.budgets import Budget, Budgets
from fairlead.resource import PlannedPod, Pod, PodClaim, PodStatus, ResourceClaim, RunningPod, running_pods

MOVE: Final = "fairlead.dev/move"
NEVER: Final = "never"
_MIRROR: Final = "kubernetes.io/config.mirror"


class Hold(StrEnum):
    """What keeps a pod where it is."""

    NEVER = "annotation"
    BARE = "bare pod"
    DAEMON = "one pod a node"
    STATIC = "static pod"
    ENDING = "ending"
    PRIORITY = "priority"
    SHARED = "shared claim"
    UNKNOWN = "unknown claim"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Kept:
    """A pod that must not move, and why."""

    pod: str
    hold: Hold
    reason: str


@dataclass(frozen=True, slots=True)
class Mover:
    """A pod that may move.

    `planned` is the pod as its controller makes it again: without a node, its claims without devices.
    """

    running: RunningPod
    planned: PlannedPod
    budget: Budget | None

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.planned.pod.key

    @property
    def node(self) -> str:
        """Where it runs."""
        return self.running.pod.spec.node_name

    @property
    def controller(self) -> str:
        """What makes it again: `ReplicaSet web-5f9c`."""
        owner = self.running.controller
        return f"{owner.kind} {owner.name}" if owner is not None else ""

    @property
    def workload(self) -> str:
        """What it belongs to: moving one pod of a gang stops all of it."""
        return self.planned.owner

    @property
    def gang(self) -> bool:
        """Whether the workload stops when the pod does."""
        return self.planned.group is not None

    @property
    def priority(self) -> int:
        """`spec.priority`; 0 where nothing is said."""
        return priority_of(self.running.pod)

    @property
    def claims(self) -> tuple[str, ...]:
        """Its claims, `namespace/name`."""
        return tuple(dict.fromkeys(used.claim.key for used in self.planned.claims))


@dataclass(frozen=True, slots=True)
class Movable:
    """All running pods on known nodes: those that may move, by name, and those that must not."""

    movers: Mapping[str, Mover]
    kept: Sequence[Kept]
    budgets: Budgets
    pods_of: Mapping[str, int]
    """How many running pods each workload has."""


def priority_of(pod: Pod) -> int:
    """`spec.priority`; 0 where nothing is said."""
    return pod.spec.priority or 0


def movable(cluster: Cluster, priority: int) -> Movable:
    """Sorts the running pods.

    Args:
        cluster: the cluster.
        priority: of the workload that needs room.
    """
    names = {node.name for node in cluster.nodes}
    running = running_pods(
        [pod for pod in cluster.pods if pod.spec.node_name in names], cluster.claims, cluster.classes
    )
    budgets = Budgets(cluster.budgets, cluster.pods)
    users: Counter[str] = Counter()
    for one in running_pods(cluster.pods, cluster.claims, cluster.classes):
        users.update({used.claim.key for used in one.planned.claims})
    movers: dict[str, Mover] = {}
    kept: list[Kept] = []
    for one in sorted(running, key=lambda each: each.pod.key):
        found = _hold(one, priority, users, budgets)
        if found is not None:
            kept.append(Kept(one.pod.key, *found))
            continue
        budget = next(iter(budgets.of(one.pod.key)), None)
        movers[one.pod.key] = Mover(one, _again(one.planned), budget)
    return Movable(movers, kept, budgets, Counter(one.planned.owner for one in running))


def _hold(one: RunningPod, priority: int, users: Mapping[str, int], budgets: Budgets) -> tuple[Hold, str] | None:
    pod, controller = one.pod, one.controller
    if pod.metadata.deletion_timestamp:
        return Hold.ENDING, "it is being deleted already"
    if _MIRROR in pod.metadata.annotations or (controller is not None and controller.kind == "Node"):
        return Hold.STATIC, "its node's kubelet makes it there"
    if controller is None:
        return Hold.BARE, "no controller would make it again"
    if controller.kind == "DaemonSet":
        return Hold.DAEMON, "its DaemonSet wants it on that node"
    if pod.metadata.annotations.get(MOVE) == NEVER:
        return Hold.NEVER, f"annotation {MOVE}: {NEVER}"
    if priority_of(pod) > priority:
        return Hold.PRIORITY, f"priority {priority_of(pod)} is above {priority}"
    if one.missing:
        return Hold.UNKNOWN, f"its claims are not known: {one.missing}"
    for used in one.planned.claims:
        others = _others(used.claim, pod, users)
        if others:
            return Hold.SHARED, f"claim {used.claim.key} is used by {others} too"
        if used.claim.metadata.deletion_timestamp:
            return Hold.ENDING, f"claim {used.claim.key} is being deleted already"
    own = budgets.of(pod.key)
    if len(own) > 1:
        return Hold.BUDGET, f"several budgets select it ({', '.join(sorted(one.name for one in own))})"
    if own and own[0].allowed < 1:
        return Hold.BUDGET, f"budget {own[0].name} allows no disruption"
    return None


def _others(claim: ResourceClaim, pod: Pod, users: Mapping[str, int]) -> str:
    """Who else uses a claim; empty for nobody."""
    for consumer in claim.status.reserved_for:
        if consumer.resource != "pods" or consumer.name != pod.name:
            return f"{consumer.resource} {consumer.name}"
    if users[claim.key] > 1:
        return f"{users[claim.key] - 1} other running pod{'s' if users[claim.key] > 2 else ''}"
    return ""


def _again(planned: PlannedPod) -> PlannedPod:
    """The pod as its controller makes it again."""
    pod = replace(planned.pod, spec=replace(planned.pod.spec, node_name=""), status=PodStatus())
    claims = tuple(PodClaim(used.name, freed(used.claim), used.generated, used.extended) for used in planned.claims)
    return PlannedPod(pod, planned.owner, planned.group, claims)


def freed(claim: ResourceClaim) -> ResourceClaim:
    """The claim without devices and users."""
    return replace(claim, status=type(claim.status)())
