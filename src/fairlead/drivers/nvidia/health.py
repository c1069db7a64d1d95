"""From what GPUs report to the health of devices: taints in NVIDIA's words that go when the GPU has recovered.

| taint of gpu.nvidia.com | when | goes when |
| --- | --- | --- |
| `gpu-lost` | NVML has lost the GPU | NVML answers for it again |
| `xid` = number | an error that is not an application's | nothing has to be done any more, or time has passed |
| `recovery` = action | the driver says what has to be done (R570 and later) | it says no more |
| `ecc` | rows of memory failed and could not be replaced, or are replaced at the next reset | they are replaced |
| `fabric` = state | the GPU has not joined its NVLink fabric, or the fabric is unhealthy | it has |

XIDs of applications say nothing about the hardware and are skipped. An XID is told at least once, however quickly the
GPU recovers. An XID of an instance is that instance's. Source of the skipped XIDs: NVIDIA's XID catalogue, and the same
list in its driver.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from fairlead.driver import Health
from fairlead.drivers.nvidia.devices import Offer, Target
from fairlead.drivers.nvidia.discovery import Card
from fairlead.drivers.nvidia.nvml import LOST, NOT_RECORDED, Condition, Event, Nvml
from fairlead.hardware import HardwareError
from fairlead.resource import DeviceTaint

DOMAIN: Final = "gpu.nvidia.com"
APPLICATIONS: Final = frozenset({13, 31, 43, 45, 68, 109})
"""XIDs for what a program did wrong."""


@dataclass(slots=True)
class _Mark:
    """An XID that counts."""

    xid: int
    at: float
    told: bool = False


class Ills:
    """What was reported and counts still. Two threads use it: one hears, one asks."""

    def __init__(self, ignored: Iterable[int], hold: float) -> None:
        """Args:
        ignored: XIDs that do not count, beside those of applications.
        hold: seconds for which one counts where the kernel driver does not say what has to be done.
        """
        self._ignored: Final = APPLICATIONS | frozenset(ignored)
        self._hold: Final = hold
        self._marks: dict[tuple[str, str], _Mark] = {}
        self._lock: Final = threading.Lock()

    def hear(self, event: Event, device: str, now: float) -> None:
        """Takes an event.

        Args:
            event: of a GPU.
            device: that it concerns: an instance, or empty for the whole GPU.
            now: seconds of a clock that does not go back.
        """
        if event.xid not in self._ignored:
            with self._lock:
                self._marks[event.address, device] = _Mark(event.xid, now)

    def of(self, address: str, recovery: str | None, now: float) -> list[tuple[str, int]]:
        """The devices of a GPU with an XID that counts still, and the XID; empty names stand for the whole."""
        found = []
        with self._lock:
            for (where, device), mark in list(self._marks.items()):
                if where != address:
                    continue
                recovered = recovery == "none" if recovery is not None else now - mark.at >= self._hold
                if mark.told and recovered:
                    del self._marks[where, device]
                else:
                    mark.told = True
                    found.append((device, mark.xid))
        return found

    def clear(self, address: str) -> None:
        """Forgets what a GPU reported: it was lost."""
        with self._lock:
            self._marks = {key: mark for key, mark in self._marks.items() if key[0] != address}


def reports(nvml: Nvml, cards: Iterable[Card], offered: Offer, ills: Ills, now: float) -> Iterator[Health]:
    """The health of all devices that are not well, or of which nothing is known."""
    by_address: dict[str, list[str]] = {}
    for name, target in offered.targets.items():
        by_address.setdefault(target.card.address, []).append(name)
    for card in cards:
        names = by_address.get(card.address, [])
        whole = f"gpu-{card.gpu.minor}"
        # What holds for the whole holds for its parts: the kit passes it on, where the whole is published.
        all_of = [whole] if whole in names else names
        try:
            condition = nvml.condition(card.address)
        except HardwareError as error:
            if error.code in LOST:
                ills.clear(card.address)
                taint = DeviceTaint(f"{DOMAIN}/gpu-lost", "", "NoSchedule")
                yield from (Health(name, False, str(error), taint=taint) for name in all_of)
            elif error.code != NOT_RECORDED:
                yield from (Health(name, None, str(error)) for name in all_of)
            continue
        found: dict[str, tuple[str, DeviceTaint]] = {}
        for device, xid in ills.of(card.address, condition.recovery, now):
            why = f"{card.address}: XID {xid}", DeviceTaint(f"{DOMAIN}/xid", str(xid), "NoSchedule")
            found |= dict.fromkeys([device] if device in names else all_of, why)
        if (said := _of_gpu(card, condition)) is not None:
            found = dict.fromkeys(all_of, said) | found
        yield from (Health(name, False, text, taint=taint) for name, (text, taint) in found.items())


def device_of(event: Event, nvml: Nvml, offered: Offer) -> str:
    """The device of the instance that an event names; empty for the whole GPU, and where the instance is not ours."""
    if event.instance is None:
        return ""
    try:
        there = nvml.instances(event.address)
    except HardwareError:
        return ""
    for one in there:
        for name, target in offered.targets.items():
            if one.number == event.instance and _is(target, event.address, one.profile, one.start):
                return name
    return ""


def _is(target: Target, address: str, profile: int, start: int) -> bool:
    return (
        target.card.address == address
        and target.profile is not None
        and (target.profile.number, target.start) == (profile, start)
    )


def _of_gpu(card: Card, condition: Condition) -> tuple[str, DeviceTaint] | None:
    """What is wrong with the whole GPU, worst first."""
    address = card.address
    if condition.remap_failed:
        return f"{address}: memory rows could not be replaced", _taint("ecc", "remap-failed")
    if condition.remap_pending:
        return f"{address}: memory rows are replaced at the next reset", _taint("ecc", "remap-pending")
    if condition.recovery not in (None, "none"):
        return f"{address}: needs {condition.recovery}", _taint("recovery", str(condition.recovery))
    fabric = condition.fabric
    if fabric is not None and (fabric.state != "completed" or fabric.status or not fabric.healthy):
        state = fabric.state
        if state == "completed":
            state = f"status-{fabric.status}" if fabric.status else "unhealthy"
        return f"{address}: NVLink fabric: {state}", _taint("fabric", state)
    return None


def _taint(key: str, value: str) -> DeviceTaint:
    return DeviceTaint(f"{DOMAIN}/{key}", value, "NoSchedule")
