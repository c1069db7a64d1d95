"""Extended resources that a DeviceClass maps (KEP-5004): a device plugin on the node goes before devices.

A pod that asks for `example.com/gpu: 2` gets a claim made for it, with a request for each container's amount. On a
node that advertises the resource in `status.allocatable` the device plugin serves it, so the request drops out of the
claim there; elsewhere devices serve it, and the node's lack of the resource is no obstacle.
"""

from __future__ import annotations

import msgspec

from fairlead.resource import PodClaim, ResourceClaim


def resources_of_requests(used: PodClaim) -> dict[str, str]:
    """The extended resource behind each request of a claim that was made for such resources, by request name."""
    return {request: resource for resource, requests in used.extended.items() for request in requests}


def without(claim: ResourceClaim, requests: frozenset[str]) -> ResourceClaim:
    """The claim without some of its requests."""
    devices = claim.spec.devices
    kept = [request for request in devices.requests if request.name not in requests]
    spec = msgspec.structs.replace(claim.spec, devices=msgspec.structs.replace(devices, requests=kept))
    return msgspec.structs.replace(claim, spec=spec)
