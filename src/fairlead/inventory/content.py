"""Slices that are alike, told by small numbers, and what is computed once for all of them.

Thousands of nodes hold the same few kinds of hardware. Two slices with the same base and the same column of an
attribute give the same answers to everything that looks at no other attribute, so the answers are shared.

The base is everything of the devices but names and attribute values: which attributes there are, capacities and their
policies, counters, taints, flags, and for whom a device is. A column is one attribute's values over the devices.
Equal numbers mean equal content, within one `Kinds`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from fairlead.cel import Derived, EvaluationError, Selector
from fairlead.resource import Device, DeviceAttribute, DeviceToleration, ResourceSlice, Semver


class Matches(NamedTuple):
    """Which devices a chain of selectors matches; `errors` maps a device's index to selector index and text."""

    mask: int
    errors: dict[int, tuple[int, str]]


class Masks(NamedTuple):
    """Devices of a slice with a trait that the allocator asks for."""

    binding: int
    """Those with binding conditions."""
    counting: int
    """Those that consume counters."""
    grouping: int
    """Those with compatibility groups."""
    sharing: int
    """Those that allow multiple allocations."""


class Reader(Protocol):
    """Something whose answers depend on some attributes of a device."""

    @property
    def reads(self) -> frozenset[str] | None:
        """The attributes, as `fairlead.cel` names them; None where it may be any."""


class Kinds:
    """Numbers for content, and what was computed for slices of a content."""

    __slots__ = ("_numbers", "common", "derived", "masks", "matches", "patterns", "tolerated")

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.common: dict[object, object] = {}
        """Room for what others prepare for content."""
        self.derived: dict[tuple[Derived, tuple[int, ...]], dict[int, DeviceAttribute | EvaluationError]] = {}
        """By derived attribute and the content that it reads: its value, or why there is none, by device index."""
        self.masks: dict[int, Masks] = {}
        """By base."""
        self.matches: dict[tuple[tuple[Selector, ...], tuple[int, ...]], Matches] = {}
        """By selectors and the content that they read."""
        self.tolerated: dict[tuple[tuple[DeviceToleration, ...], int], int] = {}
        """By tolerations and base."""
        self.patterns: dict[tuple[int, ...], int] = {}
        """By the columns of an attribute over several slices: which devices have equal values."""

    def number(self, thing: Hashable) -> int:
        """The number of a thing, a new one where it was never seen."""
        return self._numbers.setdefault(thing, len(self._numbers))


class Content:
    """One slice's numbers."""

    __slots__ = ("_columns", "_kinds", "_slice", "base")

    def __init__(self, slice_: ResourceSlice, kinds: Kinds) -> None:
        spec = slice_.spec
        own = tuple([_base(device) for device in spec.devices])
        self.base = kinds.number(
            (spec.driver, bool(spec.per_device_node_selection), tuple(spec.skip_node_operations), own)
        )
        self._slice = slice_
        self._kinds = kinds
        self._columns: dict[str, int] = {}

    def column(self, attribute: str) -> int:
        """The number of a qualified attribute's values over the devices."""
        known = self._columns.get(attribute)
        if known is None:
            values = [_value(device) for device in attribute_values(self._slice, attribute)]
            known = self._columns[attribute] = self._kinds.number((attribute, *values))
        return known

    def columns(self, names: Iterable[str]) -> tuple[int, ...]:
        """The numbers of the base, and of those attributes among some that devices of the slice have under that name.

        Equal for slices of which these attributes have the same values, device by device.
        """
        present = self._kinds.common.get(("present", self.base))
        if present is None:
            present = {name for device in self._slice.spec.devices for name in device.attributes}
            self._kinds.common["present", self.base] = present
        assert isinstance(present, set)
        return (self.base, *[self.column(name) for name in names if name in present])

    def read(self, readers: Sequence[Reader]) -> tuple[int, ...]:
        """The numbers of all that the readers (selectors, for example) can see of the slice.

        A reader whose reach is not known sees everything, which no other slice is taken to share.
        """
        numbers = [self.base]
        for reader in readers:
            if reader.reads is None:
                return (self.base, -1 - self._kinds.number(("slice", id(self))))
            for name in reader.reads:
                numbers.extend(self._columns_of(name))
        return tuple(numbers)

    def _columns_of(self, name: str) -> list[int]:
        driver = self._slice.spec.driver
        if name.startswith("/"):
            name = driver + name
        if not name.endswith("/*"):
            return [self.column(name)]
        domain = name[:-1]
        qualified = {
            given if "/" in given else f"{driver}/{given}"
            for device in self._slice.spec.devices
            for given in device.attributes
        }
        return [self.column(one) for one in sorted(qualified) if one.startswith(domain)]


def attribute_values(slice_: ResourceSlice, name: str) -> list[DeviceAttribute | None]:
    """The value of a fully qualified attribute on each device, as constraints look it up.

    The exact name wins; a name in the driver's own domain is also looked up without the domain.
    """
    domain, _, short = name.partition("/")
    if domain != slice_.spec.driver:
        return [device.attributes.get(name) for device in slice_.spec.devices]
    return [device.attributes.get(name) or device.attributes.get(short) for device in slice_.spec.devices]


def _value(attribute: DeviceAttribute | None) -> Hashable:
    if attribute is None:
        return None
    if attribute.string is not None:
        return attribute.string
    if attribute.int_ is not None:
        return ("int", attribute.int_)
    if attribute.bool_ is not None:
        return ("bool", attribute.bool_)
    return repr(attribute), ()


def _base(device: Device) -> Hashable:
    capacity: tuple[Hashable, ...] = ()
    if device.capacity:
        capacity = tuple(
            [
                (name, amount.value.nano, amount.request_policy and _encoded(amount.request_policy))
                for name, amount in device.capacity.items()
            ]
        )
    plain = not (
        device.consumes_counters
        or device.taints
        or device.binding_conditions is not None
        or device.allow_multiple_allocations
        or device.binds_to_node
        or device.node_name is not None
        or device.node_selector is not None
        or device.all_nodes
    )
    rest = None if plain else _encoded(msgspec.structs.replace(device, name="", attributes={}, capacity={}))
    return (tuple(device.attributes), capacity, rest, _unreadable(device))


def _encoded(struct: msgspec.Struct) -> bytes:
    return msgspec.json.encode(struct, enc_hook=str)


def _unreadable(device: Device) -> Hashable:
    """What sets a device apart whose attributes cannot all be read.

    Every selector fails on such a device, whatever it looks at (see `fairlead.cel.device_input`).
    """
    for attribute in device.attributes.values():
        if attribute.version is not None:
            try:
                Semver.parse(attribute.version)
            except ValueError:
                return repr(device.attributes)
        elif attribute == _NOTHING or attribute.versions is not None:
            return repr(device.attributes)
    return None


_NOTHING = DeviceAttribute()
