"""One published slice, prepared for fast questions about its devices.

A record is made once for each ResourceSlice object and kept as long as the slice is: selectors are evaluated on its
devices once, attribute values are indexed once. All masks are ints used as bitsets: bit i is the i-th device of the
slice. What claims hold is not here; a record depends on the slice alone.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead.cel import DeviceInput, EvaluationError, Selector, device_input
from fairlead.resource import Device, DeviceAttribute, DeviceToleration, ResourceSlice

PoolId = tuple[str, str]
"""Driver and pool name."""


class DeviceId(NamedTuple):
    """What names a device in the whole cluster."""

    driver: str
    pool: str
    device: str

    def __str__(self) -> str:
        return f"{self.driver}/{self.pool}/{self.device}"

    @classmethod
    def parse(cls, text: str) -> DeviceId:
        """`driver/pool/device`, where the pool name may hold slashes.

        Raises:
            ValueError: fewer than three parts.
        """
        driver, _, rest = text.partition("/")
        pool, _, device = rest.rpartition("/")
        if not (driver and pool and device):
            raise ValueError(f"{text!r}: must be driver/pool/device")
        return cls(driver, pool, device)


class Matches(NamedTuple):
    """Which devices a chain of selectors matches; `errors` maps a device's index to selector index and text."""

    mask: int
    errors: dict[int, tuple[int, str]]


class SliceRecord:
    """A slice with its devices numbered in list order."""

    __slots__ = ("_attributes", "_inputs", "_matches", "_tolerated", "devices", "full", "pool_id", "slice")

    def __init__(self, slice_: ResourceSlice) -> None:
        self.slice = slice_
        self.devices: list[Device] = slice_.spec.devices
        self.pool_id: PoolId = (slice_.spec.driver, slice_.spec.pool.name)
        self.full = (1 << len(self.devices)) - 1
        self._inputs: list[DeviceInput | None] = [None] * len(self.devices)
        self._matches: dict[tuple[Selector, ...], Matches] = {}
        self._tolerated: dict[tuple[DeviceToleration, ...], int] = {}
        self._attributes: dict[str, tuple[DeviceAttribute | None, ...]] = {}

    def device_id(self, index: int) -> DeviceId:
        """The cluster-wide name of the i-th device."""
        return DeviceId(*self.pool_id, self.devices[index].name)

    def input(self, index: int) -> DeviceInput:
        """What selectors see of the i-th device."""
        made = self._inputs[index]
        if made is None:
            device = self.devices[index]
            made = self._inputs[index] = device_input(
                self.slice.spec.driver,
                device.attributes,
                {name: capacity.value for name, capacity in device.capacity.items()},
                bool(device.allow_multiple_allocations),
            )
        return made

    def matches(self, selectors: tuple[Selector, ...]) -> Matches:
        """The devices that all selectors match. A selector is evaluated only where those before it match."""
        if not selectors:
            return Matches(self.full, {})
        known = self._matches.get(selectors)
        if known is None:
            before = self.matches(selectors[:-1])
            known = self._matches[selectors] = self._evaluate(selectors[-1], len(selectors) - 1, before)
        return known

    def _evaluate(self, selector: Selector, position: int, before: Matches) -> Matches:
        mask, errors = 0, dict(before.errors)
        remaining = before.mask
        while remaining:
            bit = remaining & -remaining
            remaining ^= bit
            index = bit.bit_length() - 1
            try:
                if selector.matches(self.input(index)):
                    mask |= bit
            except EvaluationError as error:
                errors[index] = (position, str(error))
        return Matches(mask, errors)

    def tolerated(self, tolerations: tuple[DeviceToleration, ...]) -> int:
        """The devices whose NoSchedule and NoExecute taints are all tolerated."""
        known = self._tolerated.get(tolerations)
        if known is None:
            known = 0
            for index, device in enumerate(self.devices):
                if all(
                    taint.effect not in ("NoSchedule", "NoExecute")
                    or any(tolerates(toleration, taint.key, taint.value, taint.effect) for toleration in tolerations)
                    for taint in device.taints
                ):
                    known |= 1 << index
            self._tolerated[tolerations] = known
        return known

    def attribute(self, name: str) -> tuple[DeviceAttribute | None, ...]:
        """The value of a fully qualified attribute on each device, as constraints look it up.

        The exact name wins; a name in the driver's own domain is also looked up without the domain.
        """
        known = self._attributes.get(name)
        if known is None:
            domain, _, short = name.partition("/")
            fallback = short if domain == self.slice.spec.driver else None
            known = self._attributes[name] = tuple(
                device.attributes.get(name) or (device.attributes.get(fallback) if fallback is not None else None)
                for device in self.devices
            )
        return known


def tolerates(toleration: DeviceToleration, key: str, value: str, effect: str) -> bool:
    """Whether a toleration accepts a taint (KEP-5055: an empty key or effect accepts every one)."""
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.key and toleration.key != key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == value
        case "Exists":
            return True
        case _:
            return False
