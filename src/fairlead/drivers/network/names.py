"""Names of vendors and network cards, for the attributes that claims select by.

DRANET publishes the names of the PCI id list, and claims ask for `Elastic Fabric Adapter (EFA)` or `... [ConnectX-7]`.
Here are the cards of data centres; anything else is published as its number in hexadecimal, as DRANET does with what
its list lacks. `pciids=FILE` reads a whole list instead. Source of the names: pci.ids (pci-ids.ucw.cz).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_VENDORS: Final = {
    0x10EC: "Realtek Semiconductor Co., Ltd.",
    0x14E4: "Broadcom Inc. and subsidiaries",
    0x15B3: "Mellanox Technologies",
    0x1AE0: "Google, Inc.",
    0x1AF4: "Red Hat, Inc.",
    0x1D0F: "Amazon.com, Inc.",
    0x1DD8: "AMD Pensando Systems",
    0x1414: "Microsoft Corporation",
    0x15AD: "VMware",
    0x8086: "Intel Corporation",
}
_DEVICES: Final = {
    (0x14E4, 0x1750): "BCM57508 NetXtreme-E 10Gb/25Gb/40Gb/50Gb/100Gb/200Gb Ethernet",
    (0x14E4, 0x1760): "BCM57608 10Gb/25Gb/50Gb/100Gb/200Gb/400Gb Ethernet",
    (0x15B3, 0x1017): "MT27800 Family [ConnectX-5]",
    (0x15B3, 0x1018): "MT27800 Family [ConnectX-5 Virtual Function]",
    (0x15B3, 0x1019): "MT28800 Family [ConnectX-5 Ex]",
    (0x15B3, 0x101A): "MT28800 Family [ConnectX-5 Ex Virtual Function]",
    (0x15B3, 0x101B): "MT28908 Family [ConnectX-6]",
    (0x15B3, 0x101C): "MT28908 Family [ConnectX-6 Virtual Function]",
    (0x15B3, 0x101D): "MT2892 Family [ConnectX-6 Dx]",
    (0x15B3, 0x101E): "ConnectX Family mlx5Gen Virtual Function",
    (0x15B3, 0x101F): "MT2894 Family [ConnectX-6 Lx]",
    (0x15B3, 0x1021): "MT2910 Family [ConnectX-7]",
    (0x15B3, 0x1023): "CX8 Family [ConnectX-8]",
    (0x15B3, 0xA2D6): "MT42822 BlueField-2 integrated ConnectX-6 Dx network controller",
    (0x15B3, 0xA2DC): "MT43244 BlueField-3 integrated ConnectX-7 network controller",
    (0x1AE0, 0x0042): "Compute Engine Virtual Ethernet [gVNIC]",
    (0x1AF4, 0x1000): "Virtio network device",
    (0x1AF4, 0x1041): "Virtio 1.0 network device",
    (0x1D0F, 0xEC20): "Elastic Network Adapter (ENA)",
    (0x1D0F, 0xEFA0): "Elastic Fabric Adapter (EFA)",
    (0x1D0F, 0xEFA1): "Elastic Fabric Adapter (EFA)",
    (0x1D0F, 0xEFA2): "Elastic Fabric Adapter (EFA)",
    (0x1D0F, 0xEFA3): "Elastic Fabric Adapter (EFA)",
    (0x8086, 0x154C): "Ethernet Virtual Function 700 Series",
    (0x8086, 0x1572): "Ethernet Controller X710 for 10GbE SFP+",
    (0x8086, 0x158B): "Ethernet Controller XXV710 for 25GbE SFP28",
    (0x8086, 0x1592): "Ethernet Controller E810-C for QSFP",
    (0x8086, 0x1593): "Ethernet Controller E810-C for SFP",
    (0x8086, 0x159B): "Ethernet Controller E810-XXV for SFP",
    (0x8086, 0x1889): "Ethernet Adaptive Virtual Function",
}


class Names:
    """Vendors, devices and subsystems by their numbers."""

    def __init__(self, file: Path | None = None) -> None:
        """Args:
        file: a PCI id list; None for the built-in names.

        Raises:
            OSError: it cannot be read.
        """
        self._vendors = dict(_VENDORS)
        self._devices = dict(_DEVICES)
        self._subsystems: dict[tuple[int, int, int, int], str] = {}
        if file is not None:
            self._read(file.read_text("utf-8", "replace"))

    def vendor(self, vendor: int) -> str:
        """The vendor's name, or its number."""
        return self._vendors.get(vendor, f"{vendor:04x}")

    def device(self, vendor: int, device: int) -> str:
        """The card's name, or its number."""
        return self._devices.get((vendor, device), f"{device:04x}")

    def subsystem(self, vendor: int, device: int, subsystem_vendor: int, subsystem: int) -> str:
        """The name of the card's maker for it, or its number."""
        return self._subsystems.get((vendor, device, subsystem_vendor, subsystem), f"{subsystem:04x}")

    def _read(self, text: str) -> None:
        vendor = device = 0
        for line in text.splitlines():
            if line.startswith("C "):
                return  # classes follow, and no vendor any more
            numbers, _, name = line.strip().partition("  ")
            if not name or line.startswith("#"):
                continue
            if line.startswith("\t\t"):
                one, _, two = numbers.partition(" ")
                self._subsystems[vendor, device, int(one, 16), int(two, 16)] = name
            elif line.startswith("\t"):
                device = int(numbers, 16)
                self._devices[vendor, device] = name
            else:
                vendor = int(numbers, 16)
                self._vendors[vendor] = name
