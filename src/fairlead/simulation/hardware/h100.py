"""Nodes with eight H100 on an HGX board: two sockets, a PCIe switch for each GPU and its NIC, one NIC a rail.

Addresses and pairs are those of a DGX H100 (NVIDIA DGX H100 user guide, table of network modules: the NICs of GPUs 0
to 7 are 18, 40, 4f, 5e, 9a, c0, ce, dc). All GPUs are joined by NVSwitch, so sets of GPUs in a node differ in the
network only: a GPU reads from a NIC below its own switch directly, from any other through the host.

`gpu-order` says which GPU has which minor number, hence the order in which the driver's slice holds them. `pci` is the
order of the bus, where the GPU and the NIC of the same number are neighbours. `probe` is for machines whose minor
numbers do not follow the bus: the kernel gives them as GPUs are probed, and NVIDIA states that they are not the PCI
order (NVIDIA/nvidia-docker#376, NVIDIA/nvidia-installer#21 for A100). The order used here, neighbours swapped in pairs,
is one such, not that of a certain product.
"""

from __future__ import annotations

from typing import Final

from fairlead.simulation.hardware import nics, nvidia
from fairlead.simulation.hardware.layout import LEAVES_PER_SPINE, PER_LEAF, PER_RACK, node_name, place_labels
from fairlead.simulation.hardware.profile import ZONE, Field, Part, Profile, name_field
from fairlead.simulation.hardware.site import Site

PLACES: Final = (
    ("1b", "18", "15"),
    ("43", "40", "3d"),
    ("52", "4f", "4c"),
    ("61", "5e", "5b"),
    ("9d", "9a", "97"),
    ("c3", "c0", "bd"),
    ("d1", "ce", "cb"),
    ("df", "dc", "d9"),
)
"""Bus of the GPU, of its NIC, and of their root."""
PROBED: Final = (2, 3, 0, 1, 6, 7, 4, 5)
"""Minor number of the GPU at each place, for `probe`."""
AMOUNTS: Final = {"cpu": "220", "memory": "1960Gi", "ephemeral-storage": "20Ti"}


def _build(part: Part, site: Site) -> None:
    count = part.number("nodes")
    minors = PROBED if part.text("gpu-order") == "probe" else tuple(range(8))
    nvidia.need_classes(site)
    nics.need_class(site)
    for number in range(count):
        node = node_name(part, number, count)
        rack, leaf = number // part.number("per-rack"), number // part.number("per-leaf")
        site.add_node(node, "amd64", AMOUNTS, place_labels(part, number, rack, leaf, "h100"))
        gpus, cards = [], []
        for place, (gpu, nic, root) in enumerate(PLACES):
            root, numa = f"pci0000:{root}", place // 4
            gpus.append((minors[place], nvidia.gpu(nvidia.H100, node, minors[place], f"0000:{gpu}:00.0", root, numa)))
            cards.append(nics.nic(node, f"0000:{nic}:00.0", f"rdma{place}", nics.CONNECTX_7, root, numa))
        site.publish(nvidia.DRIVER, [gpu for _, gpu in sorted(gpus, key=lambda one: one[0])], pool=node)
        site.publish(nics.DRIVER, cards, pool=node)


PROFILE = Profile(
    "h100",
    "nodes with 8 NVIDIA H100 (HGX), NVSwitch, 8 ConnectX-7 on 8 rails",
    (
        Field("nodes", 8, "number of nodes"),
        name_field("h100"),
        ZONE,
        PER_RACK,
        PER_LEAF,
        LEAVES_PER_SPINE,
        Field("gpu-order", "pci", "order of the GPUs in the driver's slice", choices=("pci", "probe")),
    ),
    _build,
)
