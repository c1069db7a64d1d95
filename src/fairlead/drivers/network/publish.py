"""From what was found to what is published: which hardware, in whose words.

Left out, always: what the node needs itself, members of bonds and bridges, representors, interfaces that are no
hardware (unless `virtual` names them), and what `only` and `skip` say. Device names come from PCI addresses.

A physical function and its virtual functions exclude each other (counters): who has the one could see and change what
goes through the others. Bandwidth is a capacity in bit/s.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.driver import Pool
from fairlead.drivers.network.discovery import Network, Port
from fairlead.drivers.network.lldp import Neighbour
from fairlead.drivers.network.names import Names
from fairlead.drivers.network.objects import Objects
from fairlead.drivers.network.settings import NAMES, Settings, matches
from fairlead.hardware import attribute, standard_attributes
from fairlead.resource import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceCounterConsumption,
    Quantity,
)

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST: Final = 64
"""Bytes of an attribute's text."""
POOL: Final = "-vfs"
"""What the name of a pool of virtual functions ends with."""
Attributes = dict[str, DeviceAttribute]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What devices are described with, besides what the machine says of itself."""

    settings: Settings
    names: Names
    neighbours: Mapping[str, Neighbour]
    objects: Objects
    node: str


@dataclass(frozen=True, slots=True)
class Published:
    """The pool, and what each device of it is."""

    pool: Pool
    ports: Mapping[str, Port]
    """Device to port; a pool of virtual functions to its physical function."""


def publish(network: Network, around: Surroundings) -> Published:
    """What of a network is published, and how."""
    settings = around.settings
    rails = rails_of(network.ports, settings, around.neighbours)
    devices: list[Device] = []
    ports: dict[str, Port] = {}
    counters: list[CounterSet] = []
    pooled = {one.name for one in network.ports if is_pool(one, settings)}
    chosen = [one for one in network.ports if usable(one, network, settings)]
    # A shared port is not given away: its claims get children of it, and see nothing of its functions.
    whole = [one for one in chosen if not is_shared(one, settings)]
    have_both = _parents_with_functions(whole) if settings.profile == "dranet" else set()
    for port in chosen:
        pci = port.pci
        if pci is not None and pci.physical in pooled:
            continue
        extra: Attributes = {}
        if settings.profile == "sriov":
            if pci is None or not (pci.physical or port.name in pooled):
                continue
            selected = around.objects.selected(port, around.node) if pci.physical else {}
            if selected is None:
                continue
            extra = selected
        elif pci is not None and port.name in have_both:
            counters.append(_counter_set(port))
        device = _device(port, port.name in pooled, rails.get(port.name), around, have_both, extra)
        devices.append(device)
        ports[device.name] = port
    pool = Pool(devices, counters, problems=(*network.problems, *_unmatched(settings, network)))
    return Published(pool, ports)


def called(port: Port) -> frozenset[str]:
    """The names by which settings mean a port."""
    names = {port.name}
    if port.link is not None:
        names.add(port.link.name)
    if port.rdma is not None:
        names.add(port.rdma.name)
    if port.pci is not None and port.pci.physical:
        names |= {f"{port.parent}/vf", f"{port.pci.physical}/vf"}
    return frozenset(names)


def is_pool(port: Port, settings: Settings) -> bool:
    """Whether a physical function stands for its virtual functions."""
    return port.pci is not None and bool(port.pci.virtual) and matches(settings.vfpool, called(port))


def is_shared(port: Port, settings: Settings) -> bool:
    """Whether several claims use a port at the same time."""
    return matches(settings.share, called(port))


def usable(port: Port, network: Network, settings: Settings) -> bool:
    """Whether a port may be published at all."""
    names = called(port)
    if matches(settings.skip, names) or (settings.only and not matches(settings.only, names)):
        return False
    link = port.link
    needed = {*port.interfaces, *((link.name,) if link is not None else ())} & network.own
    if port.representor or (needed and not is_pool(port, settings)):
        return False
    if link is not None and link.master:
        return False
    return port.pci is not None or matches(settings.virtual, names)


def device_name(port: Port, settings: Settings) -> str:
    """The name of a port's device."""
    if port.pci is not None:
        address = port.name.replace(":", "-").replace(".", "-")
        return address if settings.profile == "sriov" else f"pci-{address}"
    if _LABEL.fullmatch(port.name):
        return port.name
    return "net-" + base64.b32encode(port.name.encode()).decode().rstrip("=").lower()


