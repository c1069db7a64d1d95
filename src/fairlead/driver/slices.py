"""Which ResourceSlices should be there, and the fewest writes from those that are.

Pure. Rules:

* A pool is cut into slices of at most 128 devices, or 64 where a device has taints, counters or list attributes, or may
  get a taint later: else a taint would cut the pool anew. Counter sets have slices of their own, before the devices.
* The name of a slice starts with its place in the pool, since allocators go through a pool's slices by name. It has no
  random part, so that a creation whose answer was lost, and two instances of a driver, do not make two of it.
* Consumers use a pool's highest generation, once it has all of its slices. One write leads from one consistent pool to
  another, so it keeps the generation; where it takes more, all slices get the next one.
* A slice belongs to its node (owner reference), and goes with it. Slices of other nodes and drivers are not looked at.
* A pool that many nodes reach belongs to none. Who publishes it is no node, and looks at the driver's slices that name
  no node.
* The server's time of a taint stays: pods that tolerate it for some seconds must not start anew.
* What the server dropped because a feature is off is not sent again and again: it is remembered with what was sent.

Source: the limits of `k8s.io/api` resource/v1 1.37; behaviour of resourceslice/resourceslicecontroller.go of
`k8s.io/dynamic-resource-allocation` 0.37. Slices with devices and counters together, as before 1.35, are not made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from msgspec.structs import replace

from fairlead.driver.author import Pool
from fairlead.resource import (
    CounterSet,
    Device,
    NodeSelector,
    ObjectMeta,
    OwnerReference,
    Problem,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
    to_builtins,
    validate,
    validate_pools,
)

DEVICES_MAX: Final = 128
DEVICES_MAX_ADVANCED: Final = 64
COUNTER_SETS_MAX: Final = 8
_NAME_MAX: Final = 253
_VERSION: Final = "resource.k8s.io/v1"
_Item = TypeVar("_Item")
_Content = tuple[list[Device], list[CounterSet]]
_index = re.compile("([0-9a-f]{5,})-")

Remembered = Mapping[str, tuple[ResourceSliceSpec, ResourceSliceSpec]]
"""By name of a slice: what was sent, and what the server made of it where that is less."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Whose slices these are."""

    driver: str
    node: str
    """Empty for pools that belong to no node."""
    node_uid: str
    taints_come: bool
    """Whether devices may get taints later."""


@dataclass(frozen=True, slots=True)
class SliceWrite:
    """One request to the API server."""

    verb: Literal["create", "update", "delete"]
    item: ResourceSlice


def plan(
    of: Publication, pools: Iterable[Pool], existing: Sequence[ResourceSlice], remembered: Remembered
) -> list[SliceWrite]:
    """The writes that are missing, in the order in which they must be made.

    Args:
        of: whose slices.
        pools: what should be there, each with its name.
        existing: the driver's slices of the node.
        remembered: of earlier writes, what the server did not take.
    """
    by_pool: dict[str, list[ResourceSlice]] = {}
    for item in existing:
        by_pool.setdefault(item.spec.pool.name, []).append(item)
    writes = []
    for pool in pools:
        writes += _plan_pool(of, pool, by_pool.pop(pool.name, []), remembered)
    return writes + [SliceWrite("delete", item) for items in by_pool.values() for item in items]


def problems_of(of: Publication, pools: Iterable[Pool]) -> list[Problem]:
    """What the API server would say of these pools; it is better known before anything of them is written."""
    slices = [write.item for write in plan(of, pools, [], {})]
    found = [problem for item in slices for problem in validate(item)]
    return found or validate_pools(slices)


def driver_name_faults(name: str) -> str:
    """Why this is no name of a driver; empty where it is one."""
    spec = ResourceSliceSpec(driver=name, pool=ResourcePool("p", 1, 1), node_name="n")
    item = ResourceSlice(metadata=ObjectMeta(name="s"), spec=spec)
    return "; ".join(problem.reason for problem in validate(item) if problem.field == "spec.driver")


def dropped_fields(sent: ResourceSlice, stored: ResourceSlice) -> list[str]:
    """Paths of what was sent and is not there: fields whose feature is off in the API server."""
    return sorted(set(_missing(to_builtins(sent)["spec"], to_builtins(stored)["spec"], "spec")))


def _plan_pool(of: Publication, pool: Pool, existing: list[ResourceSlice], remembered: Remembered) -> list[SliceWrite]:
    if pool.reach is not None:
        of = Publication(of.driver, "", "", of.taints_come)
    contents = _cut(pool, of.taints_come)
    current, obsolete = _by_place(existing, len(contents))
    times = _times(existing)
    generation = max((item.spec.pool.generation for item in existing), default=1)
    specs = [_spec(of, pool, content, generation, len(contents), times) for content in contents]
    changed = [
        place
        for place, spec in enumerate(specs)
        if place not in current or not _is(current[place], spec, of, remembered)
    ]
    if existing and len(changed) + len(obsolete) > 1:
        generation += 1
        specs = [_spec(of, pool, content, generation, len(contents), times) for content in contents]
        changed = list(range(len(specs)))
    writes = []
    for place in changed:
        if place in current:
            metadata = replace(current[place].metadata, owner_references=_owners(of))
            writes.append(SliceWrite("update", replace(current[place], metadata=metadata, spec=specs[place])))
        else:
            metadata = ObjectMeta(name=slice_name(of, pool.name, place), owner_references=_owners(of))
            item = ResourceSlice(api_version=_VERSION, kind="ResourceSlice", metadata=metadata, spec=specs[place])
            writes.append(SliceWrite("create", item))
    return writes + [SliceWrite("delete", item) for item in obsolete]


