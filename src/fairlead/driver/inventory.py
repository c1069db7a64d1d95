"""What a driver discovered: a value that is made anew at every discovery, checked before anybody sees it.

A discovery that the API server would refuse is refused here, with the reasons of the API server's own validation, so
that what was published before stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fairlead.driver.author import Pool
from fairlead.resource import CounterSet, Device


class DiscoveryError(Exception):
    """What was discovered cannot be published; the text names pool, device and reason."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The pools of a driver on this node, and ways to look things up in them."""

    pools: Sequence[Pool] = ()
    devices: Mapping[tuple[str, str], Device] = field(default_factory=dict)
    """By pool and device."""
    counters: Mapping[tuple[str, str], CounterSet] = field(default_factory=dict)
    """By pool and name of the set."""


def make_inventory(found: Pool | Iterable[Pool], node: str) -> Inventory:
    """The inventory of what `Driver.discover` returned; a pool without a name gets the node's.

    Raises:
        DiscoveryError: pools or devices have the same name, or name what is not there.
    """
    pools = [found] if isinstance(found, Pool) else list(found)
    if any(pool.reach is not None and not pool.name for pool in pools):
        raise DiscoveryError("a pool that other nodes reach needs a name of its own")
    pools = [replace(pool, name=pool.name or node) for pool in pools]
    devices: dict[tuple[str, str], Device] = {}
    counters: dict[tuple[str, str], CounterSet] = {}
    names = [pool.name for pool in pools]
    if double := [name for name in names if names.count(name) > 1]:
        raise DiscoveryError(f"pool {double[0]}: was discovered twice: give pools names of their own")
    for pool in pools:
        for counter_set in pool.counters:
            counters[pool.name, counter_set.name] = counter_set
        for device in pool.devices:
            if (pool.name, device.name) in devices:
                raise DiscoveryError(f"pool {pool.name}: device {device.name}: was discovered twice")
            devices[pool.name, device.name] = device
            for consumed in device.consumes_counters:
                if (pool.name, consumed.counter_set) not in counters:
                    where = f"pool {pool.name}: device {device.name}"
                    raise DiscoveryError(f"{where}: consumes counter set {consumed.counter_set}, which the pool lacks")
        for part, whole in pool.parts.items():
            for name in (part, whole):
                if (pool.name, name) not in devices:
                    raise DiscoveryError(f"pool {pool.name}: parts: device {name} is not in the pool")
    return Inventory(pools, devices, counters)