def rails_of(ports: Iterable[Port], settings: Settings, neighbours: Mapping[str, Neighbour]) -> dict[str, int]:
    """The rail of each port that has one; virtual functions have that of their physical function."""
    found: dict[str, int] = {}
    ports = list(ports)
    if settings.rails == ("lldp",):
        heard = {one.name: neighbours[one.link.name] for one in ports if one.link and one.link.name in neighbours}
        of_rdma = {one.name for one in ports if one.rdma is not None}
        switches = sorted({near.switch for name, near in heard.items() if name in of_rdma})
        found = {name: switches.index(near.switch) for name, near in heard.items() if name in of_rdma}
    else:
        for rail, pattern in enumerate(settings.rails):
            for port in ports:
                if matches((pattern,), called(port) - {f"{port.parent}/vf"}):
                    found.setdefault(port.name, rail)
    for port in ports:
        if port.pci is not None and port.pci.physical in found:
            found.setdefault(port.name, found[port.pci.physical])
    return found


def _device(
    port: Port, pooled: bool, rail: int | None, around: Surroundings, have_both: set[str], extra: Attributes
) -> Device:
    settings = around.settings
    domain = NAMES[settings.profile]
    told = _sriov(port, pooled) if settings.profile == "sriov" else _dranet(port, around.names)
    ours: Attributes = {}
    near = around.neighbours.get(port.link.name if port.link else "") or around.neighbours.get(port.parent)
    if rail is not None:
        ours["rail"] = attribute(rail)
    if near is not None:
        ours |= {"lldpSwitch": _string(near.switch), "lldpPort": _string(near.port)}
    shared = is_shared(port, settings)
    if shared or pooled:
        ours["shared"] = attribute(True)
    attributes: Attributes = {f"{domain}/{name}": value for name, value in (told | ours).items()}
    if port.pci is not None:
        attributes |= standard_attributes(port.pci)
        if settings.profile == "sriov":
            attributes["k8s.cni.cncf.io/deviceID"] = _string(port.pci.address)
            attributes["dra.net/numaNode"] = attribute(-1 if port.pci.numa is None else port.pci.numa)
    capacity = _capacity(port, shared, pooled)
    counted: Sequence[DeviceCounterConsumption] = ()
    if port.pci is not None:
        counted = _counted(port, have_both)
    return Device(
        name=device_name(port, settings) + (POOL if pooled else ""),
        attributes=extra | attributes,
        capacity=capacity,
        consumes_counters=list(counted),
        allow_multiple_allocations=True if shared or pooled else None,
    )


def _dranet(port: Port, names: Names) -> Attributes:
    pci, link, rdma = port.pci, port.link, port.rdma
    found: Attributes = {"rdma": attribute(rdma is not None)}
    if rdma is not None:
        found["rdmaDevice"] = _string(rdma.name)
    if pci is not None:
        found |= {
            "pciAddress": _string(pci.address),
            "pciVendor": _string(names.vendor(pci.vendor)),
            "pciDevice": _string(names.device(pci.vendor, pci.device)),
            "pciSubsystem": _string(
                names.subsystem(pci.vendor, pci.device, pci.subsystem_vendor, pci.subsystem_device)
            ),
        }
        if pci.numa is not None:
            found["numaNode"] = attribute(pci.numa)
        if pci.physical:
            found["pfPciAddress"] = _string(pci.physical)
    if pci is not None and (link is not None or pci.physical or pci.total_virtual):
        found["sriov"] = attribute(pci.total_virtual > 0)
        found["isSriovVf"] = attribute(bool(pci.physical))
        if pci.total_virtual:
            found["sriovVfs"] = attribute(len(pci.virtual))
    if link is not None:
        v4 = [one for one in link.addresses if ":" not in one]
        v6 = [one for one in link.addresses if ":" in one]
        found |= {
            "ifName": _string(link.name),
            "mac": _string(link.mac),
            "mtu": attribute(link.mtu),
            "encapsulation": _string(link.encapsulation),
            "alias": _string(link.alias),
            "state": _string(link.state),
            "type": _string(link.kind or "device"),
            "ebpf": attribute(bool(link.programs)),
            "virtual": attribute(pci is None),
        }
        if v4:
            found["ipv4"] = _string(",".join(v4))
        if v6:
            found["ipv6"] = _string(",".join(v6))
    if pci is not None and port.infiniband:
        found.setdefault("encapsulation", _string("infiniband"))
    return found


