"""Machines with NVIDIA's GPUs, and the kit's engine around the driver, for the tests of this folder.

DGX H100: PCI addresses, roots and NUMA nodes as the DGX H100 user guide and public `nvidia-smi topo` output show them.
GB200 tray and A100 node: as the slices recorded on Oracle and AWS show them; NUMA nodes and module numbers are
assumptions. L40S: a server with two cards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.driver import Driver
from fairlead.driver.cdi import SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.drivers.nvidia import GpuDriver, Host, Nvml, make
from fairlead.drivers.nvidia.nvml import Fabric, Gpu, System
from fairlead.hardware import LiveMachine
from fairlead.resource import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ObjectMeta,
    OpaqueDeviceConfiguration,
    ResourceClaim,
    ResourceClaimStatus,
)
from tests.drivers.nvidia.fake_host import LIBRARY, FakeHost
from tests.drivers.nvidia.fake_nvml import A100_40GB, GH200_96GB, H100_80GB, FakeGpu, FakeNvml, uuid_of
from tests.hardware.tree import Tree

NODE = "node-1"
DRIVER = "gpu.nvidia.com"
BOOT = "6f2c1a7e-5d2b-4c0a-9b1e-0a4a52f1d001"
MIB = 1 << 20
RECENT = System("580.126.20", "13.0")
H100_PLACES = (
    ("1b", "15"),
    ("43", "3d"),
    ("52", "4c"),
    ("61", "5b"),
    ("9d", "97"),
    ("c3", "bd"),
    ("d1", "cb"),
    ("df", "d9"),
)
"""Bus of the GPU, and of its root."""
CLUSTER = "0b7a5a3d-41a5-4a0c-8d6b-6a4f0f1c7a11"


class Box(LiveMachine):
    """A machine whose files are a tree, and whose libraries are fakes."""

    def __init__(self, tree: Tree, nvml: FakeNvml, host: FakeHost) -> None:
        super().__init__(tree.root)
        self.tree = tree
        self.nvml = nvml
        self.host = host

    def door(self, kind: Any, live: Any) -> Any:
        return {Nvml: self.nvml, Host: self.host}[kind]

    def driver(self, options: str = "") -> GpuDriver:
        """The driver of GPUs."""
        made = make(options, NODE, self)[0]
        assert isinstance(made, GpuDriver)
        return made

    def addresses(self) -> list[str]:
        return list(self.nvml.gpus)


def _box(
    root: Path,
    gpus: dict[str, FakeGpu],
    places: Iterable[tuple[str, str, tuple[str, ...], int]],
    device: int,
    subsystem: int,
    system: System = RECENT,
) -> Box:
    tree = Tree(root)
    for address, pci_root, bridges, numa in places:
        tree.pci(
            address,
            vendor=0x10DE,
            device=device,
            class_code=0x030200,
            root=pci_root,
            bridges=bridges,
            numa=numa,
            driver="nvidia",
            subsystem=(0x10DE, subsystem),
        )
        tree.link(f"/sys/bus/pci/drivers/nvidia/{address}", f"/sys/bus/pci/devices/{address}")
    # What is no GPU: a switch of NVLinks, a network card, the sound of a graphics card.
    tree.pci("0000:07:00.0", vendor=0x10DE, device=0x22A3, class_code=0x068000, driver="nvidia-nvswitch")
    tree.pci("0000:18:00.0", vendor=0x15B3, device=0x1021, class_code=0x020000, driver="mlx5_core")
    for card in gpus.values():
        tree.file(f"/dev/nvidia{card.gpu.minor}")
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"):
        tree.file(f"/dev/{name}")
    tree.file(
        "/proc/devices",
        "Character devices:\n  1 mem\n195 nvidia\n234 nvidia-caps-imex-channels\n237 nvidia-caps\n508 nvidia-uvm\n\n"
        "Block devices:\n  8 sd",
    )
    tree.file("/proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nImexChannelCount: 2048\nEnableMSI: 1")
    tree.file("/proc/driver/nvidia/version", f"NVRM version: NVIDIA UNIX Open Kernel Module  {system.driver}")
    tree.file("/proc/sys/kernel/random/boot_id", BOOT)
    tree.file(LIBRARY)
    return Box(tree, FakeNvml(tree, system, gpus), FakeHost())


def h100(root: Path, **more: Any) -> Box:
    """A DGX H100: eight GPUs, NVSwitch inside of the machine, MIG mode off."""
    gpus, places = {}, []
    for minor, (bus, pci_root) in enumerate(H100_PLACES):
        address = f"0000:{bus}:00.0"
        bridge = f"0000:{pci_root}:01.0"
        places.append((address, f"pci0000:{pci_root}", (bridge,), minor // 4))
        gpus[address] = FakeGpu(
            Gpu(
                uuid=f"GPU-{uuid_of(address)}",
                minor=minor,
                name="NVIDIA H100 80GB HBM3",
                brand="Nvidia",
                architecture="Hopper",
                capability="9.0",
                memory=81559 * MIB,
                addressing="HMM",
                mig=False,
                mig_pending=False,
                module=minor + 1,
                nvlinks=18,
                fabric=Fabric("completed"),
            ),
            H100_80GB,
        )
    return _box(root, gpus, places, 0x2330, 0x16C1, **more)


def gb200(root: Path) -> Box:
    """A compute tray of an NVL72: four GPUs in one clique of a fabric that spans trays."""
    gpus, places = {}, []
    for minor, domain in enumerate(("0008", "0009", "0018", "0019")):
        address = f"{domain}:06:00.0"
        places.append((address, f"pci{domain}:00", (f"{domain}:00:00.0",), minor // 2))
        gpus[address] = FakeGpu(
            Gpu(
                uuid=f"GPU-{uuid_of(address)}",
                minor=minor,
                name="NVIDIA GB200",
                brand="Nvidia",
                architecture="Blackwell",
                capability="10.0",
                memory=189471 * MIB,
                addressing="ATS",
                mig=False,
                mig_pending=False,
                module=minor + 1,
                nvlinks=18,
                fabric=Fabric("completed", 0, CLUSTER, 32766),
            ),
        )
    return _box(root, gpus, places, 0x2941, 0x2046)


def l40s(root: Path) -> Box:
    """Two cards without MIG, NVLink or fabric, on an older kernel driver."""
    gpus, places = {}, []
    for minor, (bus, pci_root) in enumerate((("4f", "4e"), ("e1", "e0"))):
        address = f"0000:{bus}:00.0"
        places.append((address, f"pci0000:{pci_root}", (f"0000:{pci_root}:01.0",), minor))
        gpus[address] = FakeGpu(
            Gpu(
                uuid=f"GPU-{uuid_of(address)}",
                minor=minor,
                name="NVIDIA L40S",
                brand="Nvidia",
                architecture="Ada Lovelace",
                capability="8.9",
                memory=46068 * MIB,
                addressing="HMM",
            )
        )
    return _box(root, gpus, places, 0x26B9, 0x1851, System("535.129.03", "12.2"))


def a100(root: Path, instances: dict[int, Iterable[tuple[str, int]]] | None = None) -> Box:
    """A p4d.24xlarge: eight A100 40GB, MIG mode on where there are instances: minor to profile and start."""
    gpus, places = {}, []
    for minor, address in enumerate(f"0000:{bus}:1{slot}.0" for bus in ("10", "20", "90", "a0") for slot in "cd"):
        places.append((address, f"pci0000:{address[5:7]}", (), minor // 4))
        gpus[address] = FakeGpu(
            Gpu(
                uuid=f"GPU-{uuid_of(address)}",
                minor=minor,
                name="NVIDIA A100-SXM4-40GB",
                brand="Nvidia",
                architecture="Ampere",
                capability="8.0",
                memory=40960 * MIB,
                addressing="HMM",
                mig=False,
                mig_pending=False,
                nvlinks=12,
                fabric=None,
            ),
            A100_40GB,
        )
    return _cut(_box(root, gpus, places, 0x20B0, 0x134F, System("580.126.09", "13.0")), instances)


def gh200(root: Path, instances: dict[int, Iterable[tuple[str, int]]] | None = None) -> Box:
    """Two GH200 in one machine."""
    gpus, places = {}, []
    for minor, domain in enumerate(("0009", "0019")):
        address = f"{domain}:01:00.0"
        places.append((address, f"pci{domain}:00", (f"{domain}:00:00.0",), minor))
        gpus[address] = FakeGpu(
            Gpu(
                uuid=f"GPU-{uuid_of(address)}",
                minor=minor,
                name="NVIDIA GH200 96GB HBM3",
                brand="Nvidia",
                architecture="Hopper",
                capability="9.0",
                memory=97871 * MIB,
                addressing="ATS",
                mig=False,
                mig_pending=False,
            ),
            GH200_96GB,
        )
    return _cut(_box(root, gpus, places, 0x2342, 0x16EB), instances)


def _cut(box: Box, instances: dict[int, Iterable[tuple[str, int]]] | None) -> Box:
    for minor, places in (instances or {}).items():
        for profile, start in places:
            box.nvml.make(box.addresses()[minor], profile, start)
    return box


def half_balanced() -> dict[int, Iterable[tuple[str, int]]]:
    """What NVIDIA's mig-parted makes of its example: GPUs 0 to 3 cut into two 1g, a 2g and a 3g."""
    return dict.fromkeys(range(4), (("3g.20gb", 4), ("2g.10gb", 0), ("1g.5gb", 2), ("1g.5gb", 3)))


