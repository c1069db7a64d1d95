"""What a pod asks of a node: the amounts that kube-scheduler counts, and the host ports.

The rule is `k8s.io/component-helpers/resource.PodRequests` (1.37): containers run side by side, so their requests
add up; init containers run one after another before them, so the greatest counts; a sidecar (an init container that
restarts always) runs beside everything that starts after it. Requests of the pod as a whole replace those of its
containers for the resources that they name. Overhead comes on top. A limit without a request is a request, as the API
server defaults it. What devices take (`allocatable`) counts like one more container.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.resource import Container, PodSpec, Quantity, ResourceRequirements

Amounts = dict[str, Quantity]
HostPort = tuple[str, int]
"""Protocol and port."""


def pod_requests(spec: PodSpec, devices: Mapping[str, Quantity] | None = None) -> Amounts:
    """The effective requests of a pod, by resource name.

    Args:
        spec: the pod's spec.
        devices: what the devices of its claims take of the node.
    """
    total = _plus(of_containers(spec), devices or {})
    total.update(_of_the_pod(spec.resources, total))
    return _plus(total, spec.overhead)


def of_containers(spec: PodSpec) -> Amounts:
    """What the containers of a pod request at most at one time."""
    running: Amounts = {}
    for container in spec.containers:
        running = _plus(running, requested(container.resources))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.init_containers:
        own = requested(container.resources)
        if container.restart_policy == "Always":
            running = _plus(running, own)
            sidecars = _plus(sidecars, own)
            own = sidecars
        else:
            own = _plus(own, sidecars)
        starting = _greater(starting, own)
    return _greater(running, starting)


def requested(resources: ResourceRequirements) -> Amounts:
    """The requests of one container; a limit without a request is one."""
    return {**resources.limits, **resources.requests}


def host_ports(spec: PodSpec) -> frozenset[HostPort]:
    """The ports of the node that a pod binds. Init containers other than sidecars do not count."""
    containers: list[Container] = [
        *spec.containers,
        *(container for container in spec.init_containers if container.restart_policy == "Always"),
    ]
    return frozenset(
        (port.protocol or "TCP", port.host_port)
        for container in containers
        for port in container.ports
        if port.host_port
    )


def _of_the_pod(resources: ResourceRequirements, of_containers: Amounts) -> Amounts:
    """Pod-level requests (KEP-2837): CPU, memory and huge pages only; a limit counts where nothing else is said."""
    said = {name: limit for name, limit in resources.limits.items() if name not in of_containers} | resources.requests
    return {name: amount for name, amount in said.items() if name in ("cpu", "memory") or name.startswith("hugepages-")}


def _plus(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    total = dict(one)
    for name, amount in other.items():
        total[name] = total[name] + amount if name in total else amount
    return total


def _greater(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    most = dict(one)
    for name, amount in other.items():
        if name not in most or most[name] < amount:
            most[name] = amount
    return most