def _sriov(port: Port, pooled: bool) -> Attributes:
    pci = port.pci
    if pci is None:
        return {}
    found: Attributes = {
        "vendor": _string(f"{pci.vendor:04x}"),
        "deviceID": _string(f"{pci.device:04x}"),
        "pfDeviceID": _string(f"{pci.device if pooled else port.parent_device:04x}"),
        "pciAddress": _string(pci.address),
        "PFName": _string(port.link.name if pooled and port.link else port.parent),
        "EswitchMode": _string(port.switch_mode or "legacy"),
        "pfPciAddress": _string(pci.address if pooled else pci.physical),
        "linkType": _string("infiniband" if port.infiniband else "ethernet"),
        "rdmaCapable": attribute(port.rdma is not None),
    }
    if port.number is not None:
        found["vfID"] = attribute(port.number)
    return found


def _capacity(port: Port, shared: bool, pooled: bool) -> dict[str, DeviceCapacity]:
    found: dict[str, DeviceCapacity] = {}
    if port.mbits:
        whole = Quantity.from_int(port.mbits * 10**6)
        policy = None
        if shared or pooled:
            # Whole Gbit/s where the port is of whole Gbit/s; a share takes one step where its claim says nothing.
            step = Quantity.from_int(10**9 if port.mbits % 1000 == 0 else 10**8 if port.mbits % 100 == 0 else 10**6)
            policy = CapacityRequestPolicy(default=step, valid_range=CapacityRequestPolicyRange(step, whole, step))
        found["bandwidth"] = DeviceCapacity(whole, policy)
    if pooled and port.pci is not None:
        one = Quantity.from_int(1)
        policy = CapacityRequestPolicy(default=one, valid_values=[one])
        found["functions"] = DeviceCapacity(Quantity.from_int(len(port.pci.virtual)), policy)
    return found


def _parents_with_functions(chosen: Iterable[Port]) -> set[str]:
    """The physical functions that are published together with virtual functions of theirs."""
    names = {one.name for one in chosen if one.pci is not None}
    return {one.pci.physical for one in chosen if one.pci is not None and one.pci.physical in names}


def _counter_set(port: Port) -> CounterSet:
    assert port.pci is not None
    return CounterSet(name=_set_name(port.name), counters={"functions": _functions(port)})


def _functions(port: Port) -> Counter:
    assert port.pci is not None
    return Counter(Quantity.from_int(max(1, len(port.pci.virtual))))


def _counted(port: Port, have_both: set[str]) -> list[DeviceCounterConsumption]:
    assert port.pci is not None
    if port.name in have_both:
        return [DeviceCounterConsumption(_set_name(port.name), {"functions": _functions(port)})]
    if port.pci.physical in have_both:
        return [DeviceCounterConsumption(_set_name(port.pci.physical), {"functions": Counter(Quantity.from_int(1))})]
    return []


def _set_name(address: str) -> str:
    return "pf-" + address.replace(":", "-").replace(".", "-")


def _unmatched(settings: Settings, network: Network) -> list[str]:
    """What settings name and is not there: a card that is gone, or a mistake."""
    known = frozenset(name for port in network.ports for name in called(port))
    given = {"vfpool": settings.vfpool, "share": settings.share, "virtual": settings.virtual, "rails": settings.rails}
    found = [
        f"{key}={pattern}: no interface and no function is called that"
        for key, patterns in given.items()
        for pattern in patterns
        if not matches((pattern,), known) and (key, pattern) != ("rails", "lldp")
    ]
    taken = [name for name in sorted(network.own) if matches((*settings.virtual, *settings.share), frozenset({name}))]
    return found + [f"{name}: is not published: the node's own network needs it" for name in taken]


def _string(value: str) -> DeviceAttribute:
    """A text, cut where attributes must end; lists of addresses are cut between addresses.

    An alias may be any bytes; what is no UTF-8 shows as question marks.
    """
    value = value.encode(errors="replace").decode()
    if len(value.encode()) > _LONGEST:
        cut = value.encode()[:_LONGEST].decode(errors="ignore")
        value = cut.rpartition(",")[0] or cut
    return attribute(value)
