"""From reports about devices to what the cluster is told: taints and health, with recovery and without flapping.

A device that is reported unhealthy is so at once. It is healthy again after it has been reported healthy for a while;
each time it fails again soon after, that while doubles, so a flapping device costs ever fewer writes and pods. A report
of "cannot tell" changes no taint.

What holds for a whole holds for its partitions; a partition that is unhealthy makes the whole that contains it so, but
not its siblings.

Pure: time comes in with each call, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from fairlead.driver.author import Effect, Health, Pool
from fairlead.driver.inventory import Inventory
from fairlead.resource import Device, DeviceTaint

Key = tuple[str, str]
"""Pool and device."""


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How long a device must be reported healthy before it counts as healthy, in seconds."""

    first: float = 30.0
    last: float = 600.0
    """The most that a flapping device waits."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is known of a device."""

    healthy: bool | None = True
    message: str = ""
    taint: DeviceTaint | None = None
    """Set as long as pods are to be kept away."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A device that has been reported unhealthy."""

    condition: Condition
    bad_at: float
    """When it was last reported unhealthy."""
    wait: float
    cleared_at: float | None = None


class HealthTracker:
    """The health of the devices of one driver."""

    def __init__(self, driver: str, effect: Effect, node: str, hysteresis: Hysteresis | None = None) -> None:
        """All devices are healthy.

        Args:
            driver: its name, the domain of the taint's key.
            effect: of the taint that a report brings which has none of its own.
            node: the name that stands for the pool in reports that name none.
            hysteresis: how long recovery takes.
        """
        self._taint: Final = DeviceTaint(key=f"{driver}/unhealthy", effect=effect)
        self._node: Final = node
        self._hysteresis: Final = hysteresis or Hysteresis()
        self._seen: dict[Key, _Seen] = {}
        self._unknown: dict[Key, str] = {}

    def report(self, reports: Iterable[Health], now: float) -> None:
        """Takes a new round of reports; devices without one are healthy."""
        heard = {(one.pool or self._node, one.device): one for one in reports}
        self._unknown = {key: one.message for key, one in heard.items() if one.healthy is None}
        for key, one in heard.items():
            if one.healthy is False:
                self._failed(key, one, now)
        for key, seen in list(self._seen.items()):
            known = heard.get(key)
            if known is None or known.healthy is True:
                self._well(key, seen, now)

    def conditions(self, inventory: Inventory) -> dict[Key, Condition]:
        """What is known of every device, partitions and wholes taken together."""
        own = {key: self._own(key) for key in inventory.devices}
        found = dict(own)
        for pool in inventory.pools:
            for part, whole in pool.parts.items():
                for to, of in ((part, whole), (whole, part)):
                    target, source = (pool.name, to), (pool.name, of)
                    if own[target].taint is None and own[source].taint is not None:
                        message = f"{of}: {own[source].message}"
                        found[target] = replace(own[source], message=message)
        return found

    def _own(self, key: Key) -> Condition:
        seen = self._seen.get(key)
        condition = seen.condition if seen is not None and seen.cleared_at is None else Condition()
        if key in self._unknown:
            return replace(condition, healthy=None, message=self._unknown[key])
        return condition

    def _failed(self, key: Key, report: Health, now: float) -> None:
        before = self._seen.get(key)
        wait = before.wait if before is not None else self._hysteresis.first
        if before is not None and before.cleared_at is not None:
            wait = min(wait * 2, self._hysteresis.last)
        condition = Condition(False, report.message, report.taint or self._taint)
        self._seen[key] = _Seen(condition, now, wait)

    def _well(self, key: Key, seen: _Seen, now: float) -> None:
        if seen.cleared_at is None:
            if now - seen.bad_at >= seen.wait:
                self._seen[key] = replace(seen, cleared_at=now)
        elif now - seen.cleared_at >= self._hysteresis.last:
            del self._seen[key]


def by_taints(driver: str, pools: Iterable[Pool]) -> list[Health]:
    """What slices of pools that many nodes reach say of health, for nodes that cannot ask the hardware's manager."""
    return [
        Health(device.name, False, f"has the taint {taint.key}", pool.name, taint)
        for pool in pools
        if pool.reach is not None
        for device in pool.devices
        for taint in device.taints
        if taint.key == f"{driver}/unhealthy"
    ]


def tainted(pools: Iterable[Pool], conditions: Mapping[Key, Condition]) -> list[Pool]:
    """The pools as they are to be published: with the taints of devices that are not healthy."""
    return [
        replace(pool, devices=[_tainted(device, conditions.get((pool.name, device.name))) for device in pool.devices])
        for pool in pools
    ]


def _tainted(device: Device, condition: Condition | None) -> Device:
    if condition is None or condition.taint is None:
        return device
    taint = condition.taint
    others = [one for one in device.taints if (one.key, one.effect) != (taint.key, taint.effect)]
    return msgspec.structs.replace(device, taints=[*others, taint])
