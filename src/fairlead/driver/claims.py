"""From a ResourceClaim of the API server to a record of what is ours in it: the checks before anything is touched.

Pure: a claim and what was discovered come in, a record or an error goes out. The errors name object, field and reason,
for they end up in the events of a pod.

Source: what `k8s.io/dynamic-resource-allocation` kubeletplugin checks before it calls a driver, and what it leaves to
drivers (results of other drivers, configuration, overlap).
"""

from __future__ import annotations

from typing import Final

from fairlead.driver.author import Claim, ClaimDevice, Driver, PrepareError
from fairlead.driver.config import ConfigError, applying, check, typed
from fairlead.driver.inventory import Inventory
from fairlead.driver.record import Record, RecordedDevice
from fairlead.resource import ResourceClaim

POD_CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
"""Annotation of a claim that was made from a template: its name in the pod."""


def read_claim(claim: ResourceClaim, uid: str, driver: Driver, inventory: Inventory) -> Record:
    """What has to be prepared.

    Args:
        claim: as the API server has it now.
        uid: of the claim that kubelet asks for.
        driver: whose results count; those of other drivers are skipped.
        inventory: the devices that are there.

    Raises:
        PrepareError: the claim is not to be prepared here, now or as it is.
    """
    label = f"ResourceClaim {claim.key}"
    if claim.metadata.uid != uid:
        raise PrepareError(
            f"{label}: metadata.uid: is {claim.metadata.uid}, kubelet asks for {uid}: "
            "the claim was deleted and made again under the same name"
        )
    allocation = claim.status.allocation
    if allocation is None:
        raise PrepareError(f"{label}: status.allocation: is not set: the claim is not allocated")
    devices = []
    for index, result in enumerate(allocation.devices.results):
        if result.driver != driver.name:
            continue
        where = f"{label}: status.allocation.devices.results[{index}]"
        if (result.pool, result.device) not in inventory.devices:
            raise PrepareError(
                f"{where}: device {result.device} of pool {result.pool} is not on this node, or not any more"
            )
        configs = applying(driver.name, allocation.devices.config, result.request)
        devices.append(RecordedDevice(result=result, configs=configs, cdi_name=f"{uid}_{index}_{result.device}"))
    if not devices:
        raise PrepareError(f"{label}: status.allocation.devices.results: none is of driver {driver.name}")
    try:
        check(driver.name, driver.configs, allocation.devices.config)
    except ConfigError as error:
        raise PrepareError(f"{label}: {error}") from None
    return Record(
        uid=uid,
        state="started",
        namespace=claim.namespace,
        name=claim.name,
        pod_claim_name=claim.metadata.annotations.get(POD_CLAIM_NAME, ""),
        devices=devices,
    )


def for_author(record: Record, driver: Driver, inventory: Inventory) -> Claim:
    """The claim as the author's code sees it. Configuration that cannot be read any more is left out."""
    devices = []
    for device in record.devices:
        result = device.result
        request, _, alternative = result.request.partition("/")
        try:
            configs = typed(driver.configs, device.configs)
        except ConfigError:
            configs = ()  # of another version of the driver: unpreparing must work without
        devices.append(
            ClaimDevice(
                request=request,
                alternative=alternative,
                pool=result.pool,
                name=result.device,
                device=inventory.devices.get((result.pool, result.device)),
                share_id=result.share_id,
                admin_access=bool(result.admin_access),
                consumed_capacity=result.consumed_capacity,
                configs=configs,
            )
        )
    return Claim(record.uid, record.namespace, record.name, tuple(devices))
