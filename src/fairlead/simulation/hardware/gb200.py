"""Racks of GB200 NVL72: 18 trays of four GPUs, all 72 GPUs of a rack in one NVLink domain.

A tray is as recorded on OCI (BM.GPU.GB200-v3.4): GPUs on PCI domains 0008, 0009, 0018, 0019 without a NUMA node, eight
functions of four ConnectX-8 on other PCI roots with their NUMA node, and the fabric's name on the NICs. The NVLink
domain is the node label `nvidia.com/gpu.clique` and Topograph's label for accelerators. Real racks lack trays: they
are in repair, or were never handed over; `missing` of all trays of the part are, spread evenly over the racks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fairlead.resource import Device
from fairlead.simulation.hardware import nics, nvidia
from fairlead.simulation.hardware.layout import LEAVES_PER_SPINE, place_labels
from fairlead.simulation.hardware.parts import uuid_of
from fairlead.simulation.hardware.profile import ZONE, Field, Part, Profile, name_field
from fairlead.simulation.hardware.site import Site

GPU_DOMAINS: Final = (("0008", 0), ("0009", 0), ("0018", 1), ("0019", 1))
NIC_DOMAINS: Final = (("0000", 0), ("0002", 0), ("0010", 1), ("0012", 1))
AMOUNTS: Final = {"cpu": "140", "memory": "860Gi", "ephemeral-storage": "12Ti"}
_STEP: Final = 7
"""Trays of a rack go missing in steps of this many, which is prime to every number of trays but 7 and 14."""


def _build(part: Part, site: Site) -> None:
    racks, trays = part.number("racks"), part.number("trays")
    nvidia.need_classes(site)
    nics.need_class(site)
    gone = _missing(part.number("missing"), racks, trays)
    for rack in range(racks):
        fabric = uuid_of(f"{part.text('zone')}/{part.text('name')}/{rack}")
        leaf = rack // part.number("racks-per-leaf")
        labels = place_labels(part, rack, rack, leaf, "gb200")
        labels["nvidia.com/gpu.clique"] = f"{fabric}.0"
        labels["network.topology.nvidia.com/accelerator"] = f"{fabric}.0"
        cloud = {
            "oke.dra.net/gpuMemoryFabricId": f"{fabric}.0",
            "oke.dra.net/rackId": labels["cloud.provider.com/topology-rack"],
            "oke.dra.net/localBlockId": labels["cloud.provider.com/topology-block"],
        }
        width = max(2, len(str(racks)))
        for tray in range(trays):
            if (rack, tray) not in gone:
                _add_tray(site, f"{part.text('name')}-{rack + 1:0{width}d}-{tray + 1:02d}", labels, cloud)


def _add_tray(site: Site, node: str, labels: dict[str, str], cloud: Mapping[str, object]) -> None:
    site.add_node(node, "arm64", AMOUNTS, labels)
    gpus = [
        nvidia.gpu(nvidia.GB200, node, minor, f"{domain}:06:00.0", f"pci{domain}:00", None)
        for minor, (domain, _) in enumerate(GPU_DOMAINS)
    ]
    cards: list[Device] = []
    for domain, numa in NIC_DOMAINS:
        for function in range(2):
            bus, interface = f"{domain}:03:00.{function}", f"rdma{len(cards)}"
            root = f"pci{domain}:00"
            cards.append(nics.nic(node, bus, interface, nics.CONNECTX_8, root, numa, standard_numa=False, more=cloud))
    site.publish(nvidia.DRIVER, gpus, pool=node)
    site.publish(nics.DRIVER, cards, pool=node)


def _missing(count: int, racks: int, trays: int) -> set[tuple[int, int]]:
    """Rack and tray of those that are not there: one rack after another, spread in each; a rack keeps a tray."""
    step = _STEP if trays % _STEP else 1
    return {
        (number % racks, (number % racks + step * (number // racks)) % trays)
        for number in range(min(count, racks * (trays - 1)))
    }


PROFILE = Profile(
    "gb200",
    "racks of NVIDIA GB200 NVL72: trays of 4 GPUs in one NVLink domain a rack, ConnectX-8",
    (
        Field("racks", 2, "number of racks", most=600),
        Field("trays", 18, "trays in a full rack", most=18),
        Field("missing", 0, "trays that are not there, of all racks together", least=0),
        name_field("gb200"),
        ZONE,
        Field("racks-per-leaf", 4, "racks below one set of leaf switches (label block)"),
        LEAVES_PER_SPINE,
    ),
    _build,
)
