"""The door to bridges and interfaces of the side that manages the e-switch: Linux bridges and those of Open vSwitch.

Links are asked and changed with `ip` and `bridge` of iproute2, ports of Open vSwitch with `ovs-vsctl` where it is
installed. A representor of which the e-switch offloads the bridge needs nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

import msgspec

from fairlead.drivers.bluefield.commands import run, run_json
from fairlead.hardware import Door, HardwareError


class Bridge(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bridge."""

    name: str
    ovs: bool = False
    vlans: bool = True
    """Whether its ports can have VLANs of their own."""


class _BridgeData(msgspec.Struct):
    vlan_filtering: int = 0


class _LinkInfo(msgspec.Struct):
    info_data: _BridgeData = msgspec.field(default_factory=_BridgeData)


class _Link(msgspec.Struct):
    """What `ip -j link show` prints of a link; an object without fields for one that is not shown."""

    ifname: str = ""
    master: str = ""
    linkinfo: _LinkInfo = msgspec.field(default_factory=_LinkInfo)


class Network(Door):
    """What is asked of the network of a side. All methods raise HardwareError."""

    door: ClassVar[str] = "dpu-network"

    @abstractmethod
    def bridges(self) -> list[Bridge]:
        """All bridges, by name."""

    @abstractmethod
    def bridge_of(self, link: str) -> str:
        """The bridge that an interface is a port of; empty for none, and where the interface has gone."""

    @abstractmethod
    def exists(self, link: str) -> bool:
        """Whether there is such an interface."""

    @abstractmethod
    def attach(self, link: str, bridge: Bridge, vlan: int) -> None:
        """Makes an interface a port of a bridge, with a VLAN where it is not 0."""

    @abstractmethod
    def detach(self, link: str, bridge: str) -> None:
        """Takes an interface out of its bridge."""

    @abstractmethod
    def set_up(self, link: str, up: bool) -> None:
        """Switches an interface on or off."""


class NetworkCommands(Network):
    """The network of this machine."""

    def __init__(self, ip: str = "ip", bridge: str = "bridge", ovs: str = "ovs-vsctl") -> None:
        """Args:
        ip: name or path of the program.
        bridge: the same.
        ovs: the same; it need not be there.
        """
        self._ip: Final = ip
        self._bridge: Final = bridge
        self._ovs: Final = ovs

    def bridges(self) -> list[Bridge]:
        """Linux bridges, and those of Open vSwitch."""
        found = run_json([self._ip, "-j", "-d", "link", "show", "type", "bridge"], list[_Link])
        linux = [Bridge(one.ifname, vlans=bool(one.linkinfo.info_data.vlan_filtering)) for one in found if one.ifname]
        return sorted([*linux, *(Bridge(name, True) for name in self._ovs_lines("list-br"))], key=lambda one: one.name)

    def bridge_of(self, link: str) -> str:
        """The master of the link, or what Open vSwitch says."""
        shown = self._link(link)
        if shown is None:
            return ""
        if shown.master and shown.master != "ovs-system":
            return shown.master
        try:
            return next(iter(self._ovs_lines("iface-to-br", link)), "")
        except HardwareError as error:
            if "no interface named" in str(error):
                return ""
            raise

    def exists(self, link: str) -> bool:
        """By name."""
        return self._link(link) is not None

    def attach(self, link: str, bridge: Bridge, vlan: int) -> None:
        """A port that is there already is set anew."""
        if bridge.ovs:
            tag = [f"tag={vlan}"] if vlan else []
            run([self._ovs, "--may-exist", "add-port", bridge.name, link, *tag])
            return
        run([self._ip, "link", "set", "dev", link, "master", bridge.name])
        if vlan:
            run([self._bridge, "vlan", "add", "dev", link, "vid", str(vlan), "pvid", "untagged"])

    def detach(self, link: str, bridge: str) -> None:
        """VLANs of the port go with it."""
        if bridge in self._ovs_lines("list-br"):
            run([self._ovs, "--if-exists", "del-port", bridge, link])
        else:
            run([self._ip, "link", "set", "dev", link, "nomaster"])

    def set_up(self, link: str, up: bool) -> None:
        """ip link set up, or down."""
        run([self._ip, "link", "set", "dev", link, "up" if up else "down"])

    def _link(self, link: str) -> _Link | None:
        try:
            found = run_json([self._ip, "-j", "link", "show", "dev", link], list[_Link])
        except HardwareError as error:
            if error.code == "ENODEV":
                return None
            raise
        return next((one for one in found if one.ifname), None)

    def _ovs_lines(self, *arguments: str) -> list[str]:
        try:
            return run([self._ovs, *arguments]).split()
        except HardwareError as error:
            if error.code == "no-command":
                return []
            raise
