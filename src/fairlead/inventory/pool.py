"""Resource pools as one node sees them: generation, completeness, validity and order.

The rules are those of Kubernetes' structured allocator (`GatherPools`, 1.37):

* Of the slices that reach the node only the highest generation of a pool counts. When they are fewer than the pool
  announces, all slices of the pool are looked at: a higher generation anywhere makes the pool invisible, otherwise
  they too count for completeness. More slices than announced is incomplete as well.
* Without the gate CompatibilityGroups slices with such groups count as not there, so their pool is incomplete: which
  devices go together could not be told.
* A pool with two devices of one name among those slices, two counter sets of one name, or a device that consumes
  from a counter that is not there, is invalid.
* Pools are ordered by driver, then name; those with a device that has binding conditions come after all others.
  Within a pool slices are ordered by name, within a slice devices keep their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.inventory.features import Features
from fairlead.inventory.record import PoolId, SliceRecord
from fairlead.inventory.selection import SelectorError, selects
from fairlead.resource import CounterSet, NodeSelector, ResourceSlice


class InventoryError(ValueError):
    """The published slices cannot be understood; no claim can be allocated on the node."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of devices that a node reaches.

    `here` are the slices that reach the node, in order, `elsewhere` the other slices with devices: their devices are
    not candidates, but the allocated ones among them use counters.
    """

    id: PoolId
    here: tuple[SliceRecord, ...] = ()
    elsewhere: tuple[SliceRecord, ...] = ()
    counter_sets: Mapping[str, CounterSet] = field(default_factory=dict)
    incomplete: str = ""
    invalid: str = ""

    @property
    def usable(self) -> bool:
        """Whether devices of the pool may be allocated."""
        return not self.incomplete and not self.invalid

    @property
    def name(self) -> str:
        """`driver/pool`, as messages show it."""
        return f"{self.id[0]}/{self.id[1]}"


def node_matches(
    node_name: str,
    labels: Mapping[str, str],
    wanted_name: str | None,
    all_nodes: bool | None,
    selector: NodeSelector | None,
) -> bool:
    """Whether a slice's or a device's node selection selects the node; the name wins over `allNodes` over a selector.

    Raises:
        SelectorError: the selector cannot be evaluated.
    """
    if wanted_name:
        return wanted_name == node_name
    if all_nodes:
        return True
    return selector is not None and selects(selector, node_name, labels)


def reaches(slice_: ResourceSlice, node_name: str, labels: Mapping[str, str]) -> bool:
    """Whether the slice has devices for the node.

    Raises:
        InventoryError: a node selector cannot be evaluated.
    """
    spec = slice_.spec
    try:
        if spec.node_name or spec.all_nodes or spec.node_selector is not None:
            return node_matches(node_name, labels, spec.node_name, spec.all_nodes, spec.node_selector)
        if spec.per_device_node_selection:
            return any(
                node_matches(node_name, labels, device.node_name, device.all_nodes, device.node_selector)
                for device in spec.devices
            )
    except SelectorError as error:
        raise InventoryError(f"failed to perform node selection for slice {slice_.name}: {error}") from None
    return False


def reaching(
    records: Iterable[SliceRecord], node_name: str, labels: Mapping[str, str], features: Features
) -> list[SliceRecord]:
    """The slices among some that have devices for the node.

    Raises:
        InventoryError: a node selector cannot be evaluated.
    """
    found = []
    for record in records:
        spec = record.slice.spec
        if not features.partitionable_devices and (spec.per_device_node_selection is not None or spec.shared_counters):
            continue
        if not features.compatibility_groups and record.masks.grouping:
            continue
        if reaches(record.slice, node_name, labels):
            found.append(record)
    return found


def gather(
    records: Iterable[SliceRecord], pool_records: Mapping[PoolId, Sequence[SliceRecord]], features: Features
) -> list[Pool]:
    """The pools that reach a node, in the order in which devices are tried.

    Args:
        records: the slices that reach the node (`reaching`).
        pool_records: all slices of each pool, of every generation and node.
    """
    here: dict[PoolId, list[SliceRecord]] = {}
    for record in records:
        known = here.get(record.pool_id)
        generation = record.slice.spec.pool.generation
        if known is None or generation > known[0].slice.spec.pool.generation:
            here[record.pool_id] = [record]
        elif generation == known[0].slice.spec.pool.generation:
            known.append(record)
    first: list[Pool] = []
    last: list[Pool] = []
    for pool_id in sorted(here):
        pool = _build(pool_id, here[pool_id], pool_records[pool_id], features)
        if pool is not None:
            (last if _has_binding_conditions(pool) else first).append(pool)
    return first + last


def whole(pool_id: PoolId, records: Sequence[SliceRecord], features: Features) -> Pool | None:
    """A pool with all of its devices, whoever reaches them: the slices of its newest generation.

    Args:
        pool_id: which pool.
        records: all slices of it, of every generation and node.
        features: what the cluster has.
    """
    if not records:
        return None
    newest = max(record.slice.spec.pool.generation for record in records)
    here = [record for record in records if record.slice.spec.pool.generation == newest]
    return _build(pool_id, here, records, features)


def _build(
    pool_id: PoolId, here: list[SliceRecord], everywhere: Sequence[SliceRecord], features: Features
) -> Pool | None:
    generation = here[0].slice.spec.pool.generation
    announced = here[0].slice.spec.pool.resource_slice_count
    elsewhere: list[SliceRecord] = []
    if len(here) != announced:
        if any(record.slice.spec.pool.generation > generation for record in everywhere):
            return None
        ours = set(map(id, here))
        elsewhere = [
            record
            for record in everywhere
            if record.slice.spec.pool.generation == generation
            and id(record) not in ours
            and (features.compatibility_groups or not record.masks.grouping)
        ]
        if (found := len(here) + len(elsewhere)) != announced:
            return Pool(pool_id, incomplete=f"{found} of {announced} slices of generation {generation} are there")
    here.sort(key=lambda record: record.slice.name)
    if not features.partitionable_devices:
        invalid = _duplicate_device(here)
        return Pool(pool_id, here=() if invalid else tuple(here), invalid=invalid)
    counting = [record for record in here + elsewhere if record.slice.spec.shared_counters]
    here = [record for record in here if not record.slice.spec.shared_counters]
    elsewhere = [record for record in elsewhere if not record.slice.spec.shared_counters]
    counter_sets: dict[str, CounterSet] = {}
    invalid = _duplicate_device(here)
    for record in counting:
        for counter_set in record.slice.spec.shared_counters:
            if counter_set.name in counter_sets:
                invalid = invalid or f"duplicate counter set name {counter_set.name}"
            counter_sets[counter_set.name] = counter_set
    invalid = invalid or _unknown_counter(here + elsewhere, counter_sets)
    if invalid:
        return Pool(pool_id, invalid=invalid)
    return Pool(pool_id, tuple(here), tuple(elsewhere), counter_sets)


def _duplicate_device(records: list[SliceRecord]) -> str:
    seen: set[str] = set()
    for record in records:
        for device in record.devices:
            if device.name in seen:
                return f"duplicate device name {device.name}"
            seen.add(device.name)
    return ""


def _unknown_counter(records: list[SliceRecord], counter_sets: Mapping[str, CounterSet]) -> str:
    for record in records:
        for device in record.devices:
            for consumption in device.consumes_counters:
                counter_set = counter_sets.get(consumption.counter_set)
                if counter_set is None:
                    return f"counter set {consumption.counter_set} not found"
                for counter in consumption.counters:
                    if counter not in counter_set.counters:
                        return f"counter {counter} not found in counter set {counter_set.name}"
    return ""


def _has_binding_conditions(pool: Pool) -> bool:
    return any(device.binding_conditions is not None for record in pool.here for device in record.devices)