def cut_a100(root: Path) -> Box:
    """The node as mig-parted leaves it."""
    return a100(root, half_balanced())


def half_on(root: Path) -> Box:
    """The same node with the mode on, and nothing cut yet."""
    box = a100(root, half_balanced())
    for address, card in box.nvml.gpus.items():
        for one in list(card.instances):
            box.nvml.destroy(address, one.number)
    return box


@dataclass
class Node:
    """One node's worth of the kit: an engine that prepares, and where its files are."""

    root: Path
    boot: str = BOOT

    def engine(self, driver: Driver) -> Engine:
        """A newly started driver, with what it discovers now."""
        plugin = self.root / "plugin" / driver.name
        folder = SpecFolder(driver.name, self.root / "cdi")
        engine = Engine(
            driver,
            Store(plugin, self.boot),
            Steps(driver, folder, MetadataFolder(driver.name, plugin), self._told),
            self._told,
        )
        engine.inventory = make_inventory(driver.discover(), NODE)
        return engine

    def _told(self, event: str, **fields: object) -> None:
        assert event != "the driver failed", fields


def claim(
    uid: str,
    *devices: str | DeviceRequestAllocationResult,
    config: Iterable[dict[str, Any]] = (),
    driver: str = DRIVER,
) -> ResourceClaim:
    """An allocated claim; devices are of requests r0, r1 and so on unless they are results."""
    results = [
        DeviceRequestAllocationResult(request=f"r{at}", driver=driver, pool=NODE, device=one)
        if isinstance(one, str)
        else one
        for at, one in enumerate(devices)
    ]
    entries = [
        DeviceAllocationConfiguration(
            source="FromClaim",
            requests=one.get("requests", []),
            opaque=OpaqueDeviceConfiguration(
                driver=driver,
                parameters={"apiVersion": "resource.nvidia.com/v1beta1"}
                | {name: value for name, value in one.items() if name != "requests"},
            ),
        )
        for one in config
    ]
    return ResourceClaim(
        api_version="resource.k8s.io/v1",
        kind="ResourceClaim",
        metadata=ObjectMeta(name=f"claim-{uid}", namespace="ml", uid=uid),
        status=ResourceClaimStatus(
            allocation=AllocationResult(devices=DeviceAllocationResult(results=results, config=entries))
        ),
    )
