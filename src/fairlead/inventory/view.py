"""The devices of one node, numbered in the order in which they are tried.

A view is what the allocator works on: device i is bit i of every mask. What depends on the slices alone is computed
once and kept; what depends on claims is `Occupancy`, derived from the slices' `Usage` when it is asked for and thrown
away when a claim changes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.cel import Selector
from fairlead.inventory.attributes import AttributeIndex
from fairlead.inventory.content import Kinds, Matches, Reader, attribute_values
from fairlead.inventory.features import Features
from fairlead.inventory.holdings import Holdings
from fairlead.inventory.pool import InventoryError, Pool, node_matches
from fairlead.inventory.record import DeviceId, SliceRecord
from fairlead.inventory.selection import SelectorError
from fairlead.inventory.usage import CounterKey, Usage
from fairlead.resource import Device, DeviceAttribute, DeviceToleration

_SKIPS = "DRAOptionalNodeOperations"
"""Declared by a node whose kubelet leaves out what a slice lets it skip (KEP-5945)."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What is taken on a node; all masks over the view's devices, amounts in units of 10^-9."""

    held: int
    """Devices that a claim holds for itself."""
    started: int
    """Shared devices of which shares are held."""
    exhausted: int
    """Devices that use counters of a pool in which a counter is overdrawn: none of them can be taken."""
    counters: Mapping[tuple[int, str, str], int]
    """What is left of each counter: by pool number, counter set and counter; may be negative."""
    consumed: Mapping[int, Mapping[str, int]]
    """What shares take of each capacity, by device."""
    groups: Mapping[tuple[int, str], frozenset[str]] = field(default_factory=dict)
    """The compatibility groups that all devices in use on a counter set have in common, "" for having none: by pool
    number and counter set, where a pool has such groups and a device of the set is in use."""


