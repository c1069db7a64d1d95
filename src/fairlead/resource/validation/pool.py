"""What is wrong between the slices of one pool; the API server, which sees one slice at a time, does not say it.

Only the newest generation of a pool counts. A pool with fewer slices than it announces is incomplete: nothing is
allocated from it. One with a device name or a counter set twice, or with counters that no slice has, is invalid.

Source: `k8s.io/dynamic-resource-allocation` resourceslice/validation.go and structured/internal/pools.go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fairlead.resource.problem import Problem, duplicate, invalid, not_found, object_label
from fairlead.resource.slice import CounterSet, ResourceSlice


def validate_pools(slices: Iterable[ResourceSlice]) -> list[Problem]:
    """The problems of all pools, in the order of the pools' first slices."""
    pools: dict[tuple[str, str], list[ResourceSlice]] = defaultdict(list)
    for item in slices:
        pools[item.spec.driver, item.spec.pool.name].append(item)
    problems: list[Problem] = []
    for (driver, pool), members in pools.items():
        newest = max(member.spec.pool.generation for member in members)
        current = [member for member in members if member.spec.pool.generation == newest]
        _check_count(driver, pool, current, problems)
        _check_devices(pool, current, problems)
        _check_counters(pool, current, problems)
    return problems


def _check_count(driver: str, pool: str, current: list[ResourceSlice], problems: list[Problem]) -> None:
    announced = current[0].spec.pool.resource_slice_count
    for item in current:
        count = item.spec.pool.resource_slice_count
        if count != announced:
            detail = f'slice "{current[0].name}" of the same pool and generation announces {announced}'
            problems.append(_problem(item, "spec.pool.resourceSliceCount", invalid(count, detail)))
            return
    if len(current) != announced:
        generation = current[0].spec.pool.generation
        much = "incomplete, nothing is allocated from it" if len(current) < announced else "invalid"
        detail = (
            f'pool "{pool}" of driver "{driver}" has {len(current)} of {announced} slices in generation {generation}'
        )
        reason = invalid(announced, f"{detail}: it is {much}")
        problems.append(_problem(current[0], "spec.pool.resourceSliceCount", reason))


def _check_devices(pool: str, current: list[ResourceSlice], problems: list[Problem]) -> None:
    owners: dict[str, str] = {}
    for item in current:
        for index, device in enumerate(item.spec.devices):
            owner = owners.setdefault(device.name, item.name)
            # Twice in one slice is the API server's to say.
            if owner != item.name:
                reason = f'{duplicate(device.name)}: slice "{owner}" of pool "{pool}" has it, too'
                problems.append(_problem(item, f"spec.devices[{index}].name", reason))


def _check_counters(pool: str, current: list[ResourceSlice], problems: list[Problem]) -> None:
    sets: dict[str, CounterSet] = {}
    owners: dict[str, str] = {}
    for item in current:
        for index, counters in enumerate(item.spec.shared_counters):
            owner = owners.setdefault(counters.name, item.name)
            if owner != item.name:
                reason = f'{duplicate(counters.name)}: slice "{owner}" of pool "{pool}" has it, too'
                problems.append(_problem(item, f"spec.sharedCounters[{index}].name", reason))
            sets.setdefault(counters.name, counters)
    for item in current:
        for index, device in enumerate(item.spec.devices):
            for number, consumed in enumerate(device.consumes_counters):
                path = f"spec.devices[{index}].consumesCounters[{number}]"
                found = sets.get(consumed.counter_set)
                if found is None:
                    reason = f'{not_found(consumed.counter_set)}: no slice of pool "{pool}" has this counter set'
                    problems.append(_problem(item, f"{path}.counterSet", reason))
                    continue
                for name in consumed.counters:
                    if name not in found.counters:
                        reason = f'{not_found(name)}: counter set "{found.name}" has no such counter'
                        problems.append(_problem(item, f"{path}.counters[{name}]", reason))


def _problem(item: ResourceSlice, field: str, reason: str) -> Problem:
    return Problem(object_label("ResourceSlice", "", item.name), field, reason)
