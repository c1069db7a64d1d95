"""Three drivers on one recorded machine that has troubles: what `fairlead node --driver troubled:make=FILE` serves.

FILE is JSON and is read anew at each question: `gone`, paths of the machine at which nothing is any more; `refuses`,
methods of doors to what they fail with; `slow`, paths and methods to the seconds that an answer takes. So a test makes
a device file or a function go, or netlink fail, and each driver fails as it would on hardware.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from fairlead.driver import Driver
from fairlead.drivers import make as make_drivers
from fairlead.hardware import Door, Files, HardwareError, Machine

DRIVERS = ("nvidia=libraries=no,channels=0", "network=only=0000:1a:00.0+0000:3c:00.0", "bluefield")
"""As given to `--driver`; the network driver leaves the DPU to its own."""

_Door = TypeVar("_Door", bound=Door)


class Troubles:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def meet(self, question: str) -> bool:
        """Waits and fails as the file says; whether a path is gone."""
        said = json.loads(self._path.read_text())
        time.sleep(said.get("slow", {}).get(question, 0))
        if question in said.get("refuses", {}):
            raise HardwareError(said["refuses"][question])
        return question in said.get("gone", ())


class TroubledFiles(Files):
    """Files of another machine, without what is gone."""

    def __init__(self, files: Files, troubles: Troubles) -> None:
        self._files = files
        self._troubles = troubles

    def kind(self, path: str) -> Any:
        return None if self._troubles.meet(path) else self._files.kind(path)

    def read(self, path: str) -> bytes:
        return self._files.read(path)

    def names(self, path: str) -> list[str]:
        return self._files.names(path)

    def target(self, path: str) -> str:
        return self._files.target(path)

    def write(self, path: str, text: str) -> None:
        self._files.write(path, text)


class _TroubledDoor:
    def __init__(self, door: Door, troubles: Troubles) -> None:
        self._door = door
        self._troubles = troubles

    def __getattr__(self, name: str) -> Any:
        self._troubles.meet(name)
        return getattr(self._door, name)


class TroubledMachine(Machine):
    """Another machine with troubles."""

    def __init__(self, machine: Machine, troubles: Troubles) -> None:
        self._machine = machine
        self._troubles = troubles
        self.files = TroubledFiles(machine.files, troubles)

    def door(self, kind: type[_Door], live: Callable[[], _Door]) -> _Door:
        return cast(_Door, _TroubledDoor(self._machine.door(kind, live), self._troubles))


def make(argument: str, node: str, machine: Machine) -> Sequence[Driver]:
    """All of `DRIVERS`, on the machine of `--recording`."""
    troubled = TroubledMachine(machine, Troubles(Path(argument)))
    return [driver for text in DRIVERS for driver in make_drivers(text, node, troubled)]