class NodeView:
    """One node's devices. `features` are those that the view was made for."""

    __slots__ = (
        "_attributes",
        "_holdings",
        "_indices",
        "_kinds",
        "_matches",
        "_occupancy",
        "_starts",
        "_structure",
        "_tolerated",
        "_usages",
        "binding",
        "counting",
        "declared",
        "features",
        "labels",
        "name",
        "on_node",
        "parts",
        "pools",
        "problems",
        "shared",
        "size",
        "skipping",
        "valid",
    )

    def __init__(
        self,
        name: str,
        labels: Mapping[str, str],
        pools: Sequence[Pool],
        features: Features,
        usage_of: Callable[[SliceRecord], Usage],
        holdings: Holdings,
        kinds: Kinds,
        declared: frozenset[str] = frozenset(),
    ) -> None:
        """Numbers the devices of the usable pools.

        Raises:
            InventoryError: the node selector of a device cannot be evaluated.
        """
        self.name = name
        self.labels = labels
        self.declared = declared
        """The features that the node declares."""
        self.pools = tuple(pools)
        self.valid = not any(pool.invalid for pool in self.pools)
        """Whether no pool is invalid: one that is makes an error of what else would be a no."""
        self.features = features
        self.parts: list[tuple[SliceRecord, int, int]] = []
        """Each slice with the number of its first device and the number of its pool."""
        self.size = 0
        self.problems: dict[object, object] = {}
        """Room for what the allocator prepares for this view; lives and dies with it."""
        self._kinds = kinds
        self._starts: list[int] = []
        self._usages: list[list[tuple[Usage, int]]] = []
        self._matches: dict[tuple[Selector, ...], Matches] = {}
        self._tolerated: dict[tuple[DeviceToleration, ...], int] = {}
        self._attributes: dict[str, AttributeIndex] = {}
        self._indices: dict[DeviceId, int] | None = None
        self._occupancy: Occupancy | None = None
        self._holdings = holdings
        self._structure = -1
        self.binding = self.counting = self.shared = self.skipping = self.on_node = 0
        for number, pool in enumerate(self.pools):
            usages: list[tuple[Usage, int]] = []
            for record in pool.here:
                self.parts.append((record, self.size, number))
                self._starts.append(self.size)
                usages.append((usage_of(record), self.size))
                self._classify(record)
                self.size += len(record.devices)
            usages.extend((usage_of(record), -1) for record in pool.elsewhere)
            self._usages.append(usages)

    def _classify(self, record: SliceRecord) -> None:
        spec = record.slice.spec
        masks = record.masks
        self.binding |= masks.binding << self.size
        self.counting |= masks.counting << self.size
        if self.features.consumable_capacity:
            self.shared |= masks.sharing << self.size
        if spec.skip_node_operations and not (self.features.optional_node_operations and _SKIPS in self.declared):
            self.skipping |= record.full << self.size
        if not spec.per_device_node_selection:
            self.on_node |= record.full << self.size
            return
        for index, device in enumerate(record.devices):
            try:
                if node_matches(self.name, self.labels, device.node_name, device.all_nodes, device.node_selector):
                    self.on_node |= 1 << (self.size + index)
            except SelectorError as error:
                raise InventoryError(
                    f"failed to perform node selection for device {device.name} in slice {record.slice.name}: {error}"
                ) from None

    @property
    def common(self) -> dict[object, object]:
        """Room for what is prepared for views with the same content; lives and dies with their inventory."""
        return self._kinds.common

    def _where(self, number: int) -> tuple[SliceRecord, int, int]:
        """The slice, the index in it and the pool of a device."""
        record, start, pool = self.parts[bisect_right(self._starts, number) - 1]
        return record, number - start, pool

    def likeness(self, readers: Iterable[tuple[Reader, ...]], attributes: Iterable[str]) -> Hashable:
        """Equal for views whose devices, number by number, look the same to these readers and constraints.

        Views of equal likeness differ in names, in attributes that nobody looks at, and in what is taken.

        Args:
            readers: chains of selectors, or what else looks at values.
            attributes: qualified names; what matters is which devices have equal values, not which values.
        """
        if self._structure < 0:
            self._structure = self._kinds.number(self._describe())
        parts: list[Hashable] = [self._structure]
        for chain in readers:
            for record, _, _ in self.parts:
                parts.append(record.content.read(chain))
        for name in attributes:
            columns = tuple([record.content.column(name) for record, _, _ in self.parts])
            pattern = self._kinds.patterns.get(columns)
            if pattern is None:
                index = self.attribute(name)
                shape = (index.present, index.valueless, index.multiple, *index.values_of)
                pattern = self._kinds.patterns[columns] = self._kinds.number(shape)
            parts.append(pattern)
        return tuple(parts)

    def _describe(self) -> Hashable:
        pools: list[Hashable] = []
        for pool in self.pools:
            if not pool.usable:
                # Messages name the pool, so such a view is like no other.
                return ("unusable", id(self))
            counters = tuple(
                (counter_set.name, tuple((name, c.value.nano) for name, c in counter_set.counters.items()))
                for counter_set in pool.counter_sets.values()
            )
            here = tuple([record.content.base for record in pool.here])
            grouped = tuple([record.content.base for record in pool.elsewhere if record.masks.grouping])
            pools.append((pool.id[0], counters, here, grouped))
        return (self.features, self.on_node, self.skipping, tuple(pools))

    def device(self, number: int) -> Device:
        """The device of that number."""
        record, index, _ = self._where(number)
        return record.devices[index]

    def device_id(self, number: int) -> DeviceId:
        """The name of the device of that number."""
        record, index, _ = self._where(number)
        return record.device_id(index)

    def holders(self, number: int) -> list[str]:
        """The claims that hold the device of that number or shares of it, sorted."""
        return self._holdings.holders(self.device_id(number))

    def record(self, number: int) -> SliceRecord:
        """The slice that publishes the device of that number."""
        return self._where(number)[0]

    def pool_number(self, number: int) -> int:
        """Which of `pools` the device of that number belongs to."""
        return self._where(number)[2]

    def number_of(self, device: DeviceId) -> int | None:
        """The number of a device, or None where the node does not reach it."""
        if self._indices is None:
            self._indices = {self.device_id(number): number for number in range(self.size)}
        return self._indices.get(device)

    def matches(self, selectors: tuple[Selector, ...]) -> Matches:
        """The devices that all selectors match; errors by device number."""
        known = self._matches.get(selectors)
        if known is None:
            mask, errors = 0, {}
            for record, offset, _ in self.parts:
                part = record.matches(selectors)
                mask |= part.mask << offset
                for index, error in part.errors.items():
                    errors[index + offset] = error
            known = self._matches[selectors] = Matches(mask, errors)
        return known

    def tolerated(self, tolerations: tuple[DeviceToleration, ...]) -> int:
        """The devices whose taints do not keep a request with these tolerations away."""
        known = self._tolerated.get(tolerations)
        if known is None:
            known = 0
            for record, offset, _ in self.parts:
                known |= record.tolerated(tolerations) << offset
            self._tolerated[tolerations] = known
        return known

    def attribute(self, name: str) -> AttributeIndex:
        """The values of a fully qualified attribute on the devices."""
        known = self._attributes.get(name)
        if known is None:
            values: list[DeviceAttribute | None] = []
            for record, _, _ in self.parts:
                values.extend(attribute_values(record.slice, name))
            known = self._attributes[name] = AttributeIndex(values, self.features.list_type_attributes)
        return known

    def changed(self) -> None:
        """Says that claims on devices of the node have changed."""
        self._occupancy = None

    @property
    def occupancy(self) -> Occupancy:
        """What is taken now."""
        if self._occupancy is None:
            self._occupancy = self._derive(self._usages)
        return self._occupancy

    def unoccupied(self) -> Occupancy:
        """What would be taken if no claim held anything."""
        counters = {
            (number, counter_set.name, name): counter.value.nano
            for number, pool in enumerate(self.pools)
            for counter_set in pool.counter_sets.values()
            for name, counter in counter_set.counters.items()
        }
        return Occupancy(0, 0, 0, counters, {})

    def occupancy_without(self, claims: Collection[str] = (), devices: Collection[DeviceId] = ()) -> Occupancy:
        """What would be taken now if these claims held nothing, and nobody held these devices; nothing is changed.

        Args:
            claims: `namespace/name` of each.
            devices: devices that would be free of every holder, of those that share them too.
        """
        return self._derive(
            [
                [(_lighter(usage, self._holdings, claims, devices), offset) for usage, offset in usages]
                for usages in self._usages
            ]
        )

    def _derive(self, all_usages: Sequence[Sequence[tuple[Usage, int]]]) -> Occupancy:
        held = started = exhausted = 0
        counters: dict[tuple[int, str, str], int] = {}
        consumed: dict[int, Mapping[str, int]] = {}
        groups: dict[tuple[int, str], frozenset[str]] = {}
        for number, (pool, usages) in enumerate(zip(self.pools, all_usages, strict=True)):
            charged: dict[CounterKey, int] = {}
            pool_mask = 0
            if any(usage.record.masks.grouping for usage, _ in usages):
                groups.update(_common_groups(number, [usage for usage, _ in usages]))
            for usage, offset in usages:
                for key, amount in usage.counters.items():
                    charged[key] = charged.get(key, 0) + amount
                if offset < 0:
                    continue
                held |= usage.held << offset
                started |= usage.started << offset
                pool_mask |= usage.record.full << offset
                for index, amounts in usage.consumed.items():
                    consumed[index + offset] = amounts
            for counter_set in pool.counter_sets.values():
                for name, counter in counter_set.counters.items():
                    left = counter.value.nano - charged.get((counter_set.name, name), 0)
                    counters[number, counter_set.name, name] = left
                    if left < 0:
                        exhausted |= pool_mask & self.counting
        return Occupancy(held, started & self.shared, exhausted, counters, consumed, groups)


