"""What the API server fills in when an object leaves it out.

Objects come out of reading with these defaults, so that the rest of Fairlead sees what a cluster would store. Time
stamps (`timeAdded` of a taint) are not filled in: nothing here knows a clock.

Source: `k8s.io/kubernetes` pkg/apis/resource/v1/defaults.go and pkg/apis/core/v1/defaults.go.
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from fairlead.resource.claim import (
    DeviceClaim,
    DeviceRequest,
    DeviceSubRequest,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceClaimTemplate,
)
from fairlead.resource.taint import DeviceToleration
from fairlead.resource.workload import Container, Pod, PodSpec

EXACT_COUNT: Final = "ExactCount"

_Request = TypeVar("_Request", ExactDeviceRequest, DeviceSubRequest)


def default_claim(claim: ResourceClaim) -> ResourceClaim:
    """The claim as the API server would store it."""
    spec = default_claim_spec(claim.spec)
    return claim if spec is claim.spec else replace(claim, spec=spec)


def default_template(template: ResourceClaimTemplate) -> ResourceClaimTemplate:
    """The template as the API server would store it."""
    spec = default_claim_spec(template.spec.spec)
    return template if spec is template.spec.spec else replace(template, spec=replace(template.spec, spec=spec))


def default_claim_spec(spec: ResourceClaimSpec) -> ResourceClaimSpec:
    """Allocation modes, counts and the operators of tolerations."""
    requests = [_request(request) for request in spec.devices.requests]
    if all(new is old for new, old in zip(requests, spec.devices.requests, strict=True)):
        return spec
    devices: DeviceClaim = replace(spec.devices, requests=requests)
    return replace(spec, devices=devices)


def default_pod(pod: Pod) -> Pod:
    """The pod with what its containers request by their limits."""
    spec = default_pod_spec(pod.spec)
    return pod if spec is pod.spec else replace(pod, spec=spec)


def default_pod_spec(spec: PodSpec) -> PodSpec:
    """A limit without a request of the same name is a request, too."""
    containers = [_container(container) for container in spec.containers]
    init_containers = [_container(container) for container in spec.init_containers]
    same = all(
        new is old
        for new, old in zip(containers + init_containers, spec.containers + spec.init_containers, strict=True)
    )
    return spec if same else replace(spec, containers=containers, init_containers=init_containers)


def _request(request: DeviceRequest) -> DeviceRequest:
    exactly = request.exactly and _body(request.exactly)
    alternatives = [_body(alternative) for alternative in request.first_available]
    if exactly is request.exactly and all(
        new is old for new, old in zip(alternatives, request.first_available, strict=True)
    ):
        return request
    return replace(request, exactly=exactly, first_available=alternatives)


def _body(body: _Request) -> _Request:
    mode = body.allocation_mode or EXACT_COUNT
    count = 1 if mode == EXACT_COUNT and body.count == 0 else body.count
    tolerations = [_toleration(toleration) for toleration in body.tolerations]
    same = mode == body.allocation_mode and count == body.count and tolerations == body.tolerations
    return body if same else replace(body, allocation_mode=mode, count=count, tolerations=tolerations)


def _toleration(toleration: DeviceToleration) -> DeviceToleration:
    return toleration if toleration.operator else replace(toleration, operator="Equal")


def _container(container: Container) -> Container:
    resources = container.resources
    missing = {name: limit for name, limit in resources.limits.items() if name not in resources.requests}
    if not missing:
        return container
    return replace(container, resources=replace(resources, requests={**resources.requests, **missing}))