def slice_name(of: Publication, pool: str, place: int) -> str:
    """The name of the slice at that place in a pool."""
    ending = hashlib.sha256(f"{of.driver}\0{of.node}\0{pool}".encode()).hexdigest()[:8]
    start = f"{place:05x}-{of.driver}-{of.node or pool.replace('/', '.')}"[: _NAME_MAX - len(ending) - 1].rstrip("-.")
    return f"{start}-{ending}"


def _cut(pool: Pool, taints_come: bool) -> list[_Content]:
    advanced = taints_come or any(map(_is_advanced, pool.devices))
    most = DEVICES_MAX_ADVANCED if advanced else DEVICES_MAX
    contents: list[_Content] = [([], sets) for sets in _in_parts(pool.counters, COUNTER_SETS_MAX)]
    contents += [(devices, []) for devices in _in_parts(pool.devices, most)]
    return contents or [([], [])]


def _in_parts(items: Sequence[_Item], most: int) -> list[list[_Item]]:
    return [list(items[at : at + most]) for at in range(0, len(items), most)]


def _is_advanced(device: Device) -> bool:
    """Whether a device has what halves the number of devices that a slice may hold."""
    lists = (value.ints or value.bools or value.strings or value.versions for value in device.attributes.values())
    return bool(device.taints or device.consumes_counters) or any(one is not None for one in lists)


def _by_place(existing: list[ResourceSlice], count: int) -> tuple[dict[int, ResourceSlice], list[ResourceSlice]]:
    """The slices that may stay, by place in the pool, and all others."""
    current: dict[int, ResourceSlice] = {}
    obsolete = []
    for item in sorted(existing, key=lambda one: (-one.spec.pool.generation, one.name)):
        found = _index.match(item.name)
        place = int(found[1], 16) if found else count
        if place < count and place not in current:
            current[place] = item
        else:
            obsolete.append(item)
    return current, obsolete


def _spec(
    of: Publication,
    pool: Pool,
    content: _Content,
    generation: int,
    count: int,
    times: Mapping[tuple[str, str, str, str], str],
) -> ResourceSliceSpec:
    devices, counters = content
    return ResourceSliceSpec(
        driver=of.driver,
        pool=ResourcePool(name=pool.name, generation=generation, resource_slice_count=count),
        node_name=of.node or None,
        node_selector=pool.reach if isinstance(pool.reach, NodeSelector) else None,
        all_nodes=True if pool.reach == "all nodes" else None,
        devices=[_timed(device, times) if device.taints else device for device in devices],
        shared_counters=counters,
    )


def _times(existing: Iterable[ResourceSlice]) -> dict[tuple[str, str, str, str], str]:
    """When the server saw the taints that devices have; the first, should it stand twice."""
    found: dict[tuple[str, str, str, str], str] = {}
    for item in existing:
        for device in item.spec.devices:
            for taint in device.taints:
                if taint.time_added is not None:
                    key = (device.name, taint.key, taint.value, taint.effect)
                    found[key] = min(taint.time_added, found.get(key, taint.time_added))
    return found


def _timed(device: Device, times: Mapping[tuple[str, str, str, str], str]) -> Device:
    taints = [
        replace(taint, time_added=times.get((device.name, taint.key, taint.value, taint.effect)))
        if taint.time_added is None
        else taint
        for taint in device.taints
    ]
    return replace(device, taints=taints)


def _is(item: ResourceSlice, spec: ResourceSliceSpec, of: Publication, remembered: Remembered) -> bool:
    """Whether a slice is as it should be."""
    if item.metadata.owner_references != _owners(of):
        return False
    if item.spec == spec:
        return True
    sent, stored = remembered.get(item.name, (None, None))
    return sent == spec and stored == item.spec


def _owners(of: Publication) -> list[OwnerReference]:
    if not of.node:
        return []
    return [OwnerReference(api_version="v1", kind="Node", name=of.node, uid=of.node_uid, controller=True)]


def _missing(sent: Any, stored: Any, path: str) -> list[str]:
    if isinstance(sent, dict) and isinstance(stored, dict):
        found = []
        for key, value in sent.items():
            inner = f"{path}.{key}"
            found += _missing(value, stored[key], inner) if key in stored else [inner]
        return found
    if isinstance(sent, list) and isinstance(stored, list):
        if len(sent) > len(stored):
            return [path]
        return [one for new, old in zip(sent, stored, strict=False) for one in _missing(new, old, f"{path}[]")]
    return []
