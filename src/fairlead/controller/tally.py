"""What the core counts of its own work, as values for whoever shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from fairlead.controller.grouping import has_gate
from fairlead.controller.unit import Unit

Outcome = Literal["placed", "waiting"]
Cause = Literal["conflict", "refused", "overtaken"]
"""Why a plan was given up: an object had changed (404, 409); the server does not want the write; pods, claims, nodes or
holders of devices are not those any more that it was made for."""

PENDING: Final = ("new", "being written", "no room", "waiting for group", "waiting for claim", "refused")
"""Why pods have our gate."""


@dataclass(slots=True)
class Tally:
    """Counts since they were taken last."""

    decisions: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    """Units that were planned, by kind and outcome."""
    replans: Counter[Cause] = field(default_factory=Counter)
    """Plans that were given up."""

    def take(self) -> Tally:
        """The counts, which begin anew."""
        taken = Tally(self.decisions, self.replans)
        self.decisions, self.replans = Counter(), Counter()
        return taken


def kind_of(unit: Unit) -> str:
    """`group` or `pod`."""
    return "group" if unit.group else "pod"


def pending(units: Iterable[Unit], without_room: set[str]) -> dict[str, tuple[int, int]]:
    """The units that have gated pods, and these pods, by reason (`PENDING`).

    Args:
        units: all units.
        without_room: the names of those that were planned and found no room.
    """
    found = dict.fromkeys(PENDING, (0, 0))
    for unit in units:
        gated = sum(has_gate(pod) for pod in unit.pods.values())
        if gated:
            reason = _reason(unit, without_room)
            count, pods = found[reason]
            found[reason] = count + 1, pods + gated
    return found


def _reason(unit: Unit, without_room: set[str]) -> str:
    if unit.plan is not None:
        return "being written"
    if unit.failures:
        return "refused"
    if unit.name in without_room:
        return "no room"
    if unit.blocked_since is not None:
        return "waiting for group" if unit.group else "waiting for claim"
    return "new"
