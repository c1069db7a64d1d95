"""Extended resources that DeviceClasses stand for: one claim a pod, as kube-scheduler writes it (KEP-5004).

A class stands for `spec.extendedResourceName` and always for `deviceclass.resource.kubernetes.io/<class>`. Of two
classes with the same name, the newer one counts, and of two of the same age the one that sorts first.

Each container gets a request `container-<i>-request-<j>`: `i` counts init containers first, `j` is the place of the
resource among the sorted names of all that the container requests. Init containers that end before the others start
use the devices of later containers; for what they need beyond those, only the largest request is made.

Source: `k8s.io/kubernetes` pkg/scheduler/framework/plugins/dynamicresources/extendeddynamicresources.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fairlead.resource.base import ObjectMeta, OwnerReference
from fairlead.resource.claim import (
    DeviceClaim,
    DeviceClass,
    DeviceRequest,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
)
from fairlead.resource.defaults import EXACT_COUNT
from fairlead.resource.expand.claims import EXTENDED_ANNOTATION
from fairlead.resource.expand.planned import PodClaim
from fairlead.resource.manifest.convert import V1
from fairlead.resource.problem import not_found
from fairlead.resource.workload import Container, Pod

IMPLICIT_PREFIX: Final = "deviceclass.resource.kubernetes.io/"


class ExtendedResources:
    """Which class stands for which extended resource."""

    def __init__(self, classes: Iterable[DeviceClass]) -> None:
        self._classes: dict[str, str] = {}
        # The winner comes last: newer after older, and for the same age the name that sorts first.
        by_name = sorted(classes, key=lambda item: item.name, reverse=True)
        for item in sorted(by_name, key=lambda item: item.metadata.creation_timestamp or ""):
            self._classes[IMPLICIT_PREFIX + item.name] = item.name
            if item.spec.extended_resource_name:
                self._classes[item.spec.extended_resource_name] = item.name

    def class_of(self, resource: str) -> str | None:
        """The name of the class that stands for a resource."""
        return self._classes.get(resource)

    def missing(self, pod: Pod) -> list[tuple[str, str]]:
        """Resources that name a class that is not there: field path below the pod's spec, and reason."""
        faults = []
        kinds = (("initContainers", pod.spec.init_containers), ("containers", pod.spec.containers))
        for kind, containers in kinds:
            for index, container in enumerate(containers):
                for name in container.resources.requests:
                    if name.startswith(IMPLICIT_PREFIX) and name not in self._classes:
                        path = f"{kind}[{index}].resources.requests[{name}]"
                        reason = f"{not_found(name.removeprefix(IMPLICIT_PREFIX))}: there is no such DeviceClass"
                        faults.append((path, reason))
        return faults

    def requests_of(self, pod: Pod) -> tuple[list[DeviceRequest], dict[str, list[str]]]:
        """The requests for the extended resources of a pod, and the names of those of each resource."""
        containers = [*pod.spec.init_containers, *pod.spec.containers]
        wanted = {name for container in containers for name in container.resources.requests}
        requests: list[DeviceRequest] = []
        mapping: dict[str, list[str]] = {}
        for resource in sorted(wanted & self._classes.keys()):
            found = _requests_for(containers, len(pod.spec.init_containers), resource, self._classes[resource])
            if found:
                requests += found
                mapping[resource] = sorted(request.name for request in found)
        return sorted(requests, key=lambda request: request.name), mapping

    def claim_of(self, pod: Pod, name: str, existing: ResourceClaim | None) -> PodClaim | None:
        """The claim for the extended resources of a pod: the one it has, or a new one called `name`."""
        requests, mapping = self.requests_of(pod)
        if not requests:
            return None
        if existing is not None:
            return PodClaim(existing.name, existing, generated=True, extended=mapping)
        meta = ObjectMeta(
            name=name,
            namespace=pod.namespace,
            annotations={EXTENDED_ANNOTATION: "true"},
            owner_references=[OwnerReference("v1", "Pod", pod.name, pod.metadata.uid, True)],
        )
        spec = ResourceClaimSpec(DeviceClaim(requests))
        claim = ResourceClaim(api_version=V1, kind="ResourceClaim", metadata=meta, spec=spec)
        return PodClaim(name, claim, generated=True, extended=mapping)


def _requests_for(
    containers: list[Container], init_count: int, resource: str, device_class: str
) -> list[DeviceRequest]:
    needs = [_count(container, resource) for container in containers]
    lasting = [
        index
        for index, container in enumerate(containers)
        if index >= init_count or container.restart_policy == "Always"
    ]
    requests = [
        _request(index, containers[index], resource, device_class, needs[index]) for index in lasting if needs[index]
    ]
    beyond: tuple[int, int] | None = None
    for index in range(init_count):
        if index in lasting or not needs[index]:
            continue
        count = needs[index] - sum(needs[later] for later in lasting if later > index)
        if count > 0 and (beyond is None or count > beyond[0]):
            beyond = (count, index)
    if beyond is not None:
        count, index = beyond
        requests.append(_request(index, containers[index], resource, device_class, count))
    return requests


def _count(container: Container, resource: str) -> int:
    """How many a container requests; amounts that are no integer are not counted, as in kube-scheduler."""
    quantity = container.resources.requests.get(resource)
    return quantity.value() if quantity is not None and quantity.is_integer and quantity.sign > 0 else 0


def _request(index: int, container: Container, resource: str, device_class: str, count: int) -> DeviceRequest:
    place = sorted(container.resources.requests).index(resource)
    exactly = ExactDeviceRequest(device_class, allocation_mode=EXACT_COUNT, count=count)
    return DeviceRequest(f"container-{index}-request-{place}", exactly)
