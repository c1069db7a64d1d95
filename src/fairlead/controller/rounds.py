"""One round of planning: units, one after another, on a snapshot of the cluster.

The core knows `Round` only, so that a planner which follows the cluster by events can take this one's place. This one
makes a planner for each round, from nothing but the snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fairlead.placement import Advisor, Cluster, GangPlanner, Placement, Planner
from fairlead.placement.planning import place_unit
from fairlead.resource import PlannedPod

_SHOWN: Final = 3
"""Obstacles that a reason names."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a unit: a placement for each of its pods, or the reason why there is none."""

    placements: tuple[Placement, ...] = ()
    reason: str = ""


class Round(Protocol):
    """A snapshot on which units take places."""

    def place(self, pods: Sequence[PlannedPod]) -> Answer:
        """Places the pods of one unit, all or none; later units find their places taken."""


MakeRound = Callable[[Cluster], Round]


class PlannedRound:
    """A round with a planner of its own."""

    def __init__(self, cluster: Cluster, share_id: Callable[[], str]) -> None:
        self._advisor = Advisor(cluster)
        self._planner = Planner(cluster, self._advisor, share_id)
        self._gangs = GangPlanner(self._planner)

    def place(self, pods: Sequence[PlannedPod]) -> Answer:
        """Places the pods of one unit, all or none."""
        placements, outcome = place_unit(self._planner, self._gangs, pods)
        if all(placement.placed for placement in placements):
            return Answer(tuple(placements))
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
