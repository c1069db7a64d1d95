"""Which DPUs a host has, with their functions: a pure reading of a machine.

A DPU is what the host sees of a BlueField card: physical functions with one of NVIDIA's device ids for it, at one PCI
address but for the function; their virtual functions; and the sub-functions that exist now. The number of a physical
function is that of its PCI function, the number of a virtual one that of its `virtfn` link.

Mode: where devlink tells the host which mode the e-switch is in, the host manages it, which is NIC mode. Where the host
may not ask (EPERM, EOPNOTSUPP), the DPU's own processors do: DPU mode. Anything else is not known.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from fairlead.drivers.bluefield.devlink import Devlink, DevlinkInfo
from fairlead.drivers.bluefield.functions import Function
from fairlead.drivers.bluefield.vpd import Vpd, read_vpd
from fairlead.hardware import Files, HardwareError, PciFunction, Problems, pci_function, pci_functions

VENDOR: Final = 0x15B3
RDMA_CM: Final = "/dev/infiniband/rdma_cm"
MODELS: Final = {0xA2D2: "BlueField", 0xA2D6: "BlueField-2", 0xA2DC: "BlueField-3", 0xA2DF: "BlueField-4"}
"""Device ids of physical functions, from the PCI id list and the kernel's mlx5 driver."""
Mode = Literal["dpu", "nic", ""]
_ELSEWHERE: Final = ("EPERM", "EOPNOTSUPP")
_SUBFUNCTION: Final = re.compile(r"mlx5_core\.sf\.\d+")


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function of a DPU, as the host sees it."""

    function: Function
    pci: PciFunction
    """Of the function itself, or for a sub-function of its physical function."""
    path: str
    """The folder of the device whose `net` and `infiniband` are its own."""
    interface: str = ""
    """Empty where it has none here: another driver, or moved into a pod."""
    rdma: str = ""
    """Its RDMA device, such as `mlx5_0`."""


@dataclass(frozen=True, slots=True)
class Port:
    """A physical function with what is behind it; it stands for one port of the card."""

    physical: HostFunction
    virtual: tuple[HostFunction, ...] = ()
    sub: tuple[HostFunction, ...] = ()
    """Sub-functions that exist now."""
    megabits: int = 0
    """Speed of the link; 0 where it is down or not known."""


@dataclass(frozen=True, slots=True)
class Dpu:
    """One card."""

    slot: str
    """Its PCI address without the function: `0000:3b:00`."""
    model: str
    mode: Mode
    eswitch: str
    """legacy or switchdev, where the host manages it."""
    info: DevlinkInfo
    vpd: Vpd
    ports: tuple[Port, ...]


def find_dpus(files: Files, devlink: Devlink, problems: Problems) -> list[Dpu]:
    """The DPUs in the order of their addresses.

    Args:
        files: of the host.
        devlink: of the host.
        problems: gets a line for each thing that cannot be read; the rest is found.
    """
    physical: dict[str, list[PciFunction]] = {}
    for function in pci_functions(files, problems, VENDOR):
        if function.device in MODELS and not function.physical and function.class_code >> 16 == 0x02:
            physical.setdefault(function.address.rpartition(".")[0], []).append(function)
    return [_dpu(slot, functions, files, devlink, problems) for slot, functions in physical.items()]


def remembered(dpu: Dpu, before: Dpu | None) -> Dpu:
    """A card with what devlink said of it before, where it says nothing now: devices must not come and go with that."""
    if before is None or before.slot != dpu.slot:
        return dpu
    if not dpu.mode:
        dpu = replace(dpu, mode=before.mode, eswitch=before.eswitch)
    return replace(dpu, info=before.info) if dpu.info == DevlinkInfo() else dpu


def devlink_name(function: PciFunction) -> str:
    """How devlink names a function."""
    return f"pci/{function.address}"


def _dpu(slot: str, functions: list[PciFunction], files: Files, devlink: Devlink, problems: Problems) -> Dpu:
    first = functions[0]
    info, vpd = DevlinkInfo(), Vpd()
    with problems.of(first.address):
        info = devlink.info(devlink_name(first))
    mode, eswitch = _mode(first, devlink, problems)
    try:
        vpd = read_vpd(files.read(files.real(f"{first.path}/vpd")))
    except FileNotFoundError:
        pass  # a card, or a virtual machine, without
    except (OSError, ValueError) as error:
        problems.append(f"{first.address}: {first.path}/vpd: {getattr(error, 'strerror', None) or error}")
    ports = []
    for function in functions:
        with problems.of(function.address):
            ports.append(_port(function, files, problems))
    return Dpu(slot, MODELS[first.device], mode, eswitch, info, vpd, tuple(ports))


def _mode(function: PciFunction, devlink: Devlink, problems: Problems) -> tuple[Mode, str]:
    try:
        return "nic", devlink.eswitch(devlink_name(function))
    except HardwareError as error:
        if error.code in _ELSEWHERE:
            return "dpu", ""
        problems.append(f"{function.address}: mode: {error}")
        return "", ""


def _port(pci: PciFunction, files: Files, problems: Problems) -> Port:
    number = int(pci.address[-1])
    physical = _host_function(Function("pf", number), pci, pci.path, files)
    virtual = []
    for index, address in enumerate(pci.virtual):
        with problems.of(address):
            of = pci_function(files, address)
            virtual.append(_host_function(Function("vf", number, index), of, of.path, files))
    return Port(physical, tuple(virtual), tuple(sub_functions(pci, files)), _speed(physical, files))


def sub_functions(pci: PciFunction, files: Files) -> Iterable[HostFunction]:
    """The sub-functions of a physical function that exist now. OSError where they cannot be read."""
    for name in files.listed(pci.path):
        if _SUBFUNCTION.fullmatch(name):
            path = f"{pci.path}/{name}"
            number = files.number(f"{path}/sfnum")
            yield _host_function(Function("sf", int(pci.address[-1]), number), pci, path, files)


def _host_function(function: Function, pci: PciFunction, path: str, files: Files) -> HostFunction:
    interfaces, rdma = files.listed(f"{path}/net"), files.listed(f"{path}/infiniband")
    # Preparing asks for these: so a recording has them.
    files.listed(f"{path}/infiniband_verbs")
    for name in interfaces[:1]:
        with suppress(OSError):
            files.text(f"{path}/net/{name}/address")
    if rdma:
        files.exists(RDMA_CM)
    return HostFunction(function, pci, path, next(iter(interfaces), ""), next(iter(rdma), ""))


def host_function(dpu: Dpu, function: Function, files: Files) -> HostFunction | None:
    """A function as it is now; None where it is not there. OSError where it cannot be read."""
    port = next((one for one in dpu.ports if one.physical.function.pf == function.pf), None)
    if port is None:
        return None
    if function.kind == "sf":
        return next((one for one in sub_functions(port.physical.pci, files) if one.function == function), None)
    known = [port.physical, *port.virtual]
    found = next((one for one in known if one.function == function), None)
    if found is None or not files.exists(found.path):
        return None
    return _host_function(function, pci_function(files, found.pci.address), found.path, files)


def _speed(physical: HostFunction, files: Files) -> int:
    if not physical.interface:
        return 0
    try:
        return max(files.number(f"{physical.path}/net/{physical.interface}/speed"), 0)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return 0  # the kernel refuses to tell while the link is down
        raise
