"""What is measured of a cluster: how much of its devices is allocated, and how much of the rest is of no use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fairlead.placement import Site
from fairlead.placement.packing import UNIT, Fragmentation, TypicalPod, left_of, shapes_of


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
    devices = free = stuck = 0.0
    for name, node in site.nodes.items():
        view = site.view(name)
        left = left_of(node, view)
        devices += view.on_node.bit_count()
        free += sum(left.free) / UNIT
        stuck += fragmentation.hardware(view).fragmentation(left)
    return Measures(
        allocated=100.0 * (1 - free / devices) if devices else 0.0,
        fragmentation=100.0 * stuck / free if free else 0.0,
    )
