"""The door to the agents on DPUs: what they report, and what they are asked to do.

A DPU is named by its PCI address on the host without the function, `0000:3b:00`. Codes of errors: `refused` for what
waiting does not help, `unavailable` for an agent that does not answer, `unauthenticated`, and `failed` for the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

import msgspec

from fairlead.drivers.bluefield.functions import Function, Granted, Wanted
from fairlead.hardware import Door, HardwareError

PROTOCOL: Final = 1


class PortReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """A function as the DPU sees it."""

    function: Function
    representor: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent says of its DPU; empty where it does not know."""

    protocol: int = PROTOCOL
    version: str = ""
    boot_id: str = ""
    serial: str = ""
    bfb: str = ""
    firmware: str = ""
    eswitch: str = ""
    ports: tuple[PortReport, ...] = ()
    bridges: tuple[str, ...] = ()
    offloads: tuple[str, ...] = ()
    services: dict[str, int] = {}
    """How many of each service the DPU has to give in all."""
    claims: tuple[str, ...] = ()

    def representor(self, function: Function) -> str:
        """The interface that stands for a function on the DPU; empty where there is none."""
        return next((one.representor for one in self.ports if one.function == function), "")


class Agents(Door):
    """What is asked of agents. All methods raise HardwareError."""

    door: ClassVar[str] = "dpu-agents"

    @abstractmethod
    def report(self, dpu: str) -> Report:
        """How the DPU is."""

    @abstractmethod
    def apply(
        self, dpu: str, uid: str, name: str, wanted: list[Wanted], services: dict[str, int], dry_run: bool
    ) -> list[Granted]:
        """Makes the DPU's side of a claim ready, whole or not at all; may be repeated.

        Args:
            dpu: which.
            uid: of the claim.
            name: of the claim, for people.
            wanted: its functions.
            services: what it takes of the DPU's services.
            dry_run: only ask whether that could be done.
        """

    @abstractmethod
    def release(self, dpu: str, uid: str) -> None:
        """Takes back what was done for a claim; nothing happens where nothing was."""


class NoAgents(Agents):
    """The door where nobody can be asked."""

    def __init__(self, reason: str, code: str) -> None:
        """Args:
        reason: what every call says.
        code: of its error.
        """
        self._reason: Final = reason
        self._code: Final = code

    def report(self, dpu: str) -> Report:
        """HardwareError."""
        raise self._error(dpu)

    def apply(
        self, dpu: str, uid: str, name: str, wanted: list[Wanted], services: dict[str, int], dry_run: bool
    ) -> list[Granted]:
        """HardwareError."""
        raise self._error(dpu)

    def release(self, dpu: str, uid: str) -> None:
        """HardwareError."""
        raise self._error(dpu)

    def _error(self, dpu: str) -> HardwareError:
        return HardwareError(f"DPU {dpu}: {self._reason}", self._code)
