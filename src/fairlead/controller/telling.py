"""What pods are told, as Events: each reason once a pod, and a new one not too often."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from fairlead.controller import patches
from fairlead.controller.events import Write
from fairlead.controller.unit import Unit
from fairlead.resource import Pod

SAY_AGAIN: Final = timedelta(seconds=60)
"""How often a pod is told a new reason."""


def too_soon(unit: Unit, text: str, now: datetime) -> datetime | None:
    """When a unit may be told a reason; None for now."""
    if text != unit.said and unit.said_at is not None and now < unit.said_at + SAY_AGAIN:
        return unit.said_at + SAY_AGAIN
    return None


def tell(unit: Unit, pods: Iterable[Pod], reason: str, text: str, now: datetime) -> list[Write]:
    """The Events for those pods of a unit that were not told this reason yet."""
    if text != unit.said:
        unit.said, unit.said_at, unit.told = text, now, set()
    writes = []
    for pod in pods:
        if pod.metadata.uid not in unit.told:
            unit.told.add(pod.metadata.uid)
            writes.append(patches.say(pod, reason, text, now))
    return writes
