"""What devices cost in CPU, memory and the like (KEP-5517, `nodeAllocatableResources`).

A device may stand for a resource of its node (a block of cores: `mapping`), or cost some of it beside itself (host
memory for a GPU: `overhead`). The rules are kube-scheduler's (1.37):

* a mapping counts `deviceMultiplier` for each allocated device, or what the allocation consumes of a capacity times
  `capacityMultiplier`; a capacity that the allocation does not consume counts nothing, and an allocation that says
  nothing of capacities at all is an error;
* overhead counts for each pod that uses the claim: `perPod`, and `perContainer` for each reference of a container;
* all of it comes on top of what the containers request; a request of the pod as a whole (KEP-2837) replaces the sum
  and has to cover it;
* a claim with a mapped device serves one pod only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from fairlead.inventory import DeviceId, PoolId
from fairlead.placement.requests import Amounts, of_containers
from fairlead.resource import (
    AllocationResult,
    DeviceRequestAllocationResult,
    NodeAllocatableMapping,
    NodeAllocatableResource,
    Pod,
    Quantity,
    ResourceClaim,
    ResourceSlice,
)

_NANO = 10**9
UsedClaim = tuple[Collection[str], AllocationResult]
"""How a pod calls a claim, and what the claim has."""


class AllocatableError(ValueError):
    """What the devices cost cannot be told, or the pod's own request does not cover it; the text is the reason."""


class DeviceCosts:
    """The costs of the devices that have some."""

    def __init__(self, slices: Iterable[ResourceSlice]) -> None:
        self._slices: dict[str, ResourceSlice] = {}
        self._pools: dict[PoolId, dict[str, ResourceSlice]] = {}
        self._costs: dict[DeviceId, dict[str, NodeAllocatableResource]] = {}
        for slice_ in slices:
            self.put(slice_)

    def put(self, slice_: ResourceSlice) -> bool:
        """Takes note of a slice, in place of the one of that name; returns whether that changes what devices cost."""
        known = self._slices.get(slice_.name)
        changed = known is not None and _pool(known) != _pool(slice_) and self.remove(slice_.name)
        self._slices[slice_.name] = slice_
        self._pools.setdefault(_pool(slice_), {})[slice_.name] = slice_
        return self._renew(slice_, known) or changed

    def remove(self, name: str) -> bool:
        """Takes note that a slice is gone; returns whether that changes what devices cost."""
        slice_ = self._slices.pop(name, None)
        if slice_ is None:
            return False
        pool = self._pools[_pool(slice_)]
        del pool[name]
        if not pool:
            del self._pools[_pool(slice_)]
        return self._renew(slice_)

    def _renew(self, *changed: ResourceSlice | None) -> bool:
        """Works out anew what the devices of a pool cost, by the slices of its newest generation."""
        concerned = [slice_ for slice_ in changed if slice_ is not None]
        pool = _pool(concerned[0])
        slices = [slice_ for _, slice_ in sorted(self._pools.get(pool, {}).items())]
        costly = [
            slice_ for slice_ in (*slices, *concerned) if any(d.node_allocatable_resources for d in slice_.spec.devices)
        ]
        if not costly:
            return False
        newest = max((slice_.spec.pool.generation for slice_ in slices), default=0)
        costs = {
            DeviceId(*pool, device.name): device.node_allocatable_resources
            for slice_ in slices
            if slice_.spec.pool.generation == newest
            for device in slice_.spec.devices
            if device.node_allocatable_resources
        }
        names = {DeviceId(*pool, device.name) for slice_ in costly for device in slice_.spec.devices}
        before = {device: self._costs.pop(device) for device in names if device in self._costs}
        self._costs.update(costs)
        return before != costs

    def __bool__(self) -> bool:
        return bool(self._costs)

    def of(self, pod: Pod, claims: Sequence[UsedClaim]) -> Amounts:
        """What a pod takes of its node through its claims.

        Raises:
            AllocatableError: that cannot be told, or the pod's own request is too small for it.
        """
        total: Amounts = {}
        if not self._costs:
            return total
        for names, allocation in claims:
            references = sum(
                used.name in names
                for container in (*pod.spec.init_containers, *pod.spec.containers)
                for used in container.resources.claims
            )
            for result in allocation.devices.results:
                for resource, cost in self._costs.get(_device(result), {}).items():
                    for amount in _amounts(resource, cost, result, references):
                        total[resource] = total[resource] + amount if resource in total else amount
        if total:
            _check_covered(pod, total)
        return total

    def mapped(self, claim: ResourceClaim) -> bool:
        """Whether the claim has a device that stands for a resource of its node."""
        allocation = claim.status.allocation
        return allocation is not None and any(
            cost.mapping is not None
            for result in allocation.devices.results
            for cost in self._costs.get(_device(result), {}).values()
        )


def _pool(slice_: ResourceSlice) -> PoolId:
    return slice_.spec.driver, slice_.spec.pool.name


def _device(result: DeviceRequestAllocationResult) -> DeviceId:
    return DeviceId(result.driver, result.pool, result.device)


def _amounts(
    resource: str, cost: NodeAllocatableResource, result: DeviceRequestAllocationResult, references: int
) -> Iterable[Quantity]:
    if cost.mapping is not None:
        yield _mapped(resource, cost.mapping, result)
    if cost.overhead is not None:
        if cost.overhead.per_pod is not None:
            yield cost.overhead.per_pod
        if cost.overhead.per_container is not None:
            each = cost.overhead.per_container
            yield Quantity.from_nano(each.nano * references, each.format)


def _mapped(resource: str, mapping: NodeAllocatableMapping, result: DeviceRequestAllocationResult) -> Quantity:
    key = mapping.capacity_key
    if not key:
        return mapping.device_multiplier or Quantity.from_int(0)
    if not result.consumed_capacity:
        raise AllocatableError(f"device {_device(result)} counts as {resource} by its {key}, but none was consumed")
    consumed = {_qualified(name, result.driver): amount for name, amount in result.consumed_capacity.items()}
    base = consumed.get(_qualified(key, result.driver))
    if base is None:
        return Quantity.from_int(0)
    if mapping.capacity_multiplier is None:
        return base
    return Quantity.from_nano(-(-base.nano * mapping.capacity_multiplier.nano // _NANO), base.format)


def _qualified(name: str, driver: str) -> str:
    return name if "/" in name else f"{driver}/{name}"


def _check_covered(pod: Pod, devices: Amounts) -> None:
    containers = of_containers(pod.spec)
    for name, said in pod.spec.resources.requests.items():
        if name in devices and said < containers.get(name, Quantity.from_int(0)) + devices[name]:
            raise AllocatableError(f"the pod's own request of {said} {name} does not cover its containers and devices")
