# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""What users configure, in the words of the drivers that their claims were written for.

`NetworkConfig` is DRANET's, which has neither apiVersion nor kind. `VfConfig` is that of the SR-IOV driver. Fields that
we cannot do are known, so that a claim with them gets an error that says so (`refused`), not one about a typing error.

Source: the fields of sigs.k8s.io/dranet 2026-08 and of sriovnetwork.k8snetworkplumbingwg.io/v1alpha1 2026-08.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final, Literal

import msgspec

from fairlead.driver import Config

_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})*")
_NAME: Final = re.compile(r"[^\s/:]{1,15}")


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what configurations are made of."""


class Interface(_Part, frozen=True):
    """The interface in the pod."""

    name: str = ""
    addresses: list[str] = []
    dhcp: bool | None = None
    mtu: int | None = None
    hardware_addr: str | None = None
    gso_max_size: int | None = None
    gro_max_size: int | None = None
    gso_ipv4_max_size: int | None = msgspec.field(default=None, name="gsoIPv4MaxSize")
    gro_ipv4_max_size: int | None = msgspec.field(default=None, name="groIPv4MaxSize")
    disable_ebpf_programs: bool | None = None
    forwarding: bool | None = None
    arp_ignore: int | None = None
    arp_announce: int | None = None
    vrf: Any = None
    ipvlan: Any = None


class RouteConfig(_Part, frozen=True):
    """A route; `scope` and `table` as numbers of the kernel."""

    destination: str = ""
    gateway: str = ""
    source: str = ""
    scope: int = 0
    table: int = 0


class RuleConfig(_Part, frozen=True):
    """A routing rule."""

    priority: int = 0
    source: str = ""
    destination: str = ""
    table: int = 0


class NeighborConfig(_Part, frozen=True):
    """A permanent neighbour."""

    destination: str = ""
    hardware_addr: str = ""


class NetworkConfig(Config, frozen=True):
    """DRANET's configuration of one interface."""

    interface: Interface = Interface()
    routes: list[RouteConfig] = []
    rules: list[RuleConfig] = []
    neighbors: list[NeighborConfig] = []
    ethtool: Any = None
    profile: str = ""

    @classmethod
    def kind(cls) -> str:
        """DRANET's parameters name no kind."""
        return ""


class VfSettings(_Part, frozen=True):
    """How the physical function sets a virtual function up; rates in Mbit/s. None leaves what is."""

    vlan: int | None = None
    qos: int | None = None
    vlan_proto: Literal["802.1q", "802.1ad", "802.1Q"] | None = None
    spoof_chk: bool | None = None
    trust: bool | None = None
    min_tx_rate: int | None = None
    max_tx_rate: int | None = None
    link_state: Literal["auto", "enable", "disable"] | None = None


class VfConfig(Config, frozen=True):
    """The SR-IOV driver's configuration of a virtual function."""

    api_version: ClassVar[str] = "sriovnetwork.k8snetworkplumbingwg.io/v1alpha1"
    driver: str = ""
    add_vhost_mount: bool = False
    if_name: str = ""
    net_attach_def_name: str = ""
    net_attach_def_namespace: str = ""
    vf: VfSettings | None = None


def refused(config: NetworkConfig | VfConfig) -> str:
    """Why a configuration cannot be used; empty where it can."""
    return next(iter(_faults(config)), "")


def _faults(config: NetworkConfig | VfConfig) -> Iterator[str]:
    if isinstance(config, VfConfig):
        if config.if_name and not _NAME.fullmatch(config.if_name):
            yield f"ifName: {config.if_name!r} is no name of an interface (at most 15 bytes, no /, : or space)"
        if config.driver and not re.fullmatch(r"[A-Za-z0-9_-]+", config.driver):
            yield f"driver: {config.driver!r} is no name of a kernel driver"
        if config.vf is not None and not 0 <= (config.vf.vlan or 0) <= 4094:
            yield f"vf.vlan: {config.vf.vlan} must be 0 to 4094"
        if config.vf is not None and not 0 <= (config.vf.qos or 0) <= 7:
            yield f"vf.qos: {config.vf.qos} must be 0 to 7"
        return
    interface = config.interface
    cannot = {
        "interface.dhcp": interface.dhcp,
        "interface.disableEbpfPrograms": interface.disable_ebpf_programs,
        "interface.vrf": interface.vrf,
        "interface.ipvlan": interface.ipvlan,
        "ethtool": config.ethtool,
        "profile": config.profile,
    }
    yield from (f"{field}: this driver cannot do that" for field, value in cannot.items() if value)
    if interface.name and not _NAME.fullmatch(interface.name):
        yield f"interface.name: {interface.name!r} is no name of an interface (at most 15 bytes, no /, : or space)"
    if interface.mtu is not None and interface.mtu < 68:
        yield f"interface.mtu: {interface.mtu} must be 68 or more"
    if interface.hardware_addr and not _MAC.fullmatch(interface.hardware_addr):
        yield f"interface.hardwareAddr: {interface.hardware_addr!r} is no hardware address"
    for at, address in enumerate(interface.addresses):
        yield from _fault(f"interface.addresses[{at}]", address, ipaddress.ip_interface, slash=True)
    for at, route in enumerate(config.routes):
        where = f"routes[{at}]"
        yield from _fault(f"{where}.destination", route.destination, ipaddress.ip_network, slash=True, empty=True)
        yield from _fault(f"{where}.gateway", route.gateway, ipaddress.ip_address, empty=True)
        yield from _fault(f"{where}.source", route.source, ipaddress.ip_interface, empty=True)
        if not 0 <= route.scope <= 255:
            yield f"{where}.scope: {route.scope} must be 0 to 255"
        if not route.gateway and not route.destination:
            yield f"{where}: needs a destination or a gateway"
    for at, rule in enumerate(config.rules):
        yield from _fault(f"rules[{at}].source", rule.source, ipaddress.ip_network, empty=True)
        yield from _fault(f"rules[{at}].destination", rule.destination, ipaddress.ip_network, empty=True)
    for at, one in enumerate(config.neighbors):
        yield from _fault(f"neighbors[{at}].destination", one.destination, ipaddress.ip_address)
        if not _MAC.fullmatch(one.hardware_addr):
            yield f"neighbors[{at}].hardwareAddr: {one.hardware_addr!r} is no hardware address"


def _fault(where: str, text: str, read: Any, *, slash: bool = False, empty: bool = False) -> Iterator[str]:
    if not text and empty:
        return
    try:
        if read is ipaddress.ip_network:
            read(text, strict=False)
        else:
            read(text)
    except ValueError:
        yield f"{where}: {text!r} is no address" + (" with a prefix" if slash else "")
        return
    if slash and "/" not in text:
        yield f"{where}: {text!r} needs a prefix, as in 10.0.0.2/24"
