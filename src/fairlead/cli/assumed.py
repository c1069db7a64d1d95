"""DeviceClasses that drivers bring with them, for inputs that do not hold them.

A recording of a cluster is often its slices alone; the classes come with the driver's chart and are always the same.
The selectors below are those charts' (NVIDIA's GPU driver, the example driver, DRANET on EKS, SR-IOV, dra-driver-cpu,
AMD, and IBM's Power NX and Spyre drivers).
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import CELDeviceSelector, DeviceClass, DeviceClassSpec, DeviceSelector, ObjectMeta

_OF_A_DRIVER: Final = (
    "cpu.example.com",
    "dra.cpu",
    "gpu.amd.com",
    "gpu.example.com",
    "net.example.com",
    "nx.device.power.ibm.com",
    "spyre.ibm.com",
    "sriovnetwork.k8snetworkplumbingwg.io",
)
"""Classes that are called as their driver and hold all its devices."""

_OF_A_TYPE: Final = {
    "gpu.nvidia.com": ("gpu.nvidia.com", "gpu"),
    "mig.nvidia.com": ("gpu.nvidia.com", "mig"),
    "vfio.gpu.nvidia.com": ("gpu.nvidia.com", "vfio"),
    "compute-domain-daemon.nvidia.com": ("compute-domain.nvidia.com", "daemon"),
}
"""Classes that hold the devices of a driver whose attribute `type` has one value."""

_OTHER: Final = {
    "compute-domain-default-channel.nvidia.com": (
        "device.driver == 'compute-domain.nvidia.com' && "
        "device.attributes['compute-domain.nvidia.com'].type == 'channel' && "
        "device.attributes['compute-domain.nvidia.com'].id == 0"
    ),
    "efa.networking.k8s.aws": (
        "device.driver == 'dra.net' && device.attributes['dra.net'].pciDevice == 'Elastic Fabric Adapter (EFA)'"
    ),
}


def assumed_classes() -> dict[str, DeviceClass]:
    """The classes, by name."""
    expressions = {name: f"device.driver == '{name}'" for name in _OF_A_DRIVER}
    for name, (driver, kind) in _OF_A_TYPE.items():
        expressions[name] = f"device.driver == '{driver}' && device.attributes['{driver}'].type == '{kind}'"
    expressions.update(_OTHER)
    return {name: _class(name, expression) for name, expression in expressions.items()}


def _class(name: str, expression: str) -> DeviceClass:
    selector = DeviceSelector(cel=CELDeviceSelector(expression=expression))
    return DeviceClass(
        api_version="resource.k8s.io/v1",
        kind="DeviceClass",
        metadata=ObjectMeta(name=name),
        spec=DeviceClassSpec(selectors=[selector]),
    )