def _common_groups(pool: int, usages: Iterable[Usage]) -> dict[tuple[int, str], frozenset[str]]:
    """What the devices in use have in common on each counter set of a pool.

    A device that contradicts the others in having groups or none changes nothing, as in Kubernetes.
    """
    common: dict[tuple[int, str], frozenset[str]] = {}
    for usage in usages:
        used = usage.held | usage.started
        while used:
            bit = used & -used
            used ^= bit
            for consumption in usage.record.devices[bit.bit_length() - 1].consumes_counters:
                key = (pool, consumption.counter_set)
                groups = frozenset(consumption.compatibility_groups or [""])
                known = common.setdefault(key, groups)
                if "" not in known and "" not in groups:
                    common[key] = known & groups
    return common


def _lighter(usage: Usage, holdings: Holdings, claims: Collection[str], devices: Collection[DeviceId]) -> Usage:
    """What is taken of a slice's devices without what these claims hold, and without these devices."""
    rest, record = Holdings(), usage.record
    changed = False
    for device in map(record.device_id, range(len(record.devices))):
        if not holdings.in_use(device):
            continue
        if device in devices:
            changed = True
            continue
        alone = holdings.holding_alone(device)
        staying = [holder for holder in alone if holder not in claims]
        changed = changed or len(staying) < len(alone)
        if staying:
            rest.exclusive[device] = staying[0]
        shares = holdings.shares.get(device, {})
        freed = {share: name for share, name in shares.items() if name in claims}
        if len(freed) < len(shares):
            rest.shares[device] = {share: name for share, name in shares.items() if share not in freed}
        if device in holdings.consumed:
            rest.consumed[device] = dict(holdings.consumed[device])
            for share, name in freed.items():
                amounts = _consumed_by_share(holdings, name, device, share)
                rest.add_consumed(device, {key: -amount for key, amount in amounts.items()})
        changed = changed or bool(freed)
    return Usage(record, rest) if changed else usage


def _consumed_by_share(holdings: Holdings, claim: str, device: DeviceId, share: str) -> Mapping[str, int]:
    """What a share takes of the device's capacities, where the claim that holds it is known."""
    known = holdings.claim(claim)
    if known is None or known.status.allocation is None:
        return {}
    return {
        name: amount.nano
        for result in known.status.allocation.devices.results
        if result.share_id == share and (result.driver, result.pool, result.device) == device
        for name, amount in result.consumed_capacity.items()
    }
