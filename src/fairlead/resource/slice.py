# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""ResourceSlice: the devices that a driver publishes (`resource.k8s.io/v1`, KEP-4381, KEP-4815, KEP-5075)."""

from __future__ import annotations

import msgspec

from fairlead.resource.base import KubeObject, Model, NodeSelector
from fairlead.resource.quantity import Quantity
from fairlead.resource.taint import DeviceTaint


class DeviceAttribute(Model, frozen=True, gc=False):
    """One value of a device: exactly one member is set. None set means a member that we do not know."""

    int_: int | None = msgspec.field(default=None, name="int")
    bool_: bool | None = msgspec.field(default=None, name="bool")
    string: str | None = None
    version: str | None = None
    ints: list[int] | None = None
    bools: list[bool] | None = None
    strings: list[str] | None = None
    versions: list[str] | None = None


class CapacityRequestPolicyRange(Model, frozen=True, gc=False):
    """`validRange`: from `min`, in steps, to `max`; `min` is required by the API."""

    min: Quantity | None = None
    max: Quantity | None = None
    step: Quantity | None = None


class CapacityRequestPolicy(Model, frozen=True, gc=False):
    """How much of a capacity one share may take, and takes when the request does not say."""

    default: Quantity | None = None
    valid_values: list[Quantity] = []
    valid_range: CapacityRequestPolicyRange | None = None


class DeviceCapacity(Model, frozen=True, gc=False):
    """An amount that a device has, and the rule for sharing it."""

    value: Quantity
    request_policy: CapacityRequestPolicy | None = None


class Counter(Model, frozen=True, gc=False):
    """An amount in a counter set, or of it."""

    value: Quantity


class CounterSet(Model, frozen=True):
    """Amounts that the partitions of one piece of hardware share."""

    name: str
    counters: dict[str, Counter] = {}


class DeviceCounterConsumption(Model, frozen=True):
    """What a device takes from one counter set of its pool while it is allocated."""

    counter_set: str
    counters: dict[str, Counter] = {}
    compatibility_groups: list[str] = []


class NodeAllocatableMapping(Model, frozen=True, gc=False):
    """How much of a node resource an allocated device stands for (KEP-5517)."""

    capacity_key: str | None = None
    capacity_multiplier: Quantity | None = None
    device_multiplier: Quantity | None = None


class NodeAllocatableOverhead(Model, frozen=True, gc=False):
    """How much of a node resource the use of a device costs beside it (KEP-5517)."""

    per_pod: Quantity | None = None
    per_container: Quantity | None = None


class NodeAllocatableResource(Model, frozen=True, gc=False):
    """`nodeAllocatableResources[name]`: exactly one member is set."""

    mapping: NodeAllocatableMapping | None = None
    overhead: NodeAllocatableOverhead | None = None


class Device(Model, frozen=True):
    """One device of a pool. `binding_conditions` tells an empty list from an absent one: both order pools."""

    name: str
    attributes: dict[str, DeviceAttribute] = {}
    capacity: dict[str, DeviceCapacity] = {}
    consumes_counters: list[DeviceCounterConsumption] = []
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    taints: list[DeviceTaint] = []
    binds_to_node: bool | None = None
    binding_conditions: list[str] | None = None
    binding_failure_conditions: list[str] | None = None
    allow_multiple_allocations: bool | None = None
    node_allocatable_resources: dict[str, NodeAllocatableResource] = {}


class ResourcePool(Model, frozen=True, gc=False):
    """Which pool a slice belongs to, in which generation, and how many slices that generation has."""

    name: str
    generation: int = 0
    resource_slice_count: int = 0


class ResourceSliceSpec(Model, frozen=True):
    """Exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` says who reaches it."""

    driver: str
    pool: ResourcePool
    node_name: str | None = None
    node_selector: NodeSelector | None = None
    all_nodes: bool | None = None
    per_device_node_selection: bool | None = None
    devices: list[Device] = []
    shared_counters: list[CounterSet] = []
    partition_type_attribute: str | None = None
    skip_node_operations: list[str] = []


class ResourceSlice(KubeObject, frozen=True, kw_only=True):
    """A part of a pool of devices, published by one driver."""

    spec: ResourceSliceSpec
