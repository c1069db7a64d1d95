"""What the driver asks of the kernel's netlink: interfaces, default routes, the switch mode of a card; and its actions.

Reading is recorded (`fairlead node record`). Changing something is only possible through the live door: in a recording
every action says so.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from threading import Event
from typing import ClassVar

import msgspec

from fairlead.drivers.network.hook.work import Before
from fairlead.hardware import Door, HardwareError


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a physical function has set one of its virtual functions up."""

    number: int
    mac: str = ""
    vlan: int = 0
    qos: int = 0
    protocol: str = "802.1q"
    spoof_check: bool | None = None
    trust: bool | None = None
    state: str = ""
    """`auto`, `enable`, `disable`; empty where the driver does not say."""
    min_rate: int = 0
    """Mbit/s; 0 for no promise."""
    max_rate: int = 0
    """Mbit/s; 0 for no limit."""


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """One interface of the node."""

    index: int
    name: str
    mac: str = ""
    mtu: int = 0
    encapsulation: str = ""
    """`ether`, `infiniband`, `loopback`."""
    state: str = "unknown"
    """`up`, `down`, `dormant`, `unknown` and so on, as RFC 2863 has it."""
    kind: str = ""
    """What the kernel made it as: `veth`, `macvlan`; empty for hardware."""
    alias: str = ""
    master: int = 0
    """Index of the bond or bridge that it belongs to; 0 for none."""
    under: int = 0
    """Index of the interface that it sits on (VLAN, macvlan); 0 for none."""
    foreign: bool = False
    """`under` counts in another network namespace."""
    addresses: tuple[str, ...] = ()
    """With their prefixes, without those of the link only."""
    programs: tuple[str, ...] = ()
    """Names of eBPF programs on it (XDP)."""
    functions: tuple[Function, ...] = ()
    """Its virtual functions, where it is a physical one."""


class Netlink(Door):
    """The kernel's netlink, in the network namespace of the node."""

    door: ClassVar[str] = "network"

    @abstractmethod
    def links(self) -> list[Link]:
        """All interfaces."""

    @abstractmethod
    def defaults(self) -> list[int]:
        """The indices of the interfaces that default routes go out of."""

    @abstractmethod
    def switch_mode(self, address: str) -> str:
        """`legacy` or `switchdev` for a PCI function (devlink); empty where the card has no switch."""

    def look(self, name: str) -> Before:
        """How an interface is now."""
        raise _only_live(name)

    def mark(self, name: str, marker: str) -> None:
        """Sets an interface's alias."""
        raise _only_live(name)

    def make_child(self, parent: str, marker: str) -> None:
        """Makes a macvlan child of an interface; nothing happens where one with the marker is there."""
        raise _only_live(parent)

    def take_back(self, order: Path) -> str:
        """`hook.work.take_back`."""
        raise _only_live(order.name)

    def set_function(self, parent: str, now: Function, wanted: Function) -> None:
        """Sets a virtual function of an interface up. What is the same in both is not touched."""
        raise _only_live(parent)

    def wait(self, stop: Event, seconds: float) -> bool:
        """Waits until interfaces changed (True), for some seconds, or until `stop` is set."""
        stop.wait(seconds)
        return False


def _only_live(subject: str) -> HardwareError:
    return HardwareError(f"{subject}: nothing can be changed on a recorded machine", "recorded")
