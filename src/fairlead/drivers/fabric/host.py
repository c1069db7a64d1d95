"""A node's side: the attached device among the node's PCI functions, its device nodes, and its removal.

A manager does not know under which PCI address the node sees a device. It is found by its serial number, which a
function shows as an NVMe drive, in its vital product data (VPD), or as Device Serial Number of its configuration space;
where no function with the right ids shows one, by these ids, if there is only one such function.

Source: PCI Express Base 6.0, 7.9.3 (Device Serial Number) and PCI 2.2 appendix I (VPD); Linux sysfs ABI (`remove`,
`rescan`, `vpd`, `config`), /proc/driver/nvidia.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fairlead.driver import DeviceNode
from fairlead.hardware import Files, HardwareError, PciFunction, Problems, pci_functions

_CLASSES: Final = {"drm": "/dev/dri", "accel": "/dev/accel", "infiniband_verbs": "/dev/infiniband", "nvme": "/dev"}
"""Folders of a function in sysfs whose entries are device nodes."""
_NODE: Final = re.compile(r"card\d+|renderD\d+|accel\d+|uverbs\d+|nvme\d+")
_EXTENDED: Final = 0x100
_DSN: Final = 0x0003


def find(files: Files, serial: str, vendor: str, device: str) -> PciFunction | None:
    """The function of a device; None where it is not there (yet).

    Args:
        files: of the node.
        serial: of the device; empty where it is not known.
        vendor: PCI vendor id in hexadecimal digits; empty where it is not known.
        device: PCI device id, likewise.

    Raises:
        HardwareError: it cannot be told which function it is.
    """
    if not serial and not (vendor and device):
        raise HardwareError("neither its serial number nor its PCI ids are known: it cannot be found on the node")
    problems = Problems()
    alike = [
        one
        for one in pci_functions(files, problems)
        if not one.physical
        and (not vendor or one.vendor == int(vendor, 16))
        and (not device or one.device == int(device, 16))
    ]
    shown = {one.address: set(serials(files, one)) for one in alike}
    if serial:
        for one in alike:
            if _plain(serial) in shown[one.address]:
                return one
    if not (vendor and device):
        return None
    mute = [one for one in alike if not shown[one.address]]
    if len(mute) > 1:
        listed = ", ".join(one.address for one in mute)
        raise HardwareError(f"several functions with ids {vendor}:{device} show no serial number: {listed}")
    return mute[0] if mute else None


def serials(files: Files, function: PciFunction) -> Iterator[str]:
    """All serial numbers that a function shows, without punctuation."""
    for name in files.listed(f"{function.path}/nvme"):
        if text := _read(files, f"{function.path}/nvme/{name}/serial").decode(errors="replace").strip():
            yield _plain(text)
    if text := _from_vpd(_read(files, f"{function.path}/vpd")):
        yield _plain(text)
    if text := _from_config(_read(files, f"{function.path}/config")):
        yield text


def device_nodes(files: Files, function: PciFunction) -> list[DeviceNode]:
    """The device nodes that containers need for a function; none as long as its kernel driver has made none."""
    paths = []
    for name, folder in _CLASSES.items():
        for entry in files.listed(f"{function.path}/{name}"):
            if _NODE.fullmatch(entry):
                paths.append(f"{folder}/{entry}")
                spaces = files.listed(f"{function.path}/{name}/{entry}") if name == "nvme" else []
                paths += [f"/dev/{one}" for one in spaces if re.fullmatch(entry + r"n\d+", one)]
    if function.driver == "nvidia":
        text = _read(files, f"/proc/driver/nvidia/gpus/{function.address}/information").decode(errors="replace")
        if minor := re.search(r"Device Minor:\s*(\d+)", text):
            paths += [f"/dev/nvidia{minor[1]}", "/dev/nvidiactl", "/dev/nvidia-uvm"]
    if function.driver == "vfio-pci" and function.iommu_group:
        paths += [f"/dev/vfio/{function.iommu_group}", "/dev/vfio/vfio"]
    return [DeviceNode(path=path, permissions="rw") for path in paths if files.exists(path)]


def rescan(files: Files) -> None:
    """Lets the kernel look for what was attached, also after it was removed by us; nothing happens where it cannot."""
    try:
        files.put("/sys/bus/pci/rescan", "1")
    except OSError:
        return


def remove(files: Files, function: PciFunction) -> None:
    """Takes a device with all of its functions from the kernel, before it is detached.

    Raises:
        OSError: it cannot be removed.
    """
    slot = function.address.rpartition(".")[0]
    for address in reversed(files.listed("/sys/bus/pci/devices")):
        if address.rpartition(".")[0] == slot:
            try:
                files.put(f"/sys/bus/pci/devices/{address}/remove", "1")
            except FileNotFoundError:
                continue


def _read(files: Files, path: str) -> bytes:
    """A file's content; nothing where there is none, or where it may not be read."""
    try:
        return files.read(files.real(path))
    except OSError:
        return b""


def _from_vpd(data: bytes) -> str:
    at = 0
    while at + 3 <= len(data) and data[at] & 0x80:
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 3], "little")
        field, end = at + 3, min(at + 3 + size, len(data))
        while kind == 0x90 and field + 3 <= end:
            length = data[field + 2]
            if data[field : field + 2] == b"SN":
                return data[field + 3 : field + 3 + length].decode(errors="replace").strip(" \0")
            field += 3 + length
        at += 3 + size
    return ""


def _from_config(data: bytes) -> str:
    """The Device Serial Number as 16 hexadecimal digits; empty for none, and for one that is zero."""
    at, seen = _EXTENDED, 0
    while at >= _EXTENDED and at + 12 <= len(data) and seen < 64:
        head = int.from_bytes(data[at : at + 4], "little")
        if head & 0xFFFF == _DSN:
            number = int.from_bytes(data[at + 4 : at + 12], "little")
            return f"{number:016x}" if number else ""
        at, seen = head >> 20, seen + 1
    return ""


def _plain(serial: str) -> str:
    return re.sub("[^0-9a-z]", "", serial.lower())
