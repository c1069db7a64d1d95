"""Full GPUs as NVIDIA's driver publishes them (gpu.nvidia.com): names by minor number, names of attributes as recorded.

The attributes are those of slices recorded from clusters with driver 580; `numaNode` is the standard attribute that
newer releases add, and is left out where the recordings lack it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.resource import Device
from fairlead.simulation.hardware.parts import BUS, NUMA, ROOT, Version, attributes, capacity, uuid_of
from fairlead.simulation.hardware.site import Site

DRIVER = "gpu.nvidia.com"
RELEASE = Version("580.126.20")
CUDA = Version("13.0.0")


@dataclass(frozen=True, slots=True)
class GpuModel:
    """What all GPUs of a model have in common."""

    product: str
    architecture: str
    compute: str
    memory: str
    addressing: str


H100 = GpuModel("NVIDIA H100 80GB HBM3", "Hopper", "9.0.0", "81559Mi", "HMM")
GB200 = GpuModel("NVIDIA GB200", "Blackwell", "10.0.0", "189471Mi", "ATS")


def model_attributes(model: GpuModel, kind: str) -> dict[str, object]:
    """What a device of the model says of itself, wherever it sits."""
    return {
        "type": kind,
        "productName": model.product,
        "brand": "Nvidia",
        "architecture": model.architecture,
        "cudaComputeCapability": Version(model.compute),
        "driverVersion": RELEASE,
        "cudaDriverVersion": CUDA,
        "addressingMode": model.addressing,
    }


def gpu(model: GpuModel, node: str, minor: int, bus: str, root: str, numa: int | None) -> Device:
    """A whole GPU.

    Args:
        model: its model.
        node: the node that it is in.
        minor: number of its device file, which names it.
        bus: PCI address.
        root: PCI root complex.
        numa: NUMA node; None where the driver does not say.
    """
    values = model_attributes(model, "gpu")
    values |= {"uuid": f"GPU-{uuid_of(f'{node}/gpu/{bus}')}", BUS: bus, ROOT: root, NUMA: numa}
    return Device(name=f"gpu-{minor}", attributes=attributes(values), capacity=capacity(memory=model.memory))


def need_classes(site: Site) -> None:
    """The classes that the driver installs for GPUs and their partitions."""
    for name, kind in (("gpu.nvidia.com", "gpu"), ("mig.nvidia.com", "mig")):
        site.need_class(name, f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'")
