# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""ResourceClaim, its template and its class: what a workload asks for, and what it got (`resource.k8s.io/v1`).

Absent and empty differ where the API tells them apart: `adminAccess: false` needs its feature, an absent one does
not. `allocationMode` and `count` are kept as written; `fairlead.resource.defaults` fills them in as the API server
does. The API server writes null for two lists when they are empty, `devices.requests` and `conditions` of a device
status; they are read as empty lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import force_setattr

from fairlead.resource.base import KubeObject, Model, NodeSelector
from fairlead.resource.quantity import Quantity
from fairlead.resource.taint import DeviceToleration


class CELDeviceSelector(Model, frozen=True, gc=False):
    """A condition on a device, in CEL."""

    expression: str = ""


class DeviceSelector(Model, frozen=True, gc=False):
    """Exactly one member is set; none set means a member that we do not know: such a request is refused."""

    cel: CELDeviceSelector | None = None


class CapacityRequirements(Model, frozen=True, gc=False):
    """How much of each capacity a request needs of each device (KEP-5075)."""

    requests: dict[str, Quantity] = {}


class DeviceDerivedAttribute(Model, frozen=True, gc=False):
    """An attribute computed for constraints only (KEP-6080)."""

    name: str = ""
    expression: str = ""


class DeviceSubRequest(Model, frozen=True):
    """One alternative of a prioritized list (KEP-4816)."""

    name: str = ""
    device_class_name: str = ""
    selectors: list[DeviceSelector] = []
    allocation_mode: str = ""
    count: int = 0
    tolerations: list[DeviceToleration] = []
    capacity: CapacityRequirements | None = None
    derived_attributes: list[DeviceDerivedAttribute] = []


class ExactDeviceRequest(Model, frozen=True):
    """A request for devices of one class. `adminAccess` observes devices that others hold (KEP-5018)."""

    device_class_name: str = ""
    selectors: list[DeviceSelector] = []
    allocation_mode: str = ""
    count: int = 0
    admin_access: bool | None = None
    tolerations: list[DeviceToleration] = []
    capacity: CapacityRequirements | None = None
    derived_attributes: list[DeviceDerivedAttribute] = []


class DeviceRequest(Model, frozen=True):
    """Exactly one of `exactly` and `firstAvailable` is set."""

    name: str = ""
    exactly: ExactDeviceRequest | None = None
    first_available: list[DeviceSubRequest] = []


class DeviceConstraint(Model, frozen=True, gc=False):
    """A condition on all devices of the named requests (none named: all requests of the claim) together."""

    requests: list[str] = []
    match_attribute: str | None = None
    distinct_attribute: str | None = None


class OpaqueDeviceConfiguration(Model, frozen=True):
    """Parameters for a driver, passed on unread."""

    driver: str = ""
    parameters: Any = None


class DeviceClaimConfiguration(Model, frozen=True):
    """Configuration for the devices of the named requests (none named: of all)."""

    requests: list[str] = []
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClaim(Model, frozen=True):
    """`spec.devices`: requests, the constraints between them, and configuration."""

    if TYPE_CHECKING:
        requests: list[DeviceRequest] = []
    else:
        requests: list[DeviceRequest] | None = []
    constraints: list[DeviceConstraint] = []
    config: list[DeviceClaimConfiguration] = []

    def __post_init__(self) -> None:
        if self.requests is None:
            force_setattr(self, "requests", [])


class ResourceClaimSpec(Model, frozen=True):
    """What is asked for; the API server lets nobody change it."""

    devices: DeviceClaim = DeviceClaim()


class DeviceRequestAllocationResult(Model, frozen=True):
    """One allocated device. `request` is `name`, or `name/alternative` of a prioritized list."""

    request: str
    driver: str
    pool: str
    device: str
    admin_access: bool | None = None
    tolerations: list[DeviceToleration] = []
    binding_conditions: list[str] = []
    binding_failure_conditions: list[str] = []
    share_id: str | None = msgspec.field(default=None, name="shareID")
    consumed_capacity: dict[str, Quantity] = {}
    skip_node_operations: list[str] = []


class DeviceAllocationConfiguration(Model, frozen=True):
    """Configuration that goes with an allocation; `source` is FromClass or FromClaim."""

    source: str
    requests: list[str] = []
    opaque: OpaqueDeviceConfiguration | None = None


class DeviceAllocationResult(Model, frozen=True):
    """The allocated devices and their configuration."""

    results: list[DeviceRequestAllocationResult] = []
    config: list[DeviceAllocationConfiguration] = []


class AllocationResult(Model, frozen=True):
    """`status.allocation`: the devices of a claim; `nodeSelector` absent means usable from every node."""

    devices: DeviceAllocationResult = DeviceAllocationResult()
    node_selector: NodeSelector | None = None
    allocation_timestamp: str | None = None


class ResourceClaimConsumerReference(Model, frozen=True, gc=False):
    """Who uses a claim: `resource` is `pods` in the core group, or for example `podgroups`."""

    api_group: str = ""
    resource: str = ""
    name: str = ""
    uid: str = ""


class Condition(Model, frozen=True, gc=False):
    """An observation of an object or device: `status` is True, False or Unknown."""

    type: str = ""
    status: str = ""
    observed_generation: int = 0
    last_transition_time: str | None = None
    reason: str = ""
    message: str = ""


class NetworkDeviceData(Model, frozen=True, gc=False):
    """What a network driver tells of a device (KEP-4817)."""

    interface_name: str = ""
    ips: list[str] = []
    hardware_address: str = ""


class AllocatedDeviceStatus(Model, frozen=True):
    """What a driver, or a controller of binding conditions, says of an allocated device (KEP-4817)."""

    driver: str
    pool: str
    device: str
    share_id: str | None = msgspec.field(default=None, name="shareID")
    if TYPE_CHECKING:
        conditions: list[Condition] = []
    else:
        conditions: list[Condition] | None = []
    data: Any = None
    network_data: NetworkDeviceData | None = None

    def __post_init__(self) -> None:
        if self.conditions is None:
            force_setattr(self, "conditions", [])


class ResourceClaimStatus(Model, frozen=True):
    """What a claim got and who uses it."""

    allocation: AllocationResult | None = None
    reserved_for: list[ResourceClaimConsumerReference] = []
    devices: list[AllocatedDeviceStatus] = []


class ResourceClaim(KubeObject, frozen=True):
    """A request for devices, and the devices that it got."""

    spec: ResourceClaimSpec = ResourceClaimSpec()
    status: ResourceClaimStatus = ResourceClaimStatus()


class ResourceClaimTemplateSpec(KubeObject, frozen=True):
    """The metadata (labels, annotations) and the spec of the claims that a template makes."""

    spec: ResourceClaimSpec = ResourceClaimSpec()


class ResourceClaimTemplate(KubeObject, frozen=True):
    """Makes one claim for each pod that names it."""

    spec: ResourceClaimTemplateSpec = ResourceClaimTemplateSpec()


class DeviceClassConfiguration(Model, frozen=True):
    """Configuration for every device that is allocated through the class."""

    opaque: OpaqueDeviceConfiguration | None = None


class DeviceClassSpec(Model, frozen=True):
    """Which devices are of the class: all selectors must hold."""

    selectors: list[DeviceSelector] = []
    config: list[DeviceClassConfiguration] = []
    extended_resource_name: str | None = None


class DeviceClass(KubeObject, frozen=True):
    """A kind of device that requests name."""

    spec: DeviceClassSpec = DeviceClassSpec()
