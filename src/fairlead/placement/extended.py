"""Extended resources that a DeviceClass maps (KEP-5004): a device plugin on the node goes before devices.

A pod that asks for `example.com/gpu: 2` gets a claim made for it, with a request for each container's amount. On a
node that advertises the resource in `status.allocatable` the device plugin serves it, so the request drops out of the
claim there; elsewhere devices serve it, and the node's lack of the resource is no obstacle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from fairlead.resource import DeviceClass, DeviceRequest, ResourceClaim

_IMPLICIT = "deviceclass.resource.kubernetes.io/"


def resource_names(claim: ResourceClaim, classes: Mapping[str, DeviceClass], asked: Iterable[str]) -> dict[str, str]:
    """The extended resource behind each request of a claim that was made for such resources, by request name.

    Args:
        claim: the claim.
        classes: device classes by name.
        asked: the resources that the pod asks for.
    """
    wanted = set(asked)
    names = {}
    for request in claim.spec.devices.requests:
        device_class = classes.get(request.exactly.device_class_name) if request.exactly is not None else None
        if device_class is None:
            continue
        explicit = device_class.spec.extended_resource_name
        names[request.name] = explicit if explicit in wanted and explicit else _IMPLICIT + device_class.name
    return names


def without(claim: ResourceClaim, requests: frozenset[str]) -> ResourceClaim:
    """The claim without some of its requests."""
    devices = claim.spec.devices
    kept: list[DeviceRequest] = [request for request in devices.requests if request.name not in requests]
    spec = msgspec.structs.replace(claim.spec, devices=msgspec.structs.replace(devices, requests=kept))
    return msgspec.structs.replace(claim, spec=spec)
