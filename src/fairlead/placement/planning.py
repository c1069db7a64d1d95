"""A whole plan: pods in order, the pods of a gang together where the first of them stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from fairlead.allocator.result import random_share_id
from fairlead.placement.cluster import Cluster
from fairlead.placement.groups import GangPlanner
from fairlead.placement.outcome import GangOutcome
from fairlead.placement.plan import Placement, Plan
from fairlead.placement.planner import Planner
from fairlead.placement.policy import Policy
from fairlead.placement.wiring import DevicePolicy
from fairlead.resource import PlannedPod
from fairlead.topology import Rules


def plan(
    cluster: Cluster,
    pods: Iterable[PlannedPod],
    policy: Policy | None = None,
    share_id: Callable[[], str] = random_share_id,
    devices: DevicePolicy | None = None,
    rules: Rules | None = None,
    gangs: bool = True,
) -> Plan:
    """Places the pods in order on the cluster.

    Args:
        cluster: the snapshot to place them on; it is not changed.
        pods: pods without a node.
        policy: which of the nodes that fit; the first, where none is given.
        share_id: names the shares of shared devices.
        devices: which of the devices of a node that fit, where a pod does not say so itself; where none is given, the
            first for a pod alone, and those that are close together for the pods of a gang.
        rules: what attributes and labels say of wiring; those that are shipped, where none are given.
        gangs: whether the pods of a gang are placed whole or not at all; else one by one, as Kubernetes does.
    """
    planner = Planner(cluster, policy, share_id, devices, rules)
    whole = GangPlanner(planner)
    placements = []
    outcomes = []
    for unit in together(pods) if gangs else ([pod] for pod in pods):
        placed, outcome = place_unit(planner, whole, unit)
        placements += placed
        if outcome is not None:
            outcomes.append(outcome)
    return Plan(tuple(placements), tuple(outcomes), whole.problems)


def place_unit(
    planner: Planner, gangs: GangPlanner, unit: Sequence[PlannedPod], reasons: bool = True
) -> tuple[list[Placement], GangOutcome | None]:
    """Places a pod that stands alone, or the pods of a gang; `reasons`: whether to look for what is in the way."""
    if len(unit) == 1:
        return [planner.place(unit[0], reasons)], None
    return gangs.place(unit, reasons)


def together(pods: Iterable[PlannedPod]) -> Iterator[list[PlannedPod]]:
    """The pods in order; those of a gang as one, where its first pod stands."""
    units: list[list[PlannedPod]] = []
    gangs: dict[str, list[PlannedPod]] = {}
    for pod in pods:
        if pod.group is not None and pod.group in gangs:
            gangs[pod.group].append(pod)
            continue
        units.append([pod])
        if pod.group is not None:
            gangs[pod.group] = units[-1]
    return iter(units)
