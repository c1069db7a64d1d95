"""Virtual functions through /sys: making them, and binding another kernel driver to one.

The kernel does both in the background of a write, so each is waited for, and undone where it does not come about.
Source: kernel documentation, PCI/pci-iov-howto and ABI/testing/sysfs-bus-pci.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from fairlead.hardware import Files, HardwareError, pci_function

_BUS: Final = "/sys/bus/pci"
_PATIENCE: Final = 10.0
_STEP: Final = 0.02


def make_functions(files: Files, address: str, number: int, patience: float = _PATIENCE) -> None:
    """Lets a physical function have so many virtual functions; nothing happens where it has them.

    Existing ones are never removed to make another number: they may be in use.

    Args:
        files: of the machine.
        address: of the physical function.
        number: of virtual functions.
        patience: seconds to wait for all of them.

    Raises:
        HardwareError: it does not come about; there are none then, as before.
    """
    place = f"{_BUS}/devices/{address}"
    try:
        has = files.number(f"{place}/sriov_numvfs")
        most = files.number(f"{place}/sriov_totalvfs")
        if has == number:
            return
        if number > most:
            raise HardwareError(f"{address}: can have {most} virtual functions, not {number}")
        if has:
            raise HardwareError(f"{address}: has {has} virtual functions, not {number}; remove them first, if unused")
        files.put(f"{place}/sriov_numvfs", str(number))
    except FileNotFoundError:
        raise HardwareError(f"{address}: is no function that can have virtual functions") from None
    except OSError as error:
        raise HardwareError(f"{address}: sriov_numvfs: {error.strerror}") from None

    def there() -> bool:
        return len(pci_function(files, address).virtual) == number

    if not _comes(there, patience):
        came = len(pci_function(files, address).virtual)
        files.put(f"{place}/sriov_numvfs", "0")
        raise HardwareError(f"{address}: only {came} of {number} virtual functions appeared; none are left")


def bound(files: Files, address: str) -> str:
    """The kernel driver of a function; empty for none, and for a function that is gone."""
    try:
        return pci_function(files, address).driver
    except OSError:
        return ""


def override(files: Files, address: str) -> str:
    """Which kernel driver was ordered for a function; empty for the usual one."""
    try:
        text = files.text(f"{_BUS}/devices/{address}/driver_override")
    except OSError:
        return ""
    return "" if text == "(null)" else text


def bind(files: Files, address: str, driver: str, patience: float = _PATIENCE) -> None:
    """Binds a kernel driver to a function; nothing happens where it is bound.

    Args:
        files: of the machine.
        address: of the function.
        driver: its name.
        patience: seconds to wait for it.

    Raises:
        HardwareError: it does not come about, for instance since its module is not loaded.
    """
    if bound(files, address) == driver:
        return
    if not files.exists(f"{_BUS}/drivers/{driver}"):
        raise HardwareError(f"{address}: the kernel has no driver {driver}: load its module on the node")
    _rebind(files, address, driver, driver, patience)


def bind_back(files: Files, address: str, driver: str, ordered: str, patience: float = _PATIENCE) -> None:
    """Undoes `bind`, whole or in part; nothing happens for a function that is gone.

    Args:
        files: of the machine.
        address: of the function.
        driver: what was bound before; empty for none.
        ordered: what `override` said before.
        patience: seconds to wait for it.

    Raises:
        HardwareError: it does not come about.
    """
    if not files.exists(f"{_BUS}/devices/{address}"):
        return
    if bound(files, address) != driver or override(files, address) != ordered:
        _rebind(files, address, driver, ordered, patience)


def _rebind(files: Files, address: str, driver: str, ordered: str, patience: float) -> None:
    now = bound(files, address)
    try:
        # A line end alone takes an order back.
        files.put(f"{_BUS}/devices/{address}/driver_override", f"{ordered}\n")
        if now == driver:
            return
        if now:
            files.put(f"{_BUS}/drivers/{now}/unbind", address)
        if driver:
            files.put(f"{_BUS}/drivers_probe", address)
    except OSError as error:
        raise HardwareError(f"{address}: {error.filename}: {error.strerror}") from None
    if not _comes(lambda: bound(files, address) == driver, patience):
        raise HardwareError(
            f"{address}: {driver} does not bind to it" if driver else f"{address}: {now} does not let go"
        )


def iommu_node(files: Files, address: str) -> str:
    """The VFIO node of a function. HardwareError where it is in no IOMMU group."""
    try:
        group = pci_function(files, address).iommu_group
    except OSError as error:
        raise HardwareError(f"{address}: {error.strerror}") from None
    if not group:
        raise HardwareError(f"{address}: is in no IOMMU group, so vfio-pci cannot pass it on")
    return f"/dev/vfio/{group}"


def _comes(there: Callable[[], bool], patience: float) -> bool:
    until = time.monotonic() + patience
    while not there():
        if time.monotonic() >= until:
            return False
        time.sleep(_STEP)
    return True
