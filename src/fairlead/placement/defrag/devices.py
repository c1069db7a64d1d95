"""Which devices movers hold, and who of them holds devices that several nodes reach."""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.inventory import DeviceId
from fairlead.placement.defrag.movable import Mover
from fairlead.placement.planner import Planner
from fairlead.resource import ResourceClaim


def roaming(planner: Planner, movers: Iterable[Mover]) -> list[Mover]:
    """The movers that hold devices of pools which a node other than their own reaches."""
    reached: dict[tuple[str, str], set[str]] = {}
    for name in planner.site.nodes:
        view = planner.view(name)
        for pool in view.pools if view is not None else ():
            reached.setdefault(pool.id, set()).add(name)
    return [
        mover
        for mover in movers
        if any(reached.get((device.driver, device.pool), set()) - {mover.node} for device in held_by(mover))
    ]


def held_by(mover: Mover) -> list[DeviceId]:
    """The devices that a mover has now."""
    return devices_of_claims(used.claim for used in mover.running.planned.claims)


def devices_of_claims(claims: Iterable[ResourceClaim]) -> list[DeviceId]:
    """The devices of allocated claims."""
    found: dict[str, ResourceClaim] = {claim.key: claim for claim in claims}
    return [
        DeviceId(result.driver, result.pool, result.device)
        for claim in found.values()
        if claim.status.allocation is not None
        for result in claim.status.allocation.devices.results
    ]
