"""A planner as the core knows it: it places units one after another, and its state follows the cluster.

The core knows `Round` only. What a unit takes is kept in the state as if it were the cluster's; `following` brings it
to what the unit's plan says, which is the same, or nothing where the plan is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fairlead.placement import Advisor, Cluster, ClusterState, GangPlanner, Placement, Planner
from fairlead.placement.packing import NodePolicy, typical_pods
from fairlead.placement.planning import place_unit
from fairlead.placement.wiring import DevicePolicy
from fairlead.resource import DeviceClass, PlannedPod, running_pods
from fairlead.topology import Rules, Tree

_SHOWN: Final = 3
"""Obstacles that a reason names."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a unit: a placement for each of its pods, or the reason why there is none."""

    placements: tuple[Placement, ...] = ()
    reason: str = ""


class Round(Protocol):
    """What places units."""

    @property
    def state(self) -> ClusterState:
        """What counts as taken; it takes changes between two units."""

    def begin(self) -> None:
        """Begins with other units."""

    def set_classes(self, classes: Sequence[DeviceClass]) -> None:
        """Replaces all device classes."""

    def place(self, pods: Sequence[PlannedPod], reasons: bool = True) -> Answer:
        """Places the pods of one unit, all or none; later units find their places taken."""

    def tree(self, named: Sequence[str]) -> Tree:
        """The levels of the cluster, with those that a user named."""


MakeRound = Callable[[Cluster], Round]


class PlannedRound:
    """A planner with an advisor, for pods and gangs."""

    def __init__(
        self,
        cluster: Cluster,
        share_id: Callable[[], str],
        policy: NodePolicy | None = None,
        devices: DevicePolicy | None = None,
        rules: Rules | None = None,
    ) -> None:
        """Begins with a snapshot; arguments as for `Planner`."""
        self._advisor = Advisor(cluster, policy)
        self._planner = Planner(cluster, self._advisor, share_id, devices, rules)
        self._gangs = GangPlanner(self._planner)
        self.state = self._planner.state
        self._policy = policy
        self._expected_from = 0
        """How many pods had a node when it was last worked out which pods are typical."""
        self._expect()

    def begin(self) -> None:
        """Begins with other units."""
        self._advisor.begin()
        self._expect()

    def _expect(self) -> None:
        """Tells a policy that keeps room for typical pods which these are: those like the pods that run.

        That looks at all of them, so it is done when they have become twice as many, or half as many.
        """
        pods = self.state.pods
        if self._policy is None or not self._policy.scoring.measured:
            return
        if self._expected_from <= 2 * len(pods) and len(pods) <= 2 * self._expected_from:
            return
        self._expected_from = len(pods)
        running = running_pods(pods, self.state.claims.all, ())
        self._policy.expect(typical_pods([one.planned for one in running if one.planned.claims]))

    def set_classes(self, classes: Iterable[DeviceClass]) -> None:
        """Replaces all device classes."""
        classes = list(classes)
        self.state.set_classes(classes)
        self._advisor.set_classes(classes)

    def tree(self, named: Sequence[str]) -> Tree:
        """The levels of the cluster, with those that a user named."""
        return self._gangs.tree(named)

    def place(self, pods: Sequence[PlannedPod], reasons: bool = True) -> Answer:
        """Places the pods of one unit, all or none."""
        placements, outcome = place_unit(self._planner, self._gangs, pods, reasons)
        if all(placement.placed for placement in placements):
            for placement in placements:
                self.state.keep(placement.pod.pod.key)
            return Answer(tuple(placements))
        if not reasons:
            return Answer()
        waiting = next(placement for placement in placements if not placement.placed)
        helps = list(outcome.helps) if outcome is not None else []
        advice = self._advisor.advice.get(waiting.pod.pod.key)
        if advice is not None:
            helps.append(advice.relaxation.text)
        return Answer(reason=_reason(waiting, helps))


def _reason(waiting: Placement, helps: Sequence[str]) -> str:
    shown = [str(obstacle) for obstacle in waiting.obstacles[:_SHOWN]]
    text = "; ".join(shown) or "no node has room for it"
    if len(waiting.obstacles) > _SHOWN:
        text += f"; and {len(waiting.obstacles) - _SHOWN} more reasons"
    return f"{text}. It would fit {helps[0]}" if helps else text
