"""RDMA devices as the kernel shows them in /sys/class/infiniband, and the nodes in /dev that programs open.

Two worlds: a device belongs to a PCI function (its `device` link), and has one `uverbs` node; `umad` and `issm` nodes
are for managing a fabric. `rdma_cm` is one for all. Source: kernel documentation, infiniband/user_verbs, user_mad.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fairlead.hardware import Files, Problems

_FOLDER: Final = "/sys/class/infiniband"
_MODE: Final = "/sys/module/ib_core/parameters/netns_mode"
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?) Gb/sec.*")
CONNECTIONS: Final = "/dev/infiniband/rdma_cm"


class RdmaDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One RDMA device of a PCI function."""

    name: str
    """`mlx5_0`."""
    layer: str = ""
    """`InfiniBand` or `Ethernet`; EFA says nothing useful here and has Unspecified."""
    state: str = ""
    """Of its first port: `ACTIVE`, `DOWN`, `INIT`, `ARMED`."""
    gbits: float | None = None
    """The first port's rate in Gbit/s; None where it is not known."""
    guid: str = ""
    """Of the node."""
    nodes: tuple[str, ...] = ()
    """What a program needs of /dev, without `rdma_cm`."""
    managing: tuple[str, ...] = ()
    """Nodes of /dev by which the fabric is managed."""


def rdma_devices(files: Files, problems: Problems) -> dict[str, RdmaDevice]:
    """All RDMA devices by the address of their PCI function."""
    found: dict[str, RdmaDevice] = {}
    files.exists(CONNECTIONS)  # preparing asks for it: so a recording has it
    names: list[str] = []
    with problems.of("RDMA devices"):
        names = files.listed(_FOLDER)
    for name in names:
        with problems.of(f"RDMA device {name}"):
            try:
                address = files.real(f"{_FOLDER}/{name}/device").rsplit("/", 1)[-1]
            except FileNotFoundError:
                continue  # software RDMA (rxe, siw) has no device
            found[address] = _device(files, name)
    return found


def exclusive(files: Files) -> bool:
    """Whether an RDMA device is in one network namespace only, and moves; else all namespaces share all devices."""
    try:
        return files.text(_MODE).upper() in ("N", "0")
    except OSError:
        return False


def _device(files: Files, name: str) -> RdmaDevice:
    place = f"{_FOLDER}/{name}"
    ports = files.listed(f"{place}/ports")
    port = f"{place}/ports/{ports[0]}" if ports else ""
    rate = _RATE.fullmatch(_text(files, f"{port}/rate")) if port else None
    return RdmaDevice(
        name,
        _text(files, f"{port}/link_layer") if port else "",
        _text(files, f"{port}/state").rpartition(" ")[2] if port else "",
        float(rate[1]) if rate else None,
        _text(files, f"{place}/node_guid"),
        tuple(f"/dev/infiniband/{one}" for one in files.listed(f"{place}/device/infiniband_verbs")),
        tuple(f"/dev/infiniband/{one}" for one in files.listed(f"{place}/device/infiniband_mad")),
    )


def _text(files: Files, path: str) -> str:
    try:
        return files.text(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
