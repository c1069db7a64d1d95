"""A machine as drivers see it: its files, and doors to its libraries.

Three kinds, which a driver cannot tell apart: the machine that we run on, the same while it is recorded, and a
recording of another one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from fairlead.hardware.doors import Door, noting, repeating
from fairlead.hardware.files import Files, LiveFiles
from fairlead.hardware.recording import NotingFiles, RecordedFiles, Recording

_Door = TypeVar("_Door", bound=Door)


class Machine(ABC):
    """Where a driver looks for its hardware."""

    files: Files

    @abstractmethod
    def door(self, kind: type[_Door], live: Callable[[], _Door]) -> _Door:
        """The door to a library.

        Args:
            kind: the door's declaration.
            live: makes the real one. It does not fail: what a missing library means is said by the calls.
        """


class LiveMachine(Machine):
    """The machine that we run on, or one whose tree of files is mounted or copied here."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Args:
        root: where the machine's `/` is. Doors go to this machine's libraries whatever the root.
        """
        self.files: Files = LiveFiles(root)

    def door(self, kind: type[_Door], live: Callable[[], _Door]) -> _Door:
        """The real one."""
        return live()


class RecordingMachine(Machine):
    """Another machine, and a note of all that is read of it."""

    def __init__(self, machine: Machine, recording: Recording) -> None:
        """Args:
        machine: is read.
        recording: is filled.
        """
        self._machine: Final = machine
        self._recording: Final = recording
        self.files: Files = NotingFiles(machine.files, recording.files)

    def door(self, kind: type[_Door], live: Callable[[], _Door]) -> _Door:
        """The machine's own, listened to."""
        answers = self._recording.doors.setdefault(kind.door, {})
        return noting(kind, self._machine.door(kind, live), answers.__setitem__)


class RecordedMachine(Machine):
    """What a recording has of a machine."""

    def __init__(self, recording: Recording) -> None:
        """Args:
        recording: answers for the machine; it is not changed.
        """
        self._recording: Final = recording
        self.files: Files = RecordedFiles(recording.files)

    def door(self, kind: type[_Door], live: Callable[[], _Door]) -> _Door:
        """One that says what was noted."""
        return repeating(kind, self._recording.doors.get(kind.door, {}))
