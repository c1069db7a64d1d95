"""PCI functions as the kernel shows them in /sys/bus/pci/devices, and the standard attributes of devices.

Kubernetes names three attributes that every driver should publish in the same words, so that claims can ask for a GPU
and a NIC that are close: `resource.kubernetes.io/pciBusID` (`0000:3b:00.0`), `.../pcieRoot` (`pci0000:3a`, the root
complex as the kernel names it) and `.../numaNode` (KEP-4381, KEP-6072).
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fairlead.hardware.files import Files
from fairlead.hardware.problems import Problems
from fairlead.resource import DeviceAttribute

_FOLDER: Final = "/sys/bus/pci/devices"
_ADDRESS: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
STANDARD: Final = "resource.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One function of a PCI device."""

    address: str
    """Domain, bus, device and function: `0000:3b:00.0`."""
    path: str
    """Its folder, without links: `/sys/devices/pci0000:3a/0000:3a:01.0/0000:3b:00.0`."""
    vendor: int
    device: int
    class_code: int
    """Three bytes: base class, sub-class, interface; 0x020000 is an Ethernet controller."""
    subsystem_vendor: int = 0
    subsystem_device: int = 0
    numa: int | None = None
    """None where the firmware does not say."""
    driver: str = ""
    """The kernel driver that is bound to it; empty for none."""
    iommu_group: str = ""
    physical: str = ""
    """The address of the physical function that this is a virtual function of."""
    virtual: tuple[str, ...] = ()
    """The addresses of its virtual functions, in the order of their numbers."""
    total_virtual: int = 0
    """How many virtual functions it could have."""

    @property
    def root(self) -> str:
        """The root complex, `pci0000:3a`; empty where the path names none."""
        return next((part for part in self.path.split("/") if re.fullmatch(r"pci[0-9a-f]{4,8}:[0-9a-f]{2}", part)), "")

    @property
    def bridges(self) -> tuple[str, ...]:
        """The addresses of the bridges above it, from the root port down."""
        return tuple(part for part in self.path.split("/")[:-1] if _ADDRESS.fullmatch(part))


def pci_functions(files: Files, problems: Problems, vendor: int | None = None) -> Iterator[PciFunction]:
    """All PCI functions in the order of their addresses, or those of a vendor.

    Args:
        files: of the machine.
        problems: gets a line for each function that cannot be read.
        vendor: PCI vendor id; None for all.
    """
    for address in files.listed(_FOLDER):
        with problems.of(address):
            if vendor is None or _code(files, f"{_FOLDER}/{address}/vendor", 16) == vendor:
                yield pci_function(files, address)


def pci_function(files: Files, address: str) -> PciFunction:
    """One function.

    Raises:
        OSError: it is not there, or what it must have cannot be read.
    """
    path = files.real(f"{_FOLDER}/{address}")
    return PciFunction(
        address,
        path,
        _code(files, f"{path}/vendor", 16),
        _code(files, f"{path}/device", 16),
        _code(files, f"{path}/class", 24),
        _optional(files, f"{path}/subsystem_vendor", 16) or 0,
        _optional(files, f"{path}/subsystem_device", 16) or 0,
        _numa(files, path),
        _linked(files, f"{path}/driver"),
        _linked(files, f"{path}/iommu_group"),
        _linked(files, f"{path}/physfn"),
        _virtual(files, path),
        _optional(files, f"{path}/sriov_totalvfs") or 0,
    )


def standard_attributes(function: PciFunction) -> dict[str, DeviceAttribute]:
    """The attributes that Kubernetes names, as far as they are known."""
    known = {STANDARD + "pciBusID": DeviceAttribute(string=function.address)}
    if function.root:
        known[STANDARD + "pcieRoot"] = DeviceAttribute(string=function.root)
    if function.numa is not None:
        known[STANDARD + "numaNode"] = DeviceAttribute(int_=function.numa)
    return known


def _code(files: Files, path: str, bits: int) -> int:
    """A number of so many bits, in hexadecimal."""
    number = files.number(path, 16)
    if not 0 <= number < 1 << bits:
        raise OSError(errno.EINVAL, f"holds more than {bits} bits: {number:#x}", path)
    return number


def _numa(files: Files, path: str) -> int | None:
    number = _optional(files, f"{path}/numa_node")
    return None if number is None or number < 0 else number


def _optional(files: Files, path: str, base: int = 10) -> int | None:
    try:
        return files.number(path, base)
    except FileNotFoundError:
        return None


def _linked(files: Files, path: str) -> str:
    """The last name of where a link leads; empty where there is none."""
    try:
        return files.target(path).rstrip("/").rsplit("/", 1)[-1]
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return ""
        raise


def _virtual(files: Files, path: str) -> tuple[str, ...]:
    numbers = [int(name[6:]) for name in files.listed(path) if name.startswith("virtfn") and name[6:].isdigit()]
    return tuple(_linked(files, f"{path}/virtfn{number}") for number in sorted(numbers))
