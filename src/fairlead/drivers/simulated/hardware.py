"""From a file of ResourceSlices to simulated drivers: one for each that the file names, with that node's devices.

The slices are those of one node: the node of our name, or the only one of the file, or the one that `node=` names; and
those that belong to no node, such as pools on a fabric.
"""

from __future__ import annotations

from pathlib import Path

from fairlead.driver import Driver, Pool
from fairlead.drivers.simulated.driver import SimulatedDriver
from fairlead.drivers.simulated.faults import Script
from fairlead.hardware import Machine
from fairlead.resource import Device, ResourceSlice, read_paths


def make(argument: str, node: str, machine: Machine) -> list[Driver]:
    """The drivers of `FILE[,node=NAME][,faults=FILE][,recover=SECONDS]`.

    Raises:
        OSError: a file cannot be read.
        ValueError: what it says cannot be used.
    """
    path, *more = argument.split(",")
    options = {key: value for key, _, value in (one.partition("=") for one in more)}
    if not path or options.keys() - {"node", "faults", "recover"}:
        raise ValueError(f"must be FILE[,node=NAME][,faults=FILE][,recover=SECONDS], is {argument!r}")
    objects, problems = read_paths([path])
    if problems:
        raise ValueError("; ".join(map(str, problems[:5])))
    nodes = sorted({one.spec.node_name for one in objects.slices if one.spec.node_name})
    chosen = options.get("node") or (nodes[0] if len(nodes) == 1 else node)
    slices = [one for one in objects.slices if one.spec.node_name == chosen or one.spec.node_name is None]
    if not any(one.spec.node_name for one in slices):
        raise ValueError(f"{path}: has no ResourceSlice of node {chosen}; nodes: {', '.join(nodes[:10]) or 'none'}")
    script = Script(Path(options["faults"]) if "faults" in options else None)
    names = sorted({one.spec.driver for one in slices})
    recover = float(options.get("recover", SimulatedDriver.recover_after))
    return [
        SimulatedDriver(name, _pools([one for one in slices if one.spec.driver == name], chosen), script, recover)
        for name in names
    ]


def _pools(slices: list[ResourceSlice], node: str) -> list[Pool]:
    pools = []
    for name in dict.fromkeys(one.spec.pool.name for one in slices):
        specs = [one.spec for one in slices if one.spec.pool.name == name]
        devices = [device for spec in specs for device in spec.devices]
        counters = [counter_set for spec in specs for counter_set in spec.shared_counters]
        # The pool of a node is named after it, and our node may have another name.
        own = "" if name == node else name
        pools.append(
            Pool(
                devices,
                counters,
                own,
                _parts(devices),
                reach="all nodes" if specs[0].all_nodes else specs[0].node_selector,
            )
        )
    return pools


def _parts(devices: list[Device]) -> dict[str, str]:
    """Partitions name their whole by its UUID, as MIG devices do."""
    wholes = {one.attributes["uuid"].string: one.name for one in devices if "uuid" in one.attributes}
    parents = {one.name: one.attributes["parentUUID"].string for one in devices if "parentUUID" in one.attributes}
    return {name: wholes[uuid] for name, uuid in parents.items() if uuid in wholes}
