"""Where the claims that all pods of a gang share could get their devices, and which nodes reach those.

A pool that hangs off a rack or an NVLink domain serves the nodes of its selector alone, so a gang that shares a claim
on it is placed inside that set of nodes. Of the pools that one node reaches the first one is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.allocator import Decision, Wanted
from fairlead.inventory import DeviceId, NodeView, SelectorError, selects
from fairlead.placement.planner import Planner
from fairlead.resource import ResourceClaim

_MOST = 64
"""Sets of nodes that are looked at."""


@dataclass(frozen=True, slots=True)
class Home:
    """Devices for the shared claims, and the nodes that reach them; None for all."""

    devices: frozenset[DeviceId]
    nodes: frozenset[str] | None


def homes_of(planner: Planner, shared: Sequence[ResourceClaim]) -> list[Home]:
    """The homes for the shared claims that have no devices yet; one for all nodes where there is no such claim.

    Raises:
        PlacementRefusedError: a claim cannot be allocated on any node.
    """
    wanted = _open(planner, shared)
    if not wanted:
        return [Home(frozenset(), None)]
    homes: list[Home] = []
    seen: set[str] = set()
    for name in planner.site.nodes:
        view = planner.view(name)
        if name in seen or view is None:
            continue
        decision = planner.site.allocator.allocate(view, wanted)
        if not decision.fits or len(homes) == _MOST:
            continue
        devices = frozenset(view.device_id(pick.number) for pick in decision.picks or ())
        homes.append(Home(devices, _reached(planner, decision)))
        seen.update(homes[-1].nodes or planner.site.nodes)
    return homes


def others(planner: Planner, view: NodeView, home: Home, shared: Sequence[ResourceClaim]) -> int:
    """The devices of a node that could serve the shared claims but are not those of the home."""
    wanted = _open(planner, shared)
    if not wanted:
        return 0
    mask = 0
    for slot in planner.site.allocator.problem(view, tuple([claim.shape for claim in wanted])).slots:
        mask |= slot.mask
    for device in home.devices:
        number = view.number_of(device)
        if number is not None:
            mask &= ~(1 << number)
    return mask


def _open(planner: Planner, shared: Sequence[ResourceClaim]) -> list[Wanted]:
    return [planner.wanted(claim) for claim in shared if planner.claims.present(claim).status.allocation is None]


def _reached(planner: Planner, decision: Decision) -> frozenset[str] | None:
    selectors = [allocation.node_selector for allocation in decision.allocations(lambda: "")]
    given = [selector for selector in selectors if selector is not None]
    if not given:
        return None
    try:
        return frozenset(
            name
            for name, node in planner.site.nodes.items()
            if all(selects(selector, name, node.labels) for selector in given)
        )
    except SelectorError:
        return frozenset((decision.view.name,))
