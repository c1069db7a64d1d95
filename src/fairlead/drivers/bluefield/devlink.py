"""The door to devlink: PCI network devices, their e-switch, ports and functions, as the kernel shows them.

Devices are named by bus and address, `pci/0000:03:00.0`; ports by device and index, `pci/0000:03:00.0/32769`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import msgspec

from fairlead.hardware import Door


class DevlinkInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device says of its driver and firmware; empty where it does not say."""

    driver: str = ""
    serial: str = ""
    firmware: str = ""
    """The version that runs."""
    psid: str = ""
    """Which board the firmware was made for."""


class DevlinkPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port of an e-switch. Numbers are -1 where the port has none of the kind."""

    handle: str
    flavour: str
    """physical, pcipf, pcivf, pcisf, virtual, ..."""
    netdev: str = ""
    """The interface on this side: the representor, or the uplink."""
    controller: int = 0
    """0 for functions of this machine, others for those of the host that a DPU serves."""
    physical: int = -1
    pf: int = -1
    vf: int = -1
    sf: int = -1
    mac: str = ""
    state: str = ""
    """active or inactive, for SFs."""
    opstate: str = ""
    """attached once the function's driver is there."""
    ipsec: bool = False
    """Whether the function can have IPsec offloaded."""

    @property
    def device(self) -> str:
        """The device that the port belongs to."""
        return self.handle.rpartition("/")[0]


class Devlink(Door):
    """What is asked of devlink. All methods raise HardwareError."""

    door: ClassVar[str] = "devlink"

    @abstractmethod
    def devices(self) -> list[str]:
        """All devices."""

    @abstractmethod
    def info(self, device: str) -> DevlinkInfo:
        """Driver and firmware."""

    @abstractmethod
    def eswitch(self, device: str) -> str:
        """legacy or switchdev; an error (EPERM, EOPNOTSUPP) where the e-switch is managed elsewhere."""

    @abstractmethod
    def ports(self) -> list[DevlinkPort]:
        """The ports of all devices."""

    @abstractmethod
    def health(self, device: str) -> dict[str, str]:
        """The device's health reporters and their states: healthy or error."""

    @abstractmethod
    def add_sf(self, device: str, pf: int, sf: int, controller: int) -> DevlinkPort:
        """Makes a sub-function; it is inactive."""

    @abstractmethod
    def delete_port(self, handle: str) -> None:
        """Removes a sub-function."""

    @abstractmethod
    def set_mac(self, handle: str, mac: str) -> None:
        """Gives a function its hardware address."""

    @abstractmethod
    def set_state(self, handle: str, state: str) -> None:
        """Makes a sub-function active or inactive."""

    @abstractmethod
    def set_rate(self, handle: str, tx_max: int) -> None:
        """Limits what a function may send, in Mbit/s; 0 for no limit."""
