"""Claims for a driver that nobody knows: allocated from what it publishes, by the rules of kube-scheduler.

Fairlead's own allocator decides, so that shared counters, shares of a device, administrators' access, taints and the
completeness of pools count as they do in a cluster. Checks then change what they are about: a device that is not there,
another driver's result, another UID.
"""

from __future__ import annotations

import copy
import itertools
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from fairlead.allocator import Allocator, RequestError
from fairlead.conformance.apiserver import CLAIMS, NODES, PODS, SLICES, Json, Store, decode
from fairlead.conformance.kubelet import ClaimRef
from fairlead.inventory import Features, Inventory, InventoryError
from fairlead.resource import (
    CELDeviceSelector,
    DeviceClass,
    DeviceClassSpec,
    DeviceSelector,
    ObjectMeta,
    ResourceClaim,
    ResourceSlice,
    encode_hook,
)

NAMESPACE: Final = "conformance"
CLASS: Final = "conformance"
OTHER_DRIVER: Final = "other.conformance.fairlead.dev"
"""A driver that shares claims with the one under test."""

Results = list[Json]


class NoDeviceError(Exception):
    """No device can be allocated; the text says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A claim of the kit."""

    ref: ClaimRef
    results: tuple[Json, ...]
    """Of the allocation, those of the driver under test."""


class ClaimMaker:
    """Makes claims and allocates them."""

    def __init__(self, store: Store, node: str) -> None:
        """Args:
        store: where claims go, and where slices and other claims are.
        node: on which devices are allocated.
        """
        self.driver = ""
        """Of which devices are allocated."""
        self._store: Final = store
        self._node: Final = node
        self._numbers: Final = itertools.count(1)

    def allocated(self, count: int = 1, admin: bool = False, taken: bool = True, shared: bool | None = None) -> Results:
        """Results for that many requests of one claim, named r0, r1, ...

        Args:
            count: of devices.
            admin: with administrators' access.
            taken: whether what other claims hold counts.
            shared: only devices that can be allocated several times, or only those that cannot; None for any.

        Raises:
            NoDeviceError: there are not that many.
        """
        rules = [f'device.driver == "{self.driver}"']
        if shared is not None:
            rules.append(f"device.allowMultipleAllocations == {str(shared).lower()}")
        selectors = [DeviceSelector(cel=CELDeviceSelector(expression=one)) for one in rules]
        device_class = DeviceClass(metadata=ObjectMeta(name=CLASS), spec=DeviceClassSpec(selectors=selectors))
        try:
            inventory = Inventory(self.slices(), self._claims() if taken else [], features=Features())
            allocator = Allocator([device_class], inventory.features)
            wanted = allocator.wanted(decode(CLAIMS, {"metadata": {"name": "c"}, "spec": _spec(_names(count), admin)}))
            decision = allocator.allocate(inventory.view(self._node, self._labels(), frozenset()), [wanted])
        except (InventoryError, RequestError) as error:
            raise NoDeviceError(str(error)) from None
        if decision.error or not decision.fits:
            why = decision.error or "; ".join(sorted({one.text for one in decision.reasons()})[:3])
            raise NoDeviceError(f"{count} device{'s' * (count > 1)} cannot be allocated from the slices: {why}")
        (allocation,) = decision.allocations()
        results: Results = msgspec.to_builtins(allocation.devices.results, enc_hook=encode_hook)
        return results

    def make(
        self,
        results: Results | None = None,
        count: int = 1,
        config: Sequence[Json] = (),
        change: Callable[[Json], None] | None = None,
    ) -> Made:
        """A claim that is allocated and reserved for a pod, in the API server.

        Args:
            results: of its allocation; allocated now where they are not given.
            count: of devices to allocate.
            config: of its allocation: source and opaque parameters.
            change: changes the object before it is stored.

        Raises:
            NoDeviceError: there are not that many.
        """
        results = copy.deepcopy(results) if results is not None else self.allocated(count)
        number = next(self._numbers)
        pod = {"metadata": {"name": f"pod-{number}"}, "spec": {"nodeName": self._node, "containers": []}}
        pod_uid = self._store.create(PODS, NAMESPACE, pod)["metadata"]["uid"]
        here = {"key": "metadata.name", "operator": "In", "values": [self._node]}
        item: Json = {
            "metadata": {"name": f"claim-{number}", "uid": str(uuid.uuid4())},
            "spec": _spec(list(dict.fromkeys(one["request"] for one in results)), bool(results[0].get("adminAccess")))
            if results
            else _spec(["r0"], False),
            "status": {
                "allocation": {
                    "devices": {"results": results, "config": list(config)},
                    "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [here]}]},
                },
                "reservedFor": [{"resource": "pods", "name": f"pod-{number}", "uid": pod_uid}],
            },
        }
        if config:
            item["spec"]["devices"]["config"] = [
                {key: value for key, value in one.items() if key != "source"}
                for one in config
                if one["source"] == "FromClaim"
            ]
        if change is not None:
            change(item)
        stored = self._store.create(CLAIMS, NAMESPACE, item)
        ref = ClaimRef(NAMESPACE, stored["metadata"]["name"], stored["metadata"]["uid"])
        return Made(ref, tuple(one for one in results if one["driver"] == self.driver))

    def remove(self, claim: ClaimRef) -> None:
        """Deletes a claim and its pod; nothing happens where they have gone."""
        for resource, name in ((CLAIMS, claim.name), (PODS, claim.name.replace("claim-", "pod-"))):
            if any(one["metadata"]["name"] == name for one in self._store.list(resource, claim.namespace)):
                self._store.delete(resource, claim.namespace, name, {})

    def slices(self) -> list[ResourceSlice]:
        """The driver's slices that reach the node, as they are now; what cannot be decoded is left out."""
        return [one for one in decoded_slices(self._store) if one.spec.driver == self.driver and self._here(one)]

    def _labels(self) -> dict[str, str]:
        """Of the node, by which devices on a fabric say whom they reach."""
        labels: dict[str, str] = self._store.get(NODES, "", self._node)["metadata"].get("labels") or {}
        return labels

    def _here(self, item: ResourceSlice) -> bool:
        return item.spec.node_name in (None, self._node)

    def _claims(self) -> list[ResourceClaim]:
        return [decode(CLAIMS, item) for item in self._store.list(CLAIMS)]


