"""The network hardware of a machine: PCI functions with their interfaces and RDMA devices, and what stands apart.

A pure function of the machine. What one function does not tell is a line in `Network.problems` and leaves the others;
only the interfaces and the default routes must be known, for without them the node's own network could be given away:
where netlink does not answer, nothing is found (HardwareError). The same where PCI functions cannot be listed.

The node's own: interfaces of default routes, what these are made of (members of a bond or bridge, what a VLAN sits on)
and what sits on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fairlead.drivers.network.door import Link, Netlink
from fairlead.drivers.network.rdma import RdmaDevice, exclusive, rdma_devices
from fairlead.hardware import Files, HardwareError, Machine, PciFunction, Problems, pci_functions

_NETWORK: Final = 0x02
_ADDRESS: Final = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_REPRESENTOR: Final = re.compile(r"c\d+pf\d+|pf\d+(vf|sf|hpf)")
_CLASS_NET: Final = "/sys/class/net"


class Port(msgspec.Struct, frozen=True, omit_defaults=True):
    """One PCI function that is a network card, or an interface that is none (`pci` is None)."""

    name: str
    """The PCI address, or the interface's name."""
    pci: PciFunction | None = None
    link: Link | None = None
    """Its interface; None where it has none (RDMA only, or another kernel driver), or a pod has it."""
    rdma: RdmaDevice | None = None
    mbits: int | None = None
    """The speed in Mbit/s; for a virtual function that of its port; None where it is not known."""
    port: str = ""
    """What tells the ports of one card apart (`phys_port_name`: `p0`)."""
    number: int | None = None
    """Which of its physical function's virtual functions it is; None for others."""
    parent: str = ""
    """The interface of its physical function."""
    parent_device: int = 0
    """PCI device id of its physical function."""
    switch_mode: str = ""
    """`legacy`, `switchdev`; of the physical function."""
    interfaces: tuple[str, ...] = ()
    """All interfaces of the function: its own, representors, further ports of the same function."""
    representor: bool = False
    """It stands for a function of the card on the card's own switch, and must stay."""

    @property
    def infiniband(self) -> bool:
        """Whether it is a port of an InfiniBand fabric."""
        if self.rdma is not None and self.rdma.layer:
            return self.rdma.layer == "InfiniBand"
        return self.link is not None and self.link.encapsulation == "infiniband"


@dataclass(frozen=True, slots=True)
class Network:
    """What was found."""

    ports: tuple[Port, ...]
    """PCI functions in the order of their addresses, then other interfaces in the order of their names."""
    own: frozenset[str]
    """Names of the interfaces that the node needs itself."""
    exclusive: bool
    """Whether RDMA devices are in one network namespace each."""
    problems: tuple[str, ...]


def discover(machine: Machine, netlink: Netlink) -> Network:
    """What is on the machine.

    Raises:
        HardwareError: interfaces, routes or the list of PCI functions cannot be read.
    """
    problems = Problems()
    files = machine.files
    links = {one.name: one for one in netlink.links()}
    own = own_links(links.values(), netlink.defaults())
    rdma = rdma_devices(files, problems)
    try:
        functions = {one.address: one for one in pci_functions(files, problems) if is_network(one)}
    except OSError as error:
        raise HardwareError(f"{error.filename}: {error.strerror}") from None
    interfaces = _interfaces(files, links)
    ports: dict[str, Port] = {}
    for address, function in functions.items():
        with problems.of(address):
            ports[address] = _port(files, function, links, rdma.get(address), interfaces.get(address, ()))
    modes: dict[str, str] = {}
    for address, port in list(ports.items()):
        physical = functions.get(port.pci.physical) if port.pci else None
        owner = address if port.pci and port.pci.virtual else physical.address if physical else ""
        if owner and owner not in modes:
            modes[owner] = ""
            with problems.of(owner):
                modes[owner] = netlink.switch_mode(owner)
        ports[address] = _related(port, physical, ports, modes.get(owner, ""))
    belonging = {name for names in interfaces.values() for name in names}
    others = [
        Port(name, link=link, mbits=_speed(files, name), representor=_represents(files, name))
        for name, link in sorted(links.items())
        if name not in belonging and link.encapsulation != "loopback"
    ]
    return Network((*ports.values(), *others), own, exclusive(files), tuple(problems))


def is_network(function: PciFunction) -> bool:
    """Whether a PCI function is a network card (base class 2), which EFA and InfiniBand are, too."""
    return function.class_code >> 16 == _NETWORK


def own_links(links: Iterable[Link], defaults: Iterable[int]) -> frozenset[str]:
    """The names of interfaces that must stay with the node."""
    by_index = {one.index: one for one in links}
    kept: set[int] = {index for index in defaults if index in by_index}
    grown = -1
    while grown != len(kept):
        grown = len(kept)
        below = {by_index[index].under for index in kept if not by_index[index].foreign} & by_index.keys()
        members = {one.index for one in by_index.values() if one.master in kept}
        kept |= below | members
    above = {one.index for one in by_index.values() if one.under in kept and not one.foreign and one.index not in kept}
    masters = {by_index[index].master for index in kept} & by_index.keys()
    return frozenset(by_index[index].name for index in kept | above | masters)


def _interfaces(files: Files, links: Iterable[str]) -> dict[str, list[str]]:
    """The interfaces of each PCI function, by where the kernel has them.

    Between the two may be another device: the interfaces of virtio are below `virtio0`, below the function.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(links):
        try:
            path = files.real(f"{_CLASS_NET}/{name}")
        except OSError:
            continue  # it has just gone
        addresses = [part for part in path.split("/") if _ADDRESS.fullmatch(part)]
        if addresses:
            found.setdefault(addresses[-1], []).append(name)
    return found


def _port(
    files: Files, function: PciFunction, links: Mapping[str, Link], rdma: RdmaDevice | None, names: Sequence[str]
) -> Port:
    # In switchdev mode the representors of a card are below it, too: the port's own interface is the one without.
    own = [one for one in names if not _represents(files, one)] or names
    name = own[0] if own else ""
    speed = _speed(files, name) if name else None
    if speed is None and rdma is not None and rdma.gbits:
        speed = int(rdma.gbits * 1000)
    return Port(
        function.address,
        function,
        links.get(name),
        rdma,
        speed,
        _optional(files, f"{_CLASS_NET}/{name}/phys_port_name") if name else "",
        interfaces=tuple(names),
    )


def _related(port: Port, physical: PciFunction | None, ports: Mapping[str, Port], mode: str) -> Port:
    if physical is None or port.pci is None:
        return msgspec.structs.replace(port, switch_mode=mode)
    above = ports.get(physical.address)
    try:
        number: int | None = physical.virtual.index(port.pci.address)
    except ValueError:
        number = None
    return msgspec.structs.replace(
        port,
        mbits=(above.mbits if above else None) or port.mbits,
        number=number,
        parent=above.link.name if above and above.link else "",
        parent_device=physical.device,
        switch_mode=mode,
    )


def _represents(files: Files, name: str) -> bool:
    """The kernel names what a representor stands for: `pf0vf3`, `pf0sf8`, `c1pf0`, `c1pf0vf3`."""
    return bool(_REPRESENTOR.match(_optional(files, f"{_CLASS_NET}/{name}/phys_port_name")))


def _speed(files: Files, name: str) -> int | None:
    """None where the link is down, or the driver does not say."""
    try:
        speed = files.number(f"{_CLASS_NET}/{name}/speed")
    except OSError:
        return None
    return speed if 0 < speed < 10**7 else None


def _optional(files: Files, path: str) -> str:
    try:
        return files.text(path)
    except OSError:
        return ""
