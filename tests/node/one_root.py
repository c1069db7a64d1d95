"""A made-up machine with a GPU, a network card and a BlueField on one PCIe root, and a GPU and a card on another.

The other root's devices come first in every list, so that a claim gets devices of one root only where something asks
for it. The cards are InfiniBand ports without IP over it, and the virtual functions of the DPU are bound to vfio-pci:
devices that containers get as nodes, for pods of the node tests share the network of the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from troubled import DRIVERS

from fairlead.drivers import make
from fairlead.drivers.nvidia.nvml import Gpu
from fairlead.hardware import LiveMachine, Recording, RecordingMachine, write_recording
from tests.drivers.bluefield.machines import SLOT, Host
from tests.drivers.network.machines import INFINIBAND, MELLANOX, FakeNetlink, Made
from tests.drivers.nvidia.fake_host import FakeHost
from tests.drivers.nvidia.fake_nvml import FakeGpu, FakeNvml, uuid_of
from tests.drivers.nvidia.machines import MIB, RECENT
from tests.hardware.tree import Tree

NEAR, FAR = "pci0000:3a", "pci0000:19"
DPU_FUNCTION = f"/sys/devices/{NEAR}/0000:3a:01.0/{SLOT}.3"
"""The virtual function of the DPU's first port."""
NODES = {
    "nvidia0": (195, 0),
    "nvidia1": (195, 1),
    "nvidiactl": (195, 255),
    "nvidia-uvm": (508, 0),
    "nvidia-uvm-tools": (508, 1),
    "infiniband/uverbs0": (231, 192),
    "infiniband/uverbs1": (231, 193),
    "infiniband/umad0": (231, 0),
    "infiniband/umad1": (231, 1),
    "infiniband/issm0": (231, 64),
    "infiniband/issm1": (231, 65),
    "infiniband/rdma_cm": (10, 58),
    "vfio/vfio": (10, 196),
    "vfio/70": (511, 0),
    "vfio/71": (511, 1),
}
"""What the machine has in /dev, with the numbers of the kernel's drivers."""


class _Box(LiveMachine):
    """The tree, with libraries in memory; the host asks no agent, for the DPU has none."""

    def __init__(self, tree: Tree, doors: dict[str, Any]) -> None:
        super().__init__(tree.root)
        self._doors = doors

    def door(self, kind: Any, live: Any) -> Any:
        return self._doors[kind.door] if kind.door in self._doors else live()


def record(folder: Path, file: Path) -> None:
    """Writes what the three drivers read of the machine."""
    cards = Made(folder)
    host = Host(cards.tree, "dpu", vfs=1)
    for pf in range(2):
        address = f"{SLOT[:-2]}0{pf}.3"
        cards.tree.bind(address, "vfio-pci")
        cards.tree.folder(f"/sys/kernel/iommu_groups/{70 + pf}")
        path = f"/sys/devices/{NEAR}/0000:3a:01.0/{address}"
        cards.tree.link(f"{path}/iommu_group", f"/sys/kernel/iommu_groups/{70 + pf}")
    gpus = {}
    for minor, (root, gpu, card) in enumerate(((FAR, "1b", "1a"), (NEAR, "3d", "3c"))):
        gpus[f"0000:{gpu}:00.0"] = _gpu(cards.tree, f"0000:{gpu}:00.0", root, minor)
        path = cards.tree.pci(
            f"0000:{card}:00.0",
            vendor=MELLANOX,
            device=0x1021,
            class_code=INFINIBAND,
            root=root,
            bridges=[f"{root.removeprefix('pci')}:03.0"],
            driver="mlx5_core",
        )
        cards.rdma(f"mlx5_{20 + minor}", path, minor, layer="InfiniBand", rate="400 Gb/sec (4X NDR)")
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"):
        cards.tree.file(f"/dev/{name}")
    cards.tree.file("/proc/devices", "Character devices:\n195 nvidia\n508 nvidia-uvm\n\nBlock devices:\n  8 sd")
    cards.tree.file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module  580.126.20")
    doors = {
        "nvml": FakeNvml(cards.tree, RECENT, gpus),
        "nvidia-host": FakeHost(None),
        "network": FakeNetlink(),
        "devlink": host.devlink,
    }
    recording = Recording(machine="one-root")
    machine = RecordingMachine(_Box(cards.tree, doors), recording)
    for text in DRIVERS:
        for driver in make(text, "localhost", machine):
            driver.discover()
            list(driver.health())
    write_recording(recording, file)


def _gpu(tree: Tree, address: str, root: str, minor: int) -> FakeGpu:
    tree.pci(
        address,
        vendor=0x10DE,
        device=0x2330,
        class_code=0x030200,
        root=root,
        bridges=[f"{root.removeprefix('pci')}:05.0"],
        driver="nvidia",
        subsystem=(0x10DE, 0x16C1),
    )
    tree.link(f"/sys/bus/pci/drivers/nvidia/{address}", f"/sys/bus/pci/devices/{address}")
    tree.file(f"/dev/nvidia{minor}")
    return FakeGpu(
        Gpu(
            uuid=f"GPU-{uuid_of(address)}",
            minor=minor,
            name="NVIDIA H100 PCIe",
            brand="Nvidia",
            architecture="Hopper",
            capability="9.0",
            memory=81559 * MIB,
            addressing="HMM",
            mig=False,
            mig_pending=False,
        )
    )