def decoded_slices(store: Store) -> list[ResourceSlice]:
    """All slices that can be decoded."""
    found = []
    for item in store.list(SLICES):
        try:
            found.append(decode(SLICES, item))
        except (msgspec.ValidationError, ValueError):
            continue
    return found


def foreign(request: str = "other") -> Json:
    """A result of another driver."""
    return {"request": request, "driver": OTHER_DRIVER, "pool": "elsewhere", "device": "thing-0"}


def renamed(results: Results, request: str) -> Results:
    """The results of one request under another name."""
    return [one | {"request": request} for one in results]


def moved(claim: Made, uid: str) -> ClaimRef:
    """The claim as kubelet would name it, had it another UID."""
    return replace(claim.ref, uid=uid)


def _names(count: int) -> list[str]:
    return [f"r{number}" for number in range(count)]


def _spec(names: list[str], admin: bool) -> Json:
    requests: list[dict[str, Any]] = []
    for name in names:
        exactly: Json = {"deviceClassName": CLASS, "allocationMode": "ExactCount", "count": 1}
        main, slash, alternative = name.partition("/")
        if admin:
            exactly["adminAccess"] = True
        if slash:
            requests.append({"name": main, "firstAvailable": [{"name": alternative, **exactly}]})
        else:
            requests.append({"name": name, "exactly": exactly})
    return {"devices": {"requests": requests}}
