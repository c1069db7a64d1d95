"""What the driver does on the host beside NVML: NVIDIA's programs, and notes of what was changed.

A note is written before the first change for a claim and says what undoing has to look for; it outlives the process,
and says nothing any more after the machine was started anew. Only `libraries` and `notes` are asked by discovery, and
recorded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from fairlead.hardware import Door, HardwareError


class Made(msgspec.Struct, frozen=True):
    """A GPU instance that was made for a claim, or was about to be."""

    device: str
    address: str
    profile: int
    start: int


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was changed for a claim."""

    boot: str
    """The boot of the machine in which that was."""
    made: tuple[Made, ...] = ()
    sliced: dict[str, str] = msgspec.field(default_factory=dict)
    """Addresses to UUIDs of GPUs whose time slice was set."""
    exclusive: tuple[str, ...] = ()
    """Addresses of GPUs that were given to one process at a time, which is the MPS server."""
    served: bool = False
    """Whether MPS daemons were started."""


class Served(msgspec.Struct, frozen=True):
    """Where clients of an MPS daemon find it."""

    pipe: str
    """Folder of its pipes."""
    shared: str
    """Folder of the memory that it shares with clients, theirs is /dev/shm."""


class Host(Door):
    """The host's programs, and the notes."""

    door: ClassVar[str] = "nvidia-host"

    @abstractmethod
    def libraries(self) -> str:
        """What containers need of the kernel driver's libraries, by nvidia-ctk.

        Returns:
            JSON of CDI's containerEdits; empty where that program is not installed.
        """

    @abstractmethod
    def notes(self) -> dict[str, Note]:
        """All notes, by the claims' UIDs."""

    def note(self, claim: str, note: Note) -> None:
        """Writes down what is about to be changed for a claim; on the disk when it returns."""
        raise _unchangeable()

    def forget(self, claim: str) -> None:
        """Removes a claim's note; nothing happens where there is none."""
        raise _unchangeable()

    def set_time_slice(self, uuid: str, interval: int) -> None:
        """How long a process has a GPU before the next one: 0 default, 1 short, 2 medium, 3 long."""
        raise _unchangeable()

    def serve(
        self,
        claim: str,
        group: str,
        uuids: Sequence[str],
        percentage: int | None,
        limits: Mapping[str, str],
        multi_user: bool,
    ) -> Served:
        """Starts an MPS daemon for devices of a claim, and waits until it answers.

        Args:
            claim: UID of the claim.
            group: tells daemons of a claim apart; a word.
            uuids: of the devices.
            percentage: of the threads that a client may use at most; None for all.
            limits: UUID to pinned device memory that a client may have, as MPS writes it: `10240M`.
            multi_user: whether processes of different users share the server.
        """
        raise _unchangeable()

    def stop_serving(self, claim: str) -> None:
        """Stops all MPS daemons of a claim and removes their folders; nothing happens where there are none."""
        raise _unchangeable()


def _unchangeable() -> HardwareError:
    return HardwareError("the host is known from a recording and cannot be changed", "not-recorded")
