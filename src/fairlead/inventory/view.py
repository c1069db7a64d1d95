"""The devices of one node, numbered in the order in which they are tried.

A view is what the allocator works on: device i is bit i of every mask. What depends on the slices alone is computed
once and kept; what depends on claims is `Occupancy`, derived from the slices' `Usage` when it is asked for and thrown
away when a claim changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairlead.cel import Selector
from fairlead.inventory.attributes import AttributeIndex
from fairlead.inventory.features import Features
from fairlead.inventory.holdings import Holdings
from fairlead.inventory.pool import InventoryError, Pool, node_matches
from fairlead.inventory.record import DeviceId, Matches, SliceRecord
from fairlead.inventory.selection import SelectorError
from fairlead.inventory.usage import CounterKey, Usage
from fairlead.resource import Device, DeviceAttribute, DeviceToleration


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


class NodeView:
    """One node's devices. `features` are those that the view was made for."""

    __slots__ = (
        "_attributes",
        "_holdings",
        "_indices",
        "_matches",
        "_occupancy",
        "_tolerated",
        "_usages",
        "_where",
        "binding",
        "counting",
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
    )

    def __init__(
        self,
        name: str,
        labels: Mapping[str, str],
        pools: Sequence[Pool],
        features: Features,
        usage_of: Callable[[SliceRecord], Usage],
        holdings: Holdings,
    ) -> None:
        """Numbers the devices of the usable pools.

        Raises:
            InventoryError: the node selector of a device cannot be evaluated.
        """
        self.name = name
        self.labels = labels
        self.pools = tuple(pools)
        self.features = features
        self.parts: list[tuple[SliceRecord, int, int]] = []
        """Each slice with the number of its first device and the number of its pool."""
        self.size = 0
        self.problems: dict[object, object] = {}
        """Room for what the allocator prepares for this view; lives and dies with it."""
        self._where: list[tuple[SliceRecord, int, int]] = []
        self._usages: list[list[tuple[Usage, int]]] = []
        self._matches: dict[tuple[Selector, ...], Matches] = {}
        self._tolerated: dict[tuple[DeviceToleration, ...], int] = {}
        self._attributes: dict[str, AttributeIndex] = {}
        self._indices: dict[DeviceId, int] | None = None
        self._occupancy: Occupancy | None = None
        self._holdings = holdings
        self.binding = self.counting = self.shared = self.skipping = self.on_node = 0
        for number, pool in enumerate(self.pools):
            usages: list[tuple[Usage, int]] = []
            for record in pool.here:
                self.parts.append((record, self.size, number))
                usages.append((usage_of(record), self.size))
                for index, device in enumerate(record.devices):
                    self._classify(device, record, 1 << (self.size + index))
                    self._where.append((record, index, number))
                self.size += len(record.devices)
            usages.extend((usage_of(record), -1) for record in pool.elsewhere)
            self._usages.append(usages)

    def _classify(self, device: Device, record: SliceRecord, bit: int) -> None:
        spec = record.slice.spec
        if device.binding_conditions:
            self.binding |= bit
        if device.consumes_counters:
            self.counting |= bit
        if self.features.consumable_capacity and device.allow_multiple_allocations:
            self.shared |= bit
        if spec.skip_node_operations:
            self.skipping |= bit
        try:
            if not spec.per_device_node_selection or node_matches(
                self.name, self.labels, device.node_name, device.all_nodes, device.node_selector
            ):
                self.on_node |= bit
        except SelectorError as error:
            raise InventoryError(
                f"failed to perform node selection for device {device.name} in slice {record.slice.name}: {error}"
            ) from None

    def device(self, number: int) -> Device:
        """The device of that number."""
        record, index, _ = self._where[number]
        return record.devices[index]

    def device_id(self, number: int) -> DeviceId:
        """The name of the device of that number."""
        record, index, _ = self._where[number]
        return record.device_id(index)

    def holders(self, number: int) -> list[str]:
        """The claims that hold the device of that number or shares of it, sorted."""
        return self._holdings.holders(self.device_id(number))

    def record(self, number: int) -> SliceRecord:
        """The slice that publishes the device of that number."""
        return self._where[number][0]

    def pool_number(self, number: int) -> int:
        """Which of `pools` the device of that number belongs to."""
        return self._where[number][2]

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
                values.extend(record.attribute(name))
            known = self._attributes[name] = AttributeIndex(values, self.features.list_type_attributes)
        return known

    def changed(self) -> None:
        """Says that claims on devices of the node have changed."""
        self._occupancy = None

    @property
    def occupancy(self) -> Occupancy:
        """What is taken now."""
        if self._occupancy is None:
            self._occupancy = self._derive()
        return self._occupancy

    def _derive(self) -> Occupancy:
        held = started = exhausted = 0
        counters: dict[tuple[int, str, str], int] = {}
        consumed: dict[int, Mapping[str, int]] = {}
        for number, (pool, usages) in enumerate(zip(self.pools, self._usages, strict=True)):
            charged: dict[CounterKey, int] = {}
            pool_mask = 0
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
        return Occupancy(held, started & self.shared, exhausted, counters, consumed)
