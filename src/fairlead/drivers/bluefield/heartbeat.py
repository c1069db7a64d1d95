"""Whether the agents of a node's DPUs live: what they said last, and since when they have said nothing.

Asked from the kit's health thread and from discovery, so there is a lock. A report that is fresh is not asked for
again. What an agent said last stays while it is silent: attributes must not come and go with a slow answer; the taint
says that the DPU is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from fairlead.drivers.bluefield.agents import PROTOCOL, Agents, Report
from fairlead.hardware import HardwareError

_FRESH: Final = 4.0
"""Seconds for which an answer need not be asked for again."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is known of one agent."""

    report: Report | None = None
    """What it said last."""
    problem: str = ""
    """Why the last question was not answered; empty where it was."""
    since: float = 0.0
    """When it last answered, or was first asked."""
    asked: float = 0.0


class Heartbeats:
    """The agents of one node."""

    def __init__(
        self, agents: Agents, serials: Callable[[], Mapping[str, str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Asks nothing yet.

        Args:
            agents: the door to them.
            serials: the serial number of each DPU as the host reads it; an agent of another one is not taken.
            clock: seconds.
        """
        self._agents: Final = agents
        self._serials: Final = serials
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._pulses: dict[str, Pulse] = {}
        self.changed: Final = threading.Event()
        """Set when an agent says something new; whoever discovers clears it."""

    def ask(self, dpu: str) -> Pulse:
        """What is known of a DPU's agent, asked now unless that was just done."""
        with self._lock:
            now = self._clock()
            before = self._pulses.get(dpu, Pulse(since=now))
            if before.asked and now - before.asked < _FRESH and not before.problem:
                return before
            try:
                report = self._agents.report(dpu)
                self._check(dpu, report)
                pulse = Pulse(report, "", now, now)
            except HardwareError as error:
                pulse = replace(before, problem=str(error), asked=now)
            self._pulses[dpu] = pulse
            if _lasting(pulse.report) != _lasting(before.report):
                self.changed.set()
            return pulse

    def silence(self, dpu: str) -> float:
        """Seconds since an agent last answered; 0 while it does."""
        with self._lock:
            pulse = self._pulses.get(dpu)
            return self._clock() - pulse.since if pulse is not None and pulse.problem else 0.0

    def _check(self, dpu: str, report: Report) -> None:
        if report.protocol != PROTOCOL:
            raise HardwareError(
                f"DPU {dpu}: its agent {report.version} speaks protocol {report.protocol}, the driver {PROTOCOL}"
            )
        here = self._serials().get(dpu, "")
        if report.serial and here and report.serial != here:
            raise HardwareError(f"DPU {dpu}: has serial number {here}, its agent is that of DPU {report.serial}")


def _lasting(report: Report | None) -> Report | None:
    """What is published of a report: claims and sub-functions come and go."""
    if report is None:
        return None
    ports = tuple(one for one in report.ports if one.function.kind != "sf")
    return structs.replace(report, claims=(), ports=ports)
