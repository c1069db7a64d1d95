"""Nodes with eight AMD MI300X: a mesh of xGMI links, a PCIe switch for each GPU and its NIC.

Attributes as AMD's driver publishes them (gpu.amd.com). The addresses are of the form that such servers have; they are
not those of a certain product.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import Device
from fairlead.simulation.hardware import nics
from fairlead.simulation.hardware.layout import LEAVES_PER_SPINE, PER_LEAF, PER_RACK, node_name, place_labels
from fairlead.simulation.hardware.parts import ROOT, Version, attributes, capacity
from fairlead.simulation.hardware.profile import ZONE, Field, Part, Profile, name_field
from fairlead.simulation.hardware.site import Site

DRIVER: Final = "gpu.amd.com"
PLACES: Final = (
    ("0c", "09", "07"),
    ("22", "1f", "1d"),
    ("38", "35", "33"),
    ("5c", "59", "57"),
    ("9f", "9c", "9a"),
    ("af", "ac", "aa"),
    ("bf", "bc", "ba"),
    ("df", "dc", "da"),
)
"""Bus of the GPU, of its NIC, and of their root."""
AMOUNTS: Final = {"cpu": "184", "memory": "2200Gi", "ephemeral-storage": "20Ti"}
_FIRST_RENDER = 128


def _gpu(index: int, bus: str, root: str, numa: int) -> Device:
    values = {
        "type": "amdgpu",
        "pciAddr": bus,
        "cardIndex": index,
        "renderIndex": _FIRST_RENDER + index,
        "deviceID": "74a1",
        "family": "AI",
        "productName": "AMD_Instinct_MI300X_OAM",
        "driverVersion": Version("6.12.12"),
        "partitionProfile": "spx_nps1",
        "numaNode": numa,
        ROOT: root,
    }
    amounts = capacity(memory="196592Mi", computeUnits="304", simdUnits="1216")
    return Device(name=f"gpu-{index}-{_FIRST_RENDER + index}", attributes=attributes(values), capacity=amounts)


def _build(part: Part, site: Site) -> None:
    count = part.number("nodes")
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    nics.need_class(site)
    for number in range(count):
        node = node_name(part, number, count)
        rack, leaf = number // part.number("per-rack"), number // part.number("per-leaf")
        site.add_node(node, "amd64", AMOUNTS, place_labels(part, number, rack, leaf, "mi300x"))
        gpus, cards = [], []
        for place, (gpu, nic, root) in enumerate(PLACES):
            root, numa = f"pci0000:{root}", place // 4
            gpus.append(_gpu(place, f"0000:{gpu}:00.0", root, numa))
            cards.append(nics.nic(node, f"0000:{nic}:00.0", f"rdma{place}", nics.THOR_2, root, numa))
        site.publish(DRIVER, gpus, pool=node)
        site.publish(nics.DRIVER, cards, pool=node)


PROFILE = Profile(
    "mi300x",
    "nodes with 8 AMD MI300X in an xGMI mesh, 8 NICs of 400 Gb/s",
    (Field("nodes", 8, "number of nodes"), name_field("mi300x"), ZONE, PER_RACK, PER_LEAF, LEAVES_PER_SPINE),
    _build,
)
