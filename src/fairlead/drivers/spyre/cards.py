"""Spyre functions of a machine, and what is wrong with one: a pure reading of files.

A card is a PCI function (06a7) that may have virtual functions (06a8). Containers use them through VFIO, so one is
usable when it is bound to vfio-pci. A card that has fallen off the bus answers every read with ones, which shows in its
configuration space (revision ff), and not in what the kernel remembers of it.

Source: the ids and the two signs of a lost card are those of ibm-aiu/dra-driver-spyre and ibm-aiu/spyre-health-checker.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from fairlead.hardware import Files, PciFunction, Problems, pci_functions

VENDOR: Final = 0x1014
CARD: Final = 0x06A7
VIRTUAL: Final = 0x06A8
DRIVER: Final = "vfio-pci"
_PCI: Final = "/sys/bus/pci/devices"
_CLASSES: Final = (0x00, 0x12)
_REVISION: Final = 8
"""Where the configuration space has it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a function."""

    text: str
    certain: bool = True
    """False where it could not be told."""


def functions(files: Files, problems: Problems) -> list[PciFunction]:
    """The functions that containers could use, in the order of their addresses.

    Args:
        files: of the machine.
        problems: gets a line for each that is left out, and for those that cannot be given apart.
    """
    found = []
    for one in pci_functions(files, problems, VENDOR):
        if one.device not in (CARD, VIRTUAL) or one.class_code >> 16 not in _CLASSES:
            continue
        if one.driver not in ("", DRIVER):
            problems.append(f"{one.address}: is bound to {one.driver}, not to {DRIVER}: is left out")
            continue
        found.append(one)
    groups: dict[str, list[str]] = {}
    for one in found:
        if one.iommu_group:
            groups.setdefault(one.iommu_group, []).append(one.address)
    for group, members in groups.items():
        if len(members) > 1:
            problems.append(f"{', '.join(members)}: share IOMMU group {group}: only one container can use one of them")
    return found


def product(function: PciFunction) -> str:
    """`06a7` or `06a8`."""
    return f"{function.device:04x}"


def fault(files: Files, address: str) -> Fault | None:
    """What is wrong with a function now; None where nothing is."""
    path = f"{_PCI}/{address}"
    try:
        if not files.exists(path):
            return Fault("is not there any more")
        if _revision(files, path) == 0xFF:
            return Fault("does not answer: its configuration space reads ff")
        if not files.exists(f"{path}/driver"):
            return Fault("no kernel driver is bound to it")
        vfio_nodes(files, address)
    except PermissionError as error:
        return Fault(f"cannot be told: {error.filename}: {error.strerror}", certain=False)
    except OSError as error:
        return Fault(f"{error.filename}: {error.strerror}")
    return None


def signature(files: Files) -> object:
    """What tells that discovery has news, in few reads: the functions that are there, and what they are bound to."""
    try:
        names = files.listed(_PCI)
    except OSError as error:
        return error.errno
    return [(name, _last(files, f"{_PCI}/{name}/driver")) for name in names]


def vfio_nodes(files: Files, address: str) -> list[tuple[str, str]]:
    """The device nodes of a function: the path in a container, and that on the host.

    Raises:
        OSError: it has none.
    """
    link = f"{_PCI}/{address}/iommu_group"
    if not files.exists(link):
        raise OSError(errno.ENODEV, "is not there: VFIO can give no function without an IOMMU group", link)
    folder = files.real(link)
    group = folder.rsplit("/", 1)[-1]
    node = host = f"/dev/vfio/{group}"
    if files.exists(f"{folder}/name") and files.text(f"{folder}/name") == "vfio-noiommu":
        host = f"/dev/vfio/noiommu-{group}"
    if not files.exists(host):
        raise OSError(errno.ENODEV, f"is not there: is the function bound to {DRIVER}?", host)
    return [("/dev/vfio/vfio", "/dev/vfio/vfio"), (node, host)]


def _revision(files: Files, path: str) -> int | None:
    """From the configuration space; what the kernel remembers where that is not shown."""
    place = f"{path}/config"
    if files.exists(place):
        data = files.read(files.real(place))
        if len(data) > _REVISION:
            return data[_REVISION]
    return files.number(f"{path}/revision", 16) if files.exists(f"{path}/revision") else None


def _last(files: Files, path: str) -> str:
    try:
        return files.real(path).rsplit("/", 1)[-1]
    except OSError:
        return ""
