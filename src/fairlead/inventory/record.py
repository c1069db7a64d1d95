"""One published slice, prepared for fast questions about its devices.

A record is made once for each ResourceSlice object and kept as long as the slice is. All masks are ints used as
bitsets: bit i is the i-th device of the slice. What claims hold is not here; a record depends on the slice alone, and
what it computes is shared with slices of the same content.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead.cel import Derived, DeviceInput, EvaluationError, Selector, device_input
from fairlead.inventory.content import Content, Kinds, Masks, Matches
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


class SliceRecord:
    """A slice with its devices numbered in list order."""

    __slots__ = ("_inputs", "_kinds", "content", "devices", "full", "pool_id", "slice")

    def __init__(self, slice_: ResourceSlice, kinds: Kinds) -> None:
        self.slice = slice_
        self.devices: list[Device] = slice_.spec.devices
        self.pool_id: PoolId = (slice_.spec.driver, slice_.spec.pool.name)
        self.full = (1 << len(self.devices)) - 1
        self.content = Content(slice_, kinds)
        self._kinds = kinds
        self._inputs: dict[int, DeviceInput] = {}

    def device_id(self, index: int) -> DeviceId:
        """The cluster-wide name of the i-th device."""
        return DeviceId(*self.pool_id, self.devices[index].name)

    @property
    def masks(self) -> Masks:
        """Which devices have which traits."""
        known = self._kinds.masks.get(self.content.base)
        if known is None:
            binding = counting = grouping = sharing = 0
            for index, device in enumerate(self.devices):
                binding |= bool(device.binding_conditions) << index
                counting |= bool(device.consumes_counters) << index
                grouping |= any(c.compatibility_groups for c in device.consumes_counters) << index
                sharing |= bool(device.allow_multiple_allocations) << index
            known = self._kinds.masks[self.content.base] = Masks(binding, counting, grouping, sharing)
        return known

    def matches(self, selectors: tuple[Selector, ...]) -> Matches:
        """The devices that all selectors match. A selector is evaluated only where those before it match."""
        if not selectors:
            return Matches(self.full, {})
        key = (selectors, self.content.read(selectors))
        known = self._kinds.matches.get(key)
        if known is None:
            before = self.matches(selectors[:-1])
            known = self._kinds.matches[key] = self._evaluate(selectors[-1], len(selectors) - 1, before)
        return known

    def derived(self, derived: Derived, index: int) -> DeviceAttribute | EvaluationError:
        """A derived attribute of the i-th device, or why it has none."""
        key = (derived, self.content.read([derived]))
        values = self._kinds.derived.setdefault(key, {})
        known = values.get(index)
        if known is None:
            try:
                known = derived.value(self._input(index))
            except EvaluationError as error:
                known = error
            values[index] = known
        return known

    def tolerated(self, tolerations: tuple[DeviceToleration, ...]) -> int:
        """The devices whose NoSchedule and NoExecute taints are all tolerated."""
        key = (tolerations, self.content.base)
        known = self._kinds.tolerated.get(key)
        if known is None:
            known = sum(
                1 << index
                for index, device in enumerate(self.devices)
                if all(
                    taint.effect not in ("NoSchedule", "NoExecute")
                    or any(tolerates(one, taint.key, taint.value, taint.effect) for one in tolerations)
                    for taint in device.taints
                )
            )
            self._kinds.tolerated[key] = known
        return known

    def _evaluate(self, selector: Selector, position: int, before: Matches) -> Matches:
        mask, errors = 0, dict(before.errors)
        remaining = before.mask
        while remaining:
            bit = remaining & -remaining
            remaining ^= bit
            index = bit.bit_length() - 1
            try:
                if selector.matches(self._input(index)):
                    mask |= bit
            except EvaluationError as error:
                errors[index] = (position, str(error))
        return Matches(mask, errors)

    def _input(self, index: int) -> DeviceInput:
        """What selectors see of the i-th device."""
        made = self._inputs.get(index)
        if made is None:
            device = self.devices[index]
            made = self._inputs[index] = device_input(
                self.slice.spec.driver,
                device.attributes,
                {name: capacity.value for name, capacity in device.capacity.items()},
                bool(device.allow_multiple_allocations),
            )
        return made


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
