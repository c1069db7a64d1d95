"""What is measured of a cluster: how much of its devices is allocated, and how much of the rest is of no use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fairlead.placement import Site
from fairlead.placement.packing import (
    UNIT,
    Fragmentation,
    Left,
    TypicalPod,
    cpu_left,
    free_parts,
    memory_left,
    shapes_of,
)


class Measures(NamedTuple):
    """The state of a cluster in two figures, in percent."""

    allocated: float
    """The part of all devices that claims hold, of shared devices that part which shares take."""
    fragmentation: float
    """The part of the free devices that typical pods could not use (`placement.packing.fragmentation`); 0 where
    nothing is free."""


def measure(site: Site, typical: Sequence[TypicalPod]) -> Measures:
    """Measures all nodes of a site.

    Args:
        site: the cluster.
        typical: the pods for which free devices should be of use.
    """
    fragmentation = Fragmentation(shapes_of(typical, site.allocator), site.allocator)
    devices = free = idle = stuck = 0.0
    for name, node in site.nodes.items():
        view = site.view(name)
        parts = free_parts(view)
        hardware = fragmentation.hardware(view)
        devices += view.on_node.bit_count()
        free += sum(parts) / UNIT
        idle += hardware.idle(parts)
        stuck += hardware.fragmentation(Left(cpu_left(node), memory_left(node), parts))
    return Measures(
        allocated=100.0 * (1 - free / devices) if devices else 0.0,
        fragmentation=100.0 * stuck / idle if idle else 0.0,
    )
