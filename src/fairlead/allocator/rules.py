"""Conditions on several devices together: which devices are accepted after which others.

A rule sees values: of an attribute, or the compatibility groups on a counter set. What it remembers of the devices so
far is one int, a set of values, so that a state of the search stays a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol

from fairlead.inventory import AttributeIndex, NodeView, Pool, attribute_values
from fairlead.resource import DeviceAttribute


class Index(Protocol):
    """Values by device, as `fairlead.inventory.AttributeIndex` has them for an attribute."""

    @property
    def present(self) -> int: ...
    @property
    def valueless(self) -> int: ...
    @property
    def multiple(self) -> bool: ...
    @property
    def values(self) -> Sized: ...
    @property
    def values_of(self) -> Sequence[int]: ...
    @property
    def masks(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class Table:
    """An index that is put together from others."""

    present: int
    valueless: int
    multiple: bool
    values: Sized
    values_of: Sequence[int]
    masks: Sequence[int]


class Rule:
    """A constraint on this node: which devices it accepts after which values were used.

    The state of a rule is a set of values: for a match those that all devices so far have in common (-1 before the
    first), for a distinct those that are used (0 before the first), with one bit more than there are values set once
    there is a device: values of no known type can only come first.
    """

    __slots__ = ("_accepted", "_failing", "attribute", "distinct", "index", "initial")

    def __init__(self, attribute: str, distinct: bool, index: Index, failing: int = 0) -> None:
        """Starts without devices.

        Args:
            attribute: what it is about.
            distinct: whether values must differ.
            index: the values of the devices.
            failing: devices that are let through, because looking at their values raises an error.
        """
        self.attribute = attribute
        self.distinct = distinct
        self.index = index
        self.initial = 0 if distinct else -1
        self._failing = failing
        self._accepted: dict[int, int] = {self.initial: index.present | failing}

    @property
    def condition(self) -> object:
        """Equal for rules that accept the same devices after the same ones."""
        return id(self.index), self.distinct, self._failing

    def accepted(self, state: int) -> int:
        """The devices that can be added in this state."""
        known = self._accepted.get(state)
        if known is None:
            using = self._with_any(state)
            known = self.index.present & ~(using | self.index.valueless) if self.distinct else using
            known |= self._failing
            self._accepted[state] = known
        return known

    def after(self, state: int, number: int) -> int:
        """The state once an accepted device is added."""
        values = self.index.values_of[number]
        return state | values | 1 << len(self.index.values) if self.distinct else state & values

    def _with_any(self, values: int) -> int:
        """The devices that have at least one of the values; bits above those of the values do not matter."""
        masks = self.index.masks
        values &= (1 << len(masks)) - 1
        mask = 0
        while values:
            bit = values & -values
            values ^= bit
            mask |= masks[bit.bit_length() - 1]
        return mask


def windows(
    view: NodeView, attribute: str, computed: Sequence[Sequence[DeviceAttribute | None]], masks: Sequence[int]
) -> tuple[list[Table], Table]:
    """What requests see of an attribute where some compute it for themselves, with the values numbered together.

    Args:
        view: the node.
        attribute: the attribute as the devices have it, which is the first window.
        computed: by further window, the attribute by device.
        masks: by window, the devices for which it is looked through.

    Returns:
        The windows, and all that any of them shows: what holds for that holds for each.
    """
    size = view.size
    own: list[DeviceAttribute | None] = []
    for record, _, _ in view.parts:
        own.extend(attribute_values(record.slice, attribute))
    index = AttributeIndex([one for column in (own, *computed) for one in column], view.features.list_type_attributes)
    tables: list[Table] = []
    for place, mask in enumerate(masks):
        shift = place * size
        values_of = [
            values if mask >> number & 1 else 0 for number, values in enumerate(index.values_of[shift : shift + size])
        ]
        tables.append(
            Table(
                index.present >> shift & mask,
                index.valueless >> shift & mask,
                index.multiple,
                index.values,
                values_of,
                [devices >> shift & mask for devices in index.masks],
            )
        )
    seen = [0] * size
    for table in tables:
        for number, values in enumerate(table.values_of):
            seen[number] |= values
    valueless = _union(table.valueless for table in tables)
    everything = Table(
        _union(table.present for table in tables),
        valueless,
        # Having a value for one request and none for another is more than one as well.
        any(values & values - 1 or (values and valueless >> number & 1) for number, values in enumerate(seen)),
        index.values,
        seen,
        [_union(table.masks[value] for table in tables) for value in range(len(index.masks))],
    )
    return tables, everything


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


class GroupRule(Rule):
    """Compatibility groups on one counter set (KEP-5963): all devices that draw on it must have a group in common.

    It is a match in which having no group is a group of its own. Devices that do not draw on the set have every value
    and so change nothing; one value more, which all devices have, stands for them, so that they are accepted too where
    devices in use have no group in common (their driver has changed its mind), which closes the set to all others.
    """

    __slots__ = ("affected", "key", "numbers")

    def __init__(self, key: tuple[int, str], name: str, size: int, groups_of: dict[int, frozenset[str]]) -> None:
        """Numbers the groups in order of devices.

        Args:
            key: number of the pool, and counter set.
            name: how messages call it.
            size: how many devices there are.
            groups_of: by device that draws on the set.
        """
        self.key = key
        self.affected = 0
        self.numbers: dict[str, int] = {}
        masks: list[int] = []
        values_of = [-1] * size
        for number, groups in groups_of.items():
            self.affected |= 1 << number
            own = 0
            for group in sorted(groups):
                place = self.numbers.setdefault(group, len(masks))
                if place == len(masks):
                    masks.append(0)
                masks[place] |= 1 << number
                own |= 1 << place
            values_of[number] = own
        others = (1 << size) - 1 & ~self.affected
        for number in groups_of:
            values_of[number] |= 1 << len(masks)
        masks = [mask | others for mask in masks]
        masks.append(others)
        super().__init__(name, False, Table((1 << size) - 1, 0, True, masks, values_of, masks))

    def begun(self, common: frozenset[str] | None) -> int:
        """The state with which a decision starts.

        Args:
            common: the groups that the devices in use have in common; None where there are none in use.
        """
        if common is None:
            return self.initial
        state = 1 << len(self.index.masks) - 1
        for group in common:
            if group in self.numbers:
                state |= 1 << self.numbers[group]
        return state


@dataclass(frozen=True, slots=True)
class Across:
    """A condition on devices of several claims together, which none of the claims states: whoever asks adds it.

    Requests with admin access are free of it, as they are of compatibility groups.
    """

    name: str
    """How messages call it."""
    distinct: bool
    """Whether values must differ; else all devices must have one in common."""
    members: tuple[tuple[int, int], ...]
    """Claim and request of each request that it is about."""
    values_of: tuple[int, ...]
    """By device of the node, the set of its values; 0 for a device that has none and so is not accepted."""
    used: tuple[int, ...] = ()
    """The sets of values of devices that count among them and are given already."""


class AcrossRule(Rule):
    """An `Across` in a problem: like a compatibility group it belongs to no claim, and never ends a search."""

    __slots__ = ("affected", "key", "members")

    def __init__(self, across: Across) -> None:
        self.members = across.members
        self.affected = present = 0
        union = 0
        for number, values in enumerate(across.values_of):
            present |= bool(values) << number
            union |= values
        masks = [
            sum(1 << number for number, values in enumerate(across.values_of) if values >> value & 1)
            for value in range(union.bit_length())
        ]
        self.affected = present
        multiple = any(values & values - 1 for values in across.values_of)
        super().__init__(across.name, across.distinct, Table(present, 0, multiple, masks, across.values_of, masks))
        self.key = (-1, "")
        for values in across.used:
            self.initial = self.initial | values | 1 << len(masks) if across.distinct else self.initial & values

    def begun(self, common: frozenset[str] | None) -> int:
        """The state with which a decision starts."""
        return self.initial


def group_rules(view: NodeView) -> list[GroupRule]:
    """A rule for every counter set on which not any devices go together."""
    if not view.features.compatibility_groups:
        return []
    drawing: dict[tuple[int, str], dict[int, frozenset[str]]] = {}
    for record, start, pool in view.parts:
        if not _grouped(view.pools[pool]):
            continue
        for index, device in enumerate(record.devices):
            for consumption in device.consumes_counters:
                sets = drawing.setdefault((pool, consumption.counter_set), {})
                sets[start + index] = frozenset(consumption.compatibility_groups or [""])
    rules: list[GroupRule] = []
    for key, groups_of in drawing.items():
        elsewhere = [
            frozenset(consumption.compatibility_groups or [""])
            for record in view.pools[key[0]].elsewhere
            for device in record.devices
            for consumption in device.consumes_counters
            if consumption.counter_set == key[1]
        ]
        if not frozenset.intersection(*groups_of.values(), *elsewhere):
            several = sum(other[1] == key[1] for other in drawing) > 1
            name = f"compatibility group on counter set {key[1]}{f' of pool #{key[0] + 1}' if several else ''}"
            rules.append(GroupRule(key, name, view.size, groups_of))
    return rules


def _grouped(pool: Pool) -> bool:
    return any(record.masks.grouping for record in (*pool.here, *pool.elsewhere))
