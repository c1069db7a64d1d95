"""From configuration to what shall be done with one device: pure, and all of it is checked before anything is changed.

Without configuration the interface moves with its addresses and its own routes, under its name on the node (DRANET) or
as `vfnet0`, `vfnet1` and so on (SR-IOV).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from fairlead.driver import ClaimDevice, PrepareError
from fairlead.drivers.network.addresses import AddressError, give
from fairlead.drivers.network.configs import NetworkConfig, VfConfig, refused
from fairlead.drivers.network.discovery import Port
from fairlead.drivers.network.door import Function
from fairlead.drivers.network.objects import Objects
from fairlead.drivers.network.settings import Profile

_MAIN: Final = 254
_SIZES: Final = {"gso_max_size": 41, "gro_max_size": 58, "gso_ipv4_max_size": 63, "gro_ipv4_max_size": 64}
"""Numbers of link attributes (linux/if_link.h)."""
_ON: Final = {"on": True, "off": False, True: True, False: False}
_DEFAULT_NAME: Final = "vfnet%d"
_KEPT: Final = frozenset({"", "default"})
"""Names of kernel drivers that mean the one that is there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one device shall be."""

    name: str = ""
    """The interface's name in the pod; empty for that on the node."""
    mtu: int | None = None
    mac: str | None = None
    addresses: tuple[str, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    neighbors: tuple[Mapping[str, str], ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = True
    """It keeps the addresses and routes that it had on the node."""
    function: Function | None = None
    """How the physical function sets it up; None for as it is."""
    asked: frozenset[str] = frozenset()
    """The fields of `function` that are asked for; the others stay as they are."""
    driver: str = ""
    """Another kernel driver to bind; empty for none."""
    vhost: bool = False
    network: str = ""
    """Name of the network that it belongs to, for programs that ask."""


def wanted(
    device: ClaimDevice, port: Port, profile: Profile, namespace: str, objects: Objects, taken: Collection[str]
) -> Wanted:
    """What a claim wants of a device.

    Args:
        device: with its configuration.
        port: what it is; for a pool, the function that was picked.
        profile: decides the name without configuration.
        namespace: of the claim.
        objects: networks by name.
        taken: addresses that other claims of this node have.

    Raises:
        PrepareError: the configuration cannot be used.
    """
    network, function = device.config(NetworkConfig), device.config(VfConfig)
    for one in (network, function):
        if one is not None and (reason := refused(one)):
            raise PrepareError(f"{device.name}: {reason}")
    if network is not None and function is not None:
        raise PrepareError(f"{device.name}: NetworkConfig and VfConfig apply to it, of which one may")
    rate = device.consumed_capacity.get("bandwidth")
    mbits = rate.value() // 10**6 if rate is not None and device.share_id is not None else 0
    if function is not None:
        found = _of_function(device, function, port, namespace, objects, taken)
    elif network is not None:
        found = _of_network(network)
    else:
        found = Wanted(name=_DEFAULT_NAME if profile == "sriov" else "")
    if mbits and port.number is not None and "max_rate" not in found.asked:
        found = _with_rate(found, port.number, mbits)
    if found.function is not None and port.number is None:
        raise PrepareError(f"{device.name}: is no virtual function, so VLAN, trust and rates cannot be set")
    return found


def _of_network(config: NetworkConfig) -> Wanted:
    interface = config.interface
    given = {"forwarding": interface.forwarding, "arp_ignore": interface.arp_ignore}
    given["arp_announce"] = interface.arp_announce
    sysctls = {f"ipv4/conf/%/{name}": str(int(value)) for name, value in given.items() if value is not None}
    if interface.forwarding is not None:
        sysctls["ipv6/conf/%/forwarding"] = str(int(interface.forwarding))
    sizes = {str(number): getattr(interface, name) for name, number in _SIZES.items()}
    return Wanted(
        interface.name,
        interface.mtu,
        interface.hardware_addr,
        tuple(interface.addresses),
        tuple(
            _route(one.destination or _everything(one.gateway), one.gateway, one.source, one.scope, one.table)
            for one in config.routes
        ),
        tuple(
            {
                "priority": one.priority,
                "source": one.source,
                "destination": one.destination,
                "table": one.table or _MAIN,
            }
            for one in config.rules
        ),
        tuple({"destination": one.destination, "hardwareAddr": one.hardware_addr} for one in config.neighbors),
        {number: value for number, value in sizes.items() if value is not None},
        sysctls,
        keeps=not interface.addresses,
    )


def _of_function(
    device: ClaimDevice, config: VfConfig, port: Port, namespace: str, objects: Objects, taken: Collection[str]
) -> Wanted:
    number = port.number if port.number is not None else -1
    settings: dict[str, Any] = {}
    addresses: tuple[str, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    mtu = mac = None
    name = config.net_attach_def_name
    if name:
        place = config.net_attach_def_namespace or namespace
        cni = objects.network(place, name)
        if cni is None:
            raise PrepareError(
                f"{device.name}: netAttachDefName: the driver knows no NetworkAttachmentDefinition {place}/{name}: "
                "give it with objects=PATH"
            )
        if cni.get("type") not in ("sriov", "ib-sriov"):
            raise PrepareError(f"{device.name}: {place}/{name}: type: {cni.get('type')!r}: only sriov is known")
        settings = _cni_settings(cni, f"{device.name}: {place}/{name}")
        mtu, mac = cni.get("mtu"), cni.get("mac")
        try:
            given = give(cni.get("ipam") or {}, taken)
        except AddressError as error:
            raise PrepareError(f"{device.name}: {place}/{name}: {error}") from None
        addresses = given.addresses
        routes = tuple(_route(to, gateway, "", 0, 0) for to, gateway in given.routes)
    if config.vf is not None:
        own = {
            "vlan": config.vf.vlan,
            "qos": config.vf.qos,
            "protocol": config.vf.vlan_proto.lower() if config.vf.vlan_proto else None,
            "spoof_check": config.vf.spoof_chk,
            "trust": config.vf.trust,
            "state": config.vf.link_state,
            "min_rate": config.vf.min_tx_rate,
            "max_rate": config.vf.max_tx_rate,
        }
        settings |= {key: value for key, value in own.items() if value is not None}
    driver = "" if config.driver in _KEPT else config.driver
    return Wanted(
        config.if_name or _DEFAULT_NAME,
        mtu,
        mac,
        addresses,
        routes,
        keeps=not addresses,
        function=Function(number, **settings) if settings else None,
        asked=frozenset(settings),
        driver=driver,
        vhost=config.add_vhost_mount,
        network=name,
    )


def _cni_settings(cni: Mapping[str, Any], where: str) -> dict[str, Any]:
    fields = {
        "vlan": ("vlan", int),
        "vlanQoS": ("qos", int),
        "vlanProto": ("protocol", lambda value: str(value).lower()),
        "spoofchk": ("spoof_check", _ON.__getitem__),
        "trust": ("trust", _ON.__getitem__),
        "link_state": ("state", str),
        "min_tx_rate": ("min_rate", int),
        "max_tx_rate": ("max_rate", int),
    }
    found: dict[str, Any] = {}
    for key, (name, read) in fields.items():
        if cni.get(key) is not None:
            try:
                found[name] = read(cni[key])  # type: ignore[operator]
            except (KeyError, TypeError, ValueError):
                raise PrepareError(f"{where}: {key}: {cni[key]!r} cannot be used") from None
    return found


def _with_rate(found: Wanted, number: int, mbits: int) -> Wanted:
    function = found.function or Function(number)
    limited = msgspec.structs.replace(function, max_rate=mbits)
    return replace(found, function=limited, asked=found.asked | {"max_rate"})


def _route(destination: str, gateway: str, source: str, scope: int, table: int) -> Mapping[str, Any]:
    return {
        "destination": destination,
        "gateway": gateway,
        "source": source,
        "scope": scope,
        "table": table or _MAIN,
    }


def _everything(gateway: str) -> str:
    return "::/0" if gateway and ipaddress.ip_address(gateway).version == 6 else "0.0.0.0/0"
