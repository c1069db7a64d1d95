"""Machines with Spyre cards as trees of files: eight cards on two sockets, without and with virtual functions.

Addresses, distances and NUMA nodes are those of IBM's own example slices and topology file. How bridges lie above the
cards is an assumption: four cards of a socket behind one switch, which is what distance 4 of 4 and 10 suggests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.hardware.tree import Tree

NEAR = {0: ("1a", "1c", "1d", "1e"), 1: ("3d", "3f", "40", "41")}
CARDS = [f"0000:{bus}:00.0" for buses in NEAR.values() for bus in buses]
TOPOLOGY = "/usr/local/etc/dra-driver-spyre/metadata/topo.json"
ROOTS = {
    0: ("pci0000:17", "0000:17:01.0", "0000:18:00.0", "0000:19"),
    1: ("pci0000:3a", "0000:3a:01.0", "0000:3b:00.0", "0000:3c"),
}


def cards(root: Path, *, topology: bool = True) -> Tree:
    """Eight cards that are bound to vfio-pci."""
    tree = Tree(root)
    group = 40
    for numa, buses in NEAR.items():
        complex_, port, upstream, downstream = ROOTS[numa]
        for number, bus in enumerate(buses):
            card(tree, f"0000:{bus}:00.0", complex_, [port, upstream, f"{downstream}:{number:02x}.0"], numa, group)
            group += 1
    tree.pci("0000:00:1f.0", vendor=0x8086, device=0x1234, class_code=0x060100)
    tree.pci("0000:02:00.0", vendor=0x1014, device=0x034A, class_code=0x010400, driver="ipr")
    tree.file("/dev/vfio/vfio")
    if topology:
        tree.file(TOPOLOGY, json.dumps(layout()))
    return tree


def on_power(root: Path) -> Tree:
    """Four cards of a Power partition: each below a host bridge of its own, in a PCI domain of its own."""
    tree = Tree(root)
    for number in range(4):
        bus = 0x50 + 0x10 * number
        domain = 0x0481 + number
        card(tree, f"{domain:04x}:{bus:02x}:00.0", f"pci{domain:04x}:{bus:02x}", [], number // 2, number)
    tree.file("/dev/vfio/vfio")
    return tree


def card(tree: Tree, address: str, root: str, bridges: list[str], numa: int, group: int) -> None:
    """One card."""
    path = tree.pci(
        address,
        vendor=0x1014,
        device=0x06A7,
        class_code=0x120000,
        root=root,
        bridges=bridges,
        numa=numa,
        driver="vfio-pci",
        iommu_group=group,
        total_virtual=8,
    )
    space(tree, path, 0x06A7)
    tree.file(f"/dev/vfio/{group}")


def with_virtual(root: Path, count: int = 8) -> Tree:
    """The same cards, with virtual functions that are bound to vfio-pci, too."""
    tree = cards(root)
    for number, address in enumerate(CARDS):
        add_virtual(tree, address, count, 100 + 10 * number)
    return tree


def add_virtual(tree: Tree, address: str, count: int, group: int) -> list[str]:
    """A card gets virtual functions; their addresses."""
    stem = address.partition(".")[0][:-1]
    addresses = [f"{stem}{number // 8}.{number % 8}" for number in range(1, count + 1)]
    for number, path in enumerate(tree.virtual(address, addresses, 0x06A8, "vfio-pci")):
        tree.folder(f"/sys/kernel/iommu_groups/{group + number}")
        tree.link(f"{path}/iommu_group", f"/sys/kernel/iommu_groups/{group + number}")
        tree.file(f"/dev/vfio/{group + number}")
        space(tree, path, 0x06A8)
    return addresses


def space(tree: Tree, path: str, device: int) -> None:
    """The start of a function's configuration space, of a card that answers."""
    data = bytearray(64)
    data[0:4] = (0x1014).to_bytes(2, "little") + device.to_bytes(2, "little")
    data[8] = 1
    tree.file(f"{path}/config", bytes(data))


def lose(tree: Tree, address: str) -> None:
    """A card falls off the bus: it answers with ones."""
    tree.file(f"{place(tree, address)}/config", b"\xff" * 64)


def place(tree: Tree, address: str) -> str:
    """The folder of a function."""
    return str((tree.root / "sys/bus/pci/devices" / address).readlink())


def layout(metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A topology file as IBM's tools write it, with numbers as texts."""
    found = {}
    for numa, buses in NEAR.items():
        for bus in buses:
            near = {f"0000:{one}:00.0": 4 for one in buses if one != bus}
            far = {f"0000:{one}:00.0": 10 for other, many in NEAR.items() for one in many if other != numa}
            found[f"0000:{bus}:00.0"] = {
                "name": "IBM Device 06a7 (rev 01)",
                "numanode": str(numa),
                "linkspeed": "20.0 GB/s",
                "peers": {"peers_0": near, "peers_1": far},
                **({"metadata": metadata} if metadata else {}),
            }
    return {"timestamp": "Fri Jun 21 08:15:40 2024", "num_devices": "8", "devices": found}
