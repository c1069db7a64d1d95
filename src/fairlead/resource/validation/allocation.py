"""The rules for the status of a ResourceClaim: what it got and who uses it.

The API server checks names and references here, and no more: not that a device exists, matches, or is free.

Source: validateResourceClaimStatusUpdate of `k8s.io/kubernetes`, for a status that is written the first time.
"""

from __future__ import annotations

import re
from typing import Final

from fairlead.resource.claim import (
    AllocatedDeviceStatus,
    AllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaimConsumerReference,
    ResourceClaimStatus,
)
from fairlead.resource.problem import forbidden, invalid, required, too_long, unsupported
from fairlead.resource.validation.claim import CONFIGS_MAX, RequestNames, check_configuration, check_raw
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_node_selector
from fairlead.resource.validation.names import check_driver, check_label, check_pool
from fairlead.resource.validation.slice import check_binding, check_skipped_operations
from fairlead.resource.validation.taint import check_toleration

RESULTS_MAX: Final = 32
RESERVED_FOR_MAX: Final = 256
CONDITIONS_MAX: Final = 8
DATA_MAX: Final = 10 * 1024
IPS_MAX: Final = 16
INTERFACE_NAME_MAX: Final = 256
HARDWARE_ADDRESS_MAX: Final = 128

_SOURCES: Final = ("FromClaim", "FromClass")
_uid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_DeviceKey = tuple[str, str, str, str | None]


def check_status(errors: Errors, status: ResourceClaimStatus, names: RequestNames) -> None:
    """`status` of a claim."""
    if errors.limit(status.reserved_for, RESERVED_FOR_MAX, "status.reservedFor"):
        errors.each(status.reserved_for, "status.reservedFor", _check_consumer)
        errors.unique((user.uid for user in status.reserved_for), "status.reservedFor")
    allocated: set[_DeviceKey] = set()
    if status.allocation is not None:
        results = status.allocation.devices.results
        allocated = {(result.driver, result.pool, result.device, result.share_id) for result in results}
    for index, device in enumerate(status.devices):
        _check_device_status(errors, device, allocated, f"status.devices[{index}]")
    keys = ("/".join(filter(None, _key(device))) for device in status.devices)
    errors.unique(keys, "status.devices")
    if status.reserved_for and status.allocation is None:
        errors.add("status.reservedFor", forbidden("may not be specified when `allocated` is not set"))
    if status.allocation is not None:
        _check_allocation(errors, status.allocation, names, "status.allocation")


def _check_consumer(errors: Errors, user: ResourceClaimConsumerReference, path: str) -> None:
    for value, name in ((user.resource, "resource"), (user.name, "name"), (user.uid, "uid")):
        if not value:
            errors.add(f"{path}.{name}", required())


def _check_allocation(errors: Errors, allocation: AllocationResult, names: RequestNames, path: str) -> None:
    results = allocation.devices.results
    if errors.limit(results, RESULTS_MAX, f"{path}.devices.results"):
        for index, result in enumerate(results):
            _check_result(errors, result, names, f"{path}.devices.results[{index}]")
    configs = allocation.devices.config
    if errors.limit(configs, 2 * CONFIGS_MAX, f"{path}.devices.config"):
        for index, config in enumerate(configs):
            where = f"{path}.devices.config[{index}]"
            if not config.source:
                errors.add(f"{where}.source", required())
            elif config.source not in _SOURCES:
                errors.add(f"{where}.source", unsupported(config.source, _SOURCES))
            names.check_list(errors, config.requests, f"{where}.requests")
            check_configuration(errors, config.opaque, where)
    if allocation.node_selector is not None:
        check_node_selector(errors, allocation.node_selector, f"{path}.nodeSelector")


def _check_result(errors: Errors, result: DeviceRequestAllocationResult, names: RequestNames, path: str) -> None:
    names.check(errors, result.request, f"{path}.request")
    _check_device(errors, result, path)
    check_binding(errors, result.binding_conditions, result.binding_failure_conditions, path)
    errors.each(result.tolerations, f"{path}.tolerations", check_toleration)
    check_skipped_operations(errors, result.skip_node_operations, f"{path}.skipNodeOperations")


def _check_device(errors: Errors, device: DeviceRequestAllocationResult | AllocatedDeviceStatus, path: str) -> None:
    check_driver(errors, device.driver, f"{path}.driver")
    check_pool(errors, device.pool, f"{path}.pool")
    check_label(errors, device.device, f"{path}.device")
    if device.share_id is not None and not _uid.fullmatch(device.share_id):
        errors.add(f"{path}.shareID", invalid(device.share_id, "must be a lowercase UUID in 8-4-4-4-12 format"))


def _check_device_status(errors: Errors, device: AllocatedDeviceStatus, allocated: set[_DeviceKey], path: str) -> None:
    _check_device(errors, device, path)
    if _key(device) not in allocated:
        names = ("Driver", "Pool", "Device", "ShareID")
        shown = dict(zip(names, (part or "" for part in _key(device)), strict=True))
        errors.add(path, invalid(shown, "must be an allocated device in the claim"))
    errors.limit(device.conditions, CONDITIONS_MAX, f"{path}.conditions")
    if device.data is not None:
        check_raw(errors, device.data, f"{path}.data", DATA_MAX)
    network = device.network_data
    if network is None:
        return
    if len(network.interface_name.encode()) > INTERFACE_NAME_MAX:
        errors.add(f"{path}.networkData.interfaceName", too_long(INTERFACE_NAME_MAX))
    if len(network.hardware_address.encode()) > HARDWARE_ADDRESS_MAX:
        errors.add(f"{path}.networkData.hardwareAddress", too_long(HARDWARE_ADDRESS_MAX))
    if errors.limit(network.ips, IPS_MAX, f"{path}.networkData.ips"):
        errors.unique(network.ips, f"{path}.networkData.ips")


def _key(device: AllocatedDeviceStatus) -> _DeviceKey:
    return device.driver, device.pool, device.device, device.share_id
