"""Network functions as DRANET publishes them (dra.net): one device a PCI function, named by its address.

Attributes are those of slices recorded on OCI and EKS. The slice holds the devices by PCI address.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.resource import Device
from fairlead.simulation.hardware.parts import NUMA, ROOT, attributes, mac_of
from fairlead.simulation.hardware.site import Site

DRIVER = "dra.net"
CLASS = "dranet.net"
CONNECTX_7 = ("Mellanox Technologies", "MT2910 Family [ConnectX-7]")
CONNECTX_8 = ("Mellanox Technologies", "CX8 Family [ConnectX-8]")
THOR_2 = ("Broadcom Inc. and subsidiaries", "BCM57608 25Gb/50Gb/100Gb/200Gb/400Gb Ethernet")
_NAME_MAX = 64
_NONE: Mapping[str, object] = {}


def nic(
    node: str,
    bus: str,
    interface: str,
    card: tuple[str, str],
    root: str,
    numa: int,
    *,
    standard_numa: bool = True,
    more: Mapping[str, object] = _NONE,
) -> Device:
    """A network function for RDMA.

    Args:
        node: the node that it is in.
        bus: PCI address.
        interface: name of the network interface.
        card: vendor and device, as the PCI id list calls them.
        root: PCI root complex.
        numa: NUMA node.
        standard_numa: whether the driver also publishes the standard attribute for it.
        more: attributes that a cloud's provider adds.
    """
    vendor, device = card
    values: dict[str, object] = {
        "dra.net/ifName": interface,
        "dra.net/mac": mac_of(f"{node}/{bus}"),
        "dra.net/mtu": 9000,
        "dra.net/numaNode": numa,
        "dra.net/pciAddress": bus,
        "dra.net/pciDevice": device[:_NAME_MAX],
        "dra.net/pciVendor": vendor,
        "dra.net/rdma": True,
        "dra.net/sriov": True,
        "dra.net/sriovVfs": 0,
        "dra.net/state": "up",
        "dra.net/type": "device",
        "dra.net/virtual": False,
        ROOT: root,
        NUMA: numa if standard_numa else None,
    }
    return Device(name=f"pci-{bus.replace(':', '-').replace('.', '-')}", attributes=attributes({**values, **more}))


def need_class(site: Site) -> None:
    """The class of all devices of the driver."""
    site.need_class(CLASS, f"device.driver == '{DRIVER}'")
