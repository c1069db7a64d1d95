"""A driver whose hardware is a list of devices, and whose faults are a script. The first driver on the kit."""

# ruff: noqa: RUF012 - msgspec copies the empty defaults

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import ClassVar, Final

from fairlead.driver import (
    Claim,
    Config,
    DeviceNode,
    Driver,
    Edits,
    Health,
    Pool,
    PreparedDevice,
    PrepareError,
    look_for_changes,
)
from fairlead.drivers.simulated.faults import Script

_LOOK: Final = 0.5
"""Seconds between two looks at what the script says now."""


class SimulatedConfig(Config, frozen=True):
    """What users may configure: more environment for the containers."""

    api_version: ClassVar[str] = "simulated.fairlead.dev/v1"
    env: dict[str, str] = {}


class SimulatedDriver(Driver):
    """One driver of simulated hardware."""

    configs = (SimulatedConfig,)

    def __init__(self, name: str, pools: Sequence[Pool], script: Script, recover_after: float) -> None:
        """Args:
        name: of the driver.
        pools: its hardware.
        script: its faults.
        recover_after: seconds of health before a taint goes.
        """
        self.name = name
        self.recover_after = recover_after
        self._pools = pools
        self._script = script

    def discover(self) -> Iterable[Pool]:
        """The hardware without what is lost."""
        lost = self._script.acting("lost").keys()
        return [
            replace(
                pool,
                devices=[one for one in pool.devices if one.name not in lost],
                parts={part: whole for part, whole in pool.parts.items() if not {part, whole} & lost},
            )
            for pool in self._pools
        ]

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """A node that is /dev/null, and a variable that says for which request the device is."""
        for device in claim.devices:
            if slow := self._script.acting("slow").get(device.name):
                time.sleep(slow.seconds)
            if failing := self._script.acting("failing").get(device.name):
                raise PrepareError(f"{device.name}: {failing.message}")
            config = device.config(SimulatedConfig)
            variable = re.sub("[^A-Z0-9]", "_", f"SIMULATED_{self.name}_{device.name}".upper())
            edits = Edits(
                env={variable: device.request, **(config.env if config else {})},
                device_nodes=[
                    DeviceNode(path=f"/dev/simulated/{device.name}", host_path="/dev/null", permissions="rw")
                ],
            )
            yield device.prepared(edits, attributes=device.device.attributes if device.device else None)

    def unprepare(self, claim: Claim) -> None:
        """Preparing changed nothing."""

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Tells when something is lost or comes back."""
        look_for_changes(lambda: self._script.acting("lost").keys(), changed, stop, _LOOK)

    def health(self) -> list[Health]:
        """What the script says."""
        bad = self._script.acting("unhealthy") | self._script.acting("flapping")
        places = [(pool.name, device.name) for pool in self._pools for device in pool.devices]
        return [Health(name, False, bad[name].message, pool) for pool, name in places if name in bad]
