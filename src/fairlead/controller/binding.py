"""Devices that must be made ready before a pod is bound (KEP-5007), and that could not be.

kube-scheduler waits until all binding conditions of a device are true in `status.devices`, and gives up where one of
its failure conditions is.
"""

from __future__ import annotations

from msgspec.structs import replace

from fairlead.resource import ResourceClaim, ResourceClaimStatus


def failed(claim: ResourceClaim) -> ResourceClaim | None:
    """The claim with those of its devices that could not be made ready; None where there are none."""
    allocation = claim.status.allocation
    if allocation is None:
        return None
    said = {
        (status.driver, status.pool, status.device): {one.type for one in status.conditions if one.status == "True"}
        for status in claim.status.devices
    }
    results = [
        one
        for one in allocation.devices.results
        if said.get((one.driver, one.pool, one.device), set()) & set(one.binding_failure_conditions)
    ]
    if not results:
        return None
    allocation = replace(allocation, devices=replace(allocation.devices, results=results))
    meta = replace(claim.metadata, name=f"{claim.name} (failed)")
    return replace(claim, metadata=meta, status=ResourceClaimStatus(allocation=allocation))
