"""Machines in a few words: the devices that drivers would publish on them, and their wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.resource import Device, DeviceAttribute
from fairlead.topology import Rules, Wiring, default_rules, wire

NVIDIA = "gpu.nvidia.com"
AMD = "gpu.amd.com"
DRANET = "dra.net"
SRIOV = "sriovnetwork.k8snetworkplumbingwg.io"
BUS = "resource.kubernetes.io/pciBusID"
ROOT = "resource.kubernetes.io/pcieRoot"
NUMA = "resource.kubernetes.io/numaNode"
H100 = "NVIDIA H100 80GB HBM3"
CONNECTX_7 = "MT2910 Family [ConnectX-7]"
Given = tuple[str, Device]


def device(driver: str, name: str, attributes: Mapping[str, object]) -> Given:
    """A device with attributes of the type that Python gives their values; None leaves one out."""
    kinds = {bool: "bool_", int: "int_", str: "string"}
    made = {}
    for key, value in attributes.items():
        if isinstance(value, list):
            made[key] = DeviceAttribute(**{kinds[type(value[0])].rstrip("_") + "s": value})
        elif value is not None:
            made[key] = DeviceAttribute(**{kinds[type(value)]: value})
    return driver, Device(name, made)


def gpu(name: str, model: str = H100, *, driver: str = NVIDIA, **facts: object) -> Given:
    """A GPU; facts are `bus`, `root`, `numa`."""
    return device(
        driver,
        name,
        {
            "productName": model,
            BUS: facts.get("bus"),
            ROOT: facts.get("root"),
            NUMA: facts.get("numa"),
            "type": facts.get("type"),
        },
    )


def nic(name: str, bus: str, model: str = CONNECTX_7, **facts: object) -> Given:
    """A network function of DRANET; facts are `root`, `numa`, `rdma`, `rail`."""
    return device(
        DRANET,
        name,
        {
            "dra.net/pciDevice": model,
            "dra.net/pciAddress": bus,
            "dra.net/rdma": facts.get("rdma", True),
            "dra.net/numaNode": facts.get("numa"),
            ROOT: facts.get("root"),
            "oke.dra.net/gpuMemoryFabricId": facts.get("fabric"),
            "dra.net/rail": facts.get("rail"),
        },
    )


def hgx(model: str = H100) -> list[Given]:
    """Eight GPUs on NVSwitches, each with a NIC under its own PCIe root; devices 0 to 7 and 8 to 15."""
    roots = ["18", "2a", "3a", "5d", "9a", "ab", "ba", "db"]
    gpus = [gpu(f"gpu-{i}", model, bus=f"0000:{r}:00.0", root=f"pci0000:{r}", numa=i // 4) for i, r in enumerate(roots)]
    nics = [nic(f"nic-{i}", f"0000:{r}:01.0", root=f"pci0000:{r}", numa=i // 4) for i, r in enumerate(roots)]
    return [*gpus, *nics]


def gb200(fabric: str | None = None, domains: Iterable[str] = ("0008", "0009", "0018", "0019")) -> list[Given]:
    """A tray as Oracle has them: four GPUs without a NUMA node, eight ports of four cards on other PCIe roots."""
    gpus = [gpu(f"gpu-{i}", "NVIDIA GB200", bus=f"{d}:06:00.0", root=f"pci{d}:00") for i, d in enumerate(domains)]
    nics = [
        nic(
            f"rdma{2 * i + f}",
            f"{d}:03:00.{f}",
            "CX8 Family [ConnectX-8]",
            root=f"pci{d}:00",
            numa=i // 2,
            fabric=fabric,
        )
        for i, d in enumerate(("0000", "0002", "0010", "0012"))
        for f in (0, 1)
    ]
    return [*gpus, *nics]


def mi300x(count: int = 8) -> list[Given]:
    """GPUs that are joined by xGMI, each with each."""
    return [
        device(
            AMD,
            f"gpu-{i}",
            {
                "type": "amdgpu",
                "productName": "AMD_Instinct_MI300X_OAM",
                "pciAddr": f"0000:{i}5:00.0",
                ROOT: f"pci0000:{i}0",
                "numaNode": i // 4,
            },
        )
        for i in range(count)
    ]


def wired(devices: Iterable[Given], rules: Rules | None = None) -> Wiring:
    """The wiring of devices under the default rules."""
    return wire(list(devices), rules or default_rules())
