"""What managers said last, and which of them say nothing now: each for itself, so that one does not hold up the others.

Of a manager that does not answer, and of a resource that cannot be read, what was known stays: if a device left its
pool for that, the node that it is on would publish it. `fresh` are those that were read last time; nothing is done to
others.
A manager without any answer (no HTTP status) is asked again after a while that grows, for asking it takes as long as
its connections take to fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from typing import Final

from fairlead.drivers.fabric.boxes import Box, Unit
from fairlead.drivers.fabric.devices import place_of, prefix_of
from fairlead.drivers.fabric.planning import Place
from fairlead.hardware import HardwareError, Problems

_FIRST_PAUSE, _LAST_PAUSE = 2.0, 30.0
"""Seconds until a manager that gave no answer is asked again."""


class Readings:
    """The units of all managers."""

    def __init__(self, boxes: Mapping[str, Box], ours: Callable[[Unit], bool]) -> None:
        """Reads nothing yet.

        Args:
            boxes: the managers by name.
            ours: whether a unit is the driver's.
        """
        self.units: Final[dict[str, dict[Place, Unit]]] = {}
        """By manager, as known; without those that have not answered yet."""
        self.silent: Final[dict[str, str]] = {}
        """Managers that do not answer, with the reason."""
        self.unread: Mapping[str, list[str]] = {}
        """By manager, what of it could not be read last time."""
        self.fresh: Set[Place] = frozenset()
        """Devices that were read last time."""
        self._boxes: Final = boxes
        self._ours: Final = ours
        self._pauses: Final[dict[str, tuple[float, float]]] = {}
        """By manager that gave no answer: when to ask it again, and the pause before."""

    @property
    def partial(self) -> frozenset[str]:
        """Managers that have not answered yet, or of which something could not be read: they may have more pools."""
        return frozenset(name for name in self._boxes if name not in self.units or name in self.unread)

    def all(self) -> Iterator[tuple[Place, Unit]]:
        """All devices that are known."""
        for of in list(self.units.values()):
            yield from of.items()

    def current(self) -> dict[Place, Unit]:
        """The devices that were read last time."""
        return {place: unit for place, unit in self.all() if place in self.fresh}

    def troubles(self) -> list[str]:
        """A line for each thing that could not be read."""
        return [*self.silent.values(), *(line for name in self.unread for line in self.unread[name])]

    def troubles_of(self, place: Place) -> list[str]:
        """Those that may be why a device is not known, or not as it is."""
        manager = next((unit.manager for at, unit in self.all() if at == place), "")
        names = [manager] if manager else [one for one in self._boxes if place[0].startswith(prefix_of(one))]
        found = [self.silent[one] for one in names if one in self.silent]
        return found + [line for one in names for line in self.unread.get(one, ())]

    def read(self) -> None:
        """Reads all managers. What is known is replaced at the end, for `Driver.health` looks at it meanwhile."""
        unread: dict[str, list[str]] = {}
        fresh: set[Place] = set()
        for name, box in self._boxes.items():
            until, pause = self._pauses.get(name, (0.0, 0.0))
            if time.monotonic() < until:
                continue
            problems = Problems()
            try:
                found = box.look(problems).units.values()
            except HardwareError as error:
                self.silent[name] = str(error)
                box.forget()
                if not error.code:
                    pause = min(max(2 * pause, _FIRST_PAUSE), _LAST_PAUSE)
                    self._pauses[name] = time.monotonic() + pause, pause
                continue
            self.silent.pop(name, None)
            self._pauses.pop(name, None)
            if problems:
                unread[name] = problems
            ours = {place_of(unit): unit for unit in found if self._ours(unit)}
            fresh |= ours.keys()
            known = self.units.get(name, {}) if problems else {}
            self.units[name] = known | {place: _wider(unit, known.get(place)) for place, unit in ours.items()}
        self.unread, self.fresh = unread, fresh


def _wider(unit: Unit, before: Unit | None) -> Unit:
    """A unit with the systems that it was known to reach: the one that could not be read may be among them."""
    return unit if before is None else replace(unit, systems=unit.systems | before.systems)
