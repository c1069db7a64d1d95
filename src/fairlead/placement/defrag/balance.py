"""A proof that no moves help: moving pods makes no devices, it only changes which of them are free.

Looked at are the devices that the workload could use, those that pods which hold such devices could use instead, and so
on until the set is closed. Whoever leaves a device of the set then needs one of the set again. So the workload can
only get what is free in the set now, and what movers hold beyond the least that they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fairlead.inventory import DeviceId
from fairlead.placement.defrag.devices import held_by
from fairlead.placement.defrag.movable import Mover
from fairlead.placement.groups.roles import PodRole
from fairlead.placement.planner import Planner
from fairlead.placement.task import PlacementRefusedError
from fairlead.resource import ResourceClaim


@dataclass(frozen=True, slots=True)
class Shortage:
    """The workload needs more devices than can ever be free for it."""

    free: int
    """Suitable devices that are free, or that movers could do without."""
    needed: int


def shortage(planner: Planner, roles: Sequence[PodRole], movers: Iterable[Mover]) -> Shortage | None:
    """The proof, where there is one; None where moving pods may help, or where devices are shared.

    Raises:
        PlacementRefusedError: a claim of the roles cannot be allocated on any node.
    """
    devices = _Devices(planner)
    if devices.shared or any(used.extended for role in roles for used in role.first.claims):
        return None
    needed = 0
    suitable: set[DeviceId] = set()
    for role in roles:
        claims = [claim for claim in role.claims if planner.claims.present(claim).status.allocation is None]
        needed += len(role.pods) * devices.least(claims)
        suitable |= devices.usable(claims)
    waiting = [(mover, set(held_by(mover))) for mover in movers]
    spare = 0
    changed = True
    while changed:
        changed = False
        for mover, held in list(waiting):
            if held & suitable:
                waiting.remove((mover, held))
                claims = [used.claim for used in mover.planned.claims]
                try:
                    suitable |= devices.usable(claims)
                    spare += max(0, len(held) - devices.least(claims))
                except PlacementRefusedError:
                    continue  # it finds no other place, so it cannot move
                changed = True
    free = len(suitable & devices.free) + spare
    return Shortage(free, needed) if free < needed else None


class _Devices:
    """All devices that nodes reach."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._views = [view for name in planner.site.nodes if (view := planner.view(name)) is not None]
        self.shared = any(view.shared for view in self._views)
        self.free: set[DeviceId] = set()
        for view in self._views:
            held = view.occupancy.held
            self.free.update(view.device_id(number) for number in range(view.size) if not held >> number & 1)
        self._known: dict[object, set[DeviceId]] = {}

    def least(self, claims: Iterable[ResourceClaim]) -> int:
        """The least number of devices that the claims need."""
        return sum(self._planner.wanted(claim).shape.least for claim in claims)

    def usable(self, claims: Iterable[ResourceClaim]) -> set[DeviceId]:
        """The devices that could serve a request of the claims, whatever is taken."""
        shapes = tuple([self._planner.wanted(claim).shape for claim in claims])
        known = self._known.get(shapes)
        if known is None:
            known = self._known[shapes] = set()
            for view in self._views if shapes else ():
                mask = 0
                for slot in self._planner.site.allocator.problem(view, shapes).slots:
                    mask |= slot.mask | slot.all_mask
                known.update(view.device_id(number) for number in range(view.size) if mask >> number & 1)
        return known
