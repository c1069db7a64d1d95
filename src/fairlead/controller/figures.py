"""How many devices are free, and how they lie: per driver and device class, and per level of the topology.

A device is in one state:

    held        a claim has it, or shares of it
    tainted     nobody has it, and a taint keeps away whoever does not tolerate it
    short       nobody has it, but too little is left of a counter that it uses: another partition of the same hardware
    unusable    no node can reach it: its pool is incomplete or invalid, or its node is not there; only by driver
    free        anybody may have it

Domains are counted for the devices of nodes alone: what hangs off a fabric lies in none. Made from a snapshot in one
go: the cost grows with the devices and classes, so ask for it seldom and not where somebody waits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from fairlead.cel import CompileError, Selector, compile_selector
from fairlead.inventory import Inventory, InventoryError, NodeView
from fairlead.placement import Cluster
from fairlead.resource import DeviceClass, ResourceSlice
from fairlead.topology import Rules, build_tree, default_rules

STATES: Final = ("free", "held", "tainted", "short", "unusable")
NODE: Final = "node"
"""The narrowest level: each node is a domain."""


@dataclass(slots=True)
class DeviceFigures:
    """Counts of devices and domains."""

    by_driver: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Devices by driver and state."""
    by_class: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Devices by device class and state; one that is in several classes counts in each."""
    free_domains: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By class and level, the domains all of whose devices of the class are free."""
    most_free: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By class and level, the most free devices of the class that one domain has."""


def device_figures(cluster: Cluster, rules: Rules | None = None) -> DeviceFigures:
    """The figures of a cluster.

    Args:
        cluster: nodes, slices, classes, claims and taint rules; pods do not matter.
        rules: the levels of the topology; the shipped ones where absent.
    """
    figures = DeviceFigures()
    inventory = Inventory(cluster.slices, cluster.claims, cluster.taint_rules, cluster.features)
    classes = list(_compiled(cluster.classes))
    tree = build_tree({node.name: node.metadata.labels for node in cluster.nodes}, rules or default_rules())
    levels = [*(level.name for level in tree.levels), NODE]
    free: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    there: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    counted: set[str] = set()
    for node in cluster.nodes:
        try:
            view = inventory.view(node.name, node.metadata.labels)
        except InventoryError:
            continue
        states = _states(view)
        fresh, local = _new(view, counted)
        for driver, mask in _drivers(view):
            for state, devices in states.items():
                figures.by_driver[driver, state] += (devices & mask & fresh).bit_count()
        path = (*tree.paths[node.name], node.name)
        for name, selectors in classes:
            matching = view.matches(selectors).mask
            for state, devices in states.items():
                figures.by_class[name, state] += (devices & matching & fresh).bit_count()
            own = matching & local
            if not own:
                continue
            for level, domain in zip(levels, path, strict=True):
                if domain:
                    there[name, level][domain] += own.bit_count()
                    free[name, level][domain] += (own & states["free"]).bit_count()
    for driver, count in _unreached(cluster.slices, counted):
        figures.by_driver[driver, "unusable"] += count
    for key, domains in there.items():
        figures.free_domains[key] = sum(free[key][domain] == count for domain, count in domains.items())
        figures.most_free[key] = max(free[key].values())
    return figures


def _compiled(classes: Sequence[DeviceClass]) -> Iterator[tuple[str, tuple[Selector, ...]]]:
    """The classes that we understand: nobody gets a device of the others."""
    for one in classes:
        if any(each.cel is None for each in one.spec.selectors):
            continue
        try:
            yield one.name, tuple(compile_selector(each.cel.expression) for each in one.spec.selectors if each.cel)
        except CompileError:
            continue


def _states(view: NodeView) -> dict[str, int]:
    """The devices in each state, every device in one."""
    occupancy = view.occupancy
    held = occupancy.held | occupancy.started
    tainted = ~held & ~view.tolerated(()) & ((1 << view.size) - 1)
    left = ~held & view.tolerated(())
    short = sum(1 << number for number in _bits(left & view.counting) if _is_short(view, number))
    return {"free": left & ~short, "held": held, "tainted": tainted, "short": short}


def _unreached(slices: Sequence[ResourceSlice], counted: set[str]) -> Iterator[tuple[str, int]]:
    """The devices of slices that count for no node, by driver; older generations are the same devices again."""
    newest: dict[tuple[str, str], int] = {}
    for one in slices:
        pool = (one.spec.driver, one.spec.pool.name)
        newest[pool] = max(newest.get(pool, 0), one.spec.pool.generation)
    for one in slices:
        current = one.spec.pool.generation == newest[one.spec.driver, one.spec.pool.name]
        if current and one.name not in counted:
            yield one.spec.driver, len(one.spec.devices)


def _is_short(view: NodeView, number: int) -> bool:
    """Whether a counter has not enough left for a device."""
    pool, left = view.pool_number(number), view.occupancy.counters
    return any(
        left.get((pool, use.counter_set, name), 0) < amount.value.nano
        for use in view.device(number).consumes_counters
        for name, amount in use.counters.items()
    )


def _new(view: NodeView, counted: set[str]) -> tuple[int, int]:
    """The devices that no node before could reach, and those that only this node reaches."""
    fresh = local = 0
    for record, start, _ in view.parts:
        bits = record.full << start
        if record.slice.spec.node_name:
            local |= bits
        if record.slice.name not in counted:
            counted.add(record.slice.name)
            fresh |= bits
    return fresh, local


def _drivers(view: NodeView) -> Iterator[tuple[str, int]]:
    masks: Counter[str] = Counter()
    for record, start, _ in view.parts:
        masks[record.pool_id[0]] |= record.full << start
    yield from masks.items()


def _bits(mask: int) -> Iterator[int]:
    while mask:
        bit = mask & -mask
        mask ^= bit
        yield bit.bit_length() - 1
