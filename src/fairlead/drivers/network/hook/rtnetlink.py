"""The kernel's network interfaces over rtnetlink, in any network namespace; the standard library only.

A socket belongs to the namespace that its thread was in when it was opened, and stays there: `Sockets` opens one in
another namespace from a thread that enters it, so the process itself never changes its namespace.

Source: rtnetlink(7), and linux/rtnetlink.h, if_link.h, fib_rules.h, neighbour.h. What the kernel refuses is an OSError
with its errno.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, TypeVar

_T = TypeVar("_T")
_ROUTE: Final = 0
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE, _GETROUTE = 24, 26
_NEWNEIGH, _NEWRULE, _DELRULE = 28, 32, 33
_UP: Final = 1
_PERMANENT: Final = 0x80
_CLONE_NEWNET: Final = 0x40000000
_MACVLAN_BRIDGE: Final = 4
MAIN_TABLE: Final = 254


@dataclass(frozen=True)
class Link:
    """An interface of one namespace."""

    index: int
    name: str
    mtu: int
    mac: str
    alias: str
    up: bool
    kind: str
    """The kernel's name for interfaces that it can make (`veth`); empty for hardware."""


@dataclass(frozen=True)
class Route:
    """A route out of an interface; empty for what it has not."""

    destination: str
    gateway: str = ""
    source: str = ""
    scope: int = 0
    table: int = MAIN_TABLE
    metric: int = 0
    protocol: int = 4
    """Who made it, as the kernel counts; 4 for an administrator."""


def inside(namespace: int, act: Callable[[], _T]) -> _T:
    """Calls something from a thread that is in a namespace, given by a descriptor of it."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, f"cannot enter the network namespace: {os.strerror(number)}")
            results.append(act())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class Netlink:
    """The interfaces of one namespace."""

    def __init__(self, namespace: int | None = None) -> None:
        """Args:
        namespace: a descriptor; None for the namespace that we are in.
        """

        def make() -> socket.socket:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _ROUTE)

        self._socket = make() if namespace is None else inside(namespace, make)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        """All interfaces."""
        return [_link(body) for body in self._ask(_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0), _DUMP)]

    def named(self, name: str) -> Link | None:
        """The interface of a name."""
        return next((one for one in self.links() if one.name == name), None)

    def aliased(self, alias: str) -> Link | None:
        """The interface with an alias."""
        return next((one for one in self.links() if one.alias == alias), None)

    def set(
        self,
        index: int,
        *,
        name: str | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        alias: str | None = None,
        up: bool | None = None,
        namespace: int | None = None,
        sizes: dict[int, int] | None = None,
    ) -> None:
        """Changes an interface; with `namespace` and `name` it moves and gets the name in one step."""
        attributes = b""
        if name is not None:
            attributes += _attribute(3, name.encode() + b"\0")
        if mtu is not None:
            attributes += _attribute(4, struct.pack("=I", mtu))
        if mac is not None:
            attributes += _attribute(1, bytes.fromhex(mac.replace(":", "")))
        if alias is not None:
            attributes += _attribute(20, alias.encode() + b"\0")
        if namespace is not None:
            attributes += _attribute(28, struct.pack("=I", namespace))
        for number, size in (sizes or {}).items():
            attributes += _attribute(number, struct.pack("=I", size))
        change = 0 if up is None else _UP
        self._ask(_NEWLINK, struct.pack("=BxHiII", 0, 0, index, _UP if up else 0, change) + attributes)

    def add_macvlan(self, parent: int, alias: str) -> None:
        """Makes a child of an interface that has a MAC address of its own (macvlan, mode bridge).

        The kernel gives no alias to what it makes: between the two steps the child is known by its name only, which is
        made of the alias, so that a second call finds what a crash left.
        """
        name = "fl" + format(zlib.crc32(alias.encode()), "08x")
        if self.named(name) is None:
            info = _attribute(1, b"macvlan") + _attribute(2 | 0x8000, _attribute(1, struct.pack("=I", _MACVLAN_BRIDGE)))
            attributes = _attribute(3, name.encode() + b"\0") + _attribute(5, struct.pack("=I", parent))
            attributes += _attribute(18 | 0x8000, info)
            self._ask(_NEWLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attributes, _CREATE | _EXCL)
        link = self.named(name)
        if link is not None:
            self.set(link.index, alias=alias)

    def delete(self, index: int) -> None:
        """Deletes an interface that was made."""
        self._ask(_DELLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0))

    def addresses(self, index: int) -> list[str]:
        """The addresses that somebody gave an interface for good, with their prefixes; none that the kernel made."""
        found = []
        for body in self._ask(_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0), _DUMP):
            family, prefix, flags, scope, at = struct.unpack_from("=BBBBI", body)
            if at == index and flags & _PERMANENT and scope == 0:
                parts = dict(_attributes(body[8:]))
                found.append(f"{_text(family, parts.get(2) or parts[1])}/{prefix}")
        return found

    def add_address(self, index: int, address: str) -> None:
        """Gives an interface an address (`10.0.0.2/24`); nothing happens where it has it."""
        one = ipaddress.ip_interface(address)
        head = struct.pack("=BBBBI", _family(one.version), one.network.prefixlen, _PERMANENT, 0, index)
        attributes = _attribute(1, one.packed) + _attribute(2, one.packed)
        if one.version == 4 and one.network.prefixlen < 31:
            attributes += _attribute(4, one.network.broadcast_address.packed)
        if one.version == 6:
            # No wait for duplicate address detection: the pod starts now, and the address is configured.
            attributes += _attribute(8, struct.pack("=I", 0x02 | _PERMANENT))
        self._unless_there(_NEWADDR, head + attributes)

    def routes(self, index: int) -> list[Route]:
        """The routes out of an interface that somebody made; none that came with an address."""
        found = []
        for body in self._ask(_GETROUTE, struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0), _DUMP):
            family, prefix, _, _, table, protocol, scope, kind, _ = struct.unpack_from("=BBBBBBBBI", body)
            parts = dict(_attributes(body[12:]))
            if struct.unpack("=I", parts.get(4, b"\0\0\0\0"))[0] != index or protocol in (1, 2, 9) or kind != 1:
                continue
            any_address = "0.0.0.0" if family == socket.AF_INET else "::"
            found.append(
                Route(
                    f"{_text(family, parts[1]) if 1 in parts else any_address}/{prefix}",
                    _text(family, parts[5]) if 5 in parts else "",
                    _text(family, parts[7]) if 7 in parts else "",
                    scope,
                    struct.unpack("=I", parts[15])[0] if 15 in parts else table,
                    struct.unpack("=I", parts[6])[0] if 6 in parts else 0,
                    protocol,
                )
            )
        return found

    def add_route(self, index: int, route: Route) -> None:
        """Adds a route; nothing happens where it is there."""
        to = ipaddress.ip_network(route.destination, strict=False)
        head = struct.pack(
            "=BBBBBBBBI",
            _family(to.version),
            to.prefixlen,
            0,
            0,
            route.table if route.table < 256 else 0,
            route.protocol,
            route.scope,
            1,
            0,
        )
        attributes = _attribute(4, struct.pack("=I", index)) + _attribute(15, struct.pack("=I", route.table))
        if route.metric:
            attributes += _attribute(6, struct.pack("=I", route.metric))
        if to.prefixlen:
            attributes += _attribute(1, to.network_address.packed)
        if route.gateway:
            attributes += _attribute(5, ipaddress.ip_address(route.gateway).packed)
        if route.source:
            attributes += _attribute(7, ipaddress.ip_interface(route.source).packed)
        self._unless_there(_NEWROUTE, head + attributes)

    def add_rule(self, priority: int, source: str, destination: str, table: int) -> None:
        """Adds a routing rule; nothing happens where it is there."""
        given = [ipaddress.ip_network(one, strict=False) for one in (source, destination) if one]
        version = given[0].version if given else 4
        lengths = [ipaddress.ip_network(one, strict=False).prefixlen if one else 0 for one in (destination, source)]
        head = struct.pack("=BBBBBBBBI", _family(version), *lengths, 0, table if table < 256 else 0, 0, 0, 1, 0)
        attributes = _attribute(15, struct.pack("=I", table)) + _attribute(6, struct.pack("=I", priority))
        for number, one in ((1, destination), (2, source)):
            if one:
                attributes += _attribute(number, ipaddress.ip_network(one, strict=False).network_address.packed)
        self._unless_there(_NEWRULE, head + attributes)

    def add_neighbour(self, index: int, address: str, mac: str) -> None:
        """Adds a permanent neighbour (ARP, NDP)."""
        one = ipaddress.ip_address(address)
        head = struct.pack("=BxxxiHBB", _family(one.version), index, _PERMANENT, 0, 0)
        attributes = _attribute(1, one.packed) + _attribute(2, bytes.fromhex(mac.replace(":", "")))
        self._unless_there(_NEWNEIGH, head + attributes)

    def _unless_there(self, kind: int, body: bytes) -> None:
        with contextlib.suppress(FileExistsError):
            self._ask(kind, body, _CREATE | _EXCL)

    def _ask(self, kind: int, body: bytes, flags: int = 0) -> list[bytes]:
        """The bodies of the answers. OSError with the kernel's errno."""
        return ask(self._socket, self._next(), kind, body, flags)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence


def ask(channel: socket.socket, sequence: int, kind: int, body: bytes, flags: int) -> list[bytes]:
    """Sends one netlink message, and gives the bodies of the answers."""
    dump = flags & _DUMP == _DUMP
    head = struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags | (0 if dump else _ACK), sequence, 0)
    channel.sendto(head + body, (0, 0))
    answers: list[bytes] = []
    while True:
        data = channel.recv(1 << 20)
        while len(data) >= 16:
            length, answer, _, number, _ = struct.unpack_from("=IHHII", data)
            part, data = data[16:length], data[(length + 3) & ~3 :]
            if number != sequence:
                continue
            if answer == _DONE:
                return answers
            if answer == _ERROR:
                code = -struct.unpack_from("=i", part)[0]
                if code:
                    raise OSError(code, os.strerror(code))
                return answers
            answers.append(part)


def attribute(number: int, value: bytes) -> bytes:
    """One attribute of a netlink message, padded."""
    return struct.pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)


def attributes_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message."""
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        if length < 4:
            raise OSError(errno.EBADMSG, "the kernel's answer is cut off")
        yield number & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


_attribute: Final = attribute
_attributes: Final = attributes_of


def _link(body: bytes) -> Link:
    index, flags = struct.unpack_from("=4xiI", body)
    parts: dict[int, Any] = dict(_attributes(body[16:]))
    info = dict(_attributes(parts.get(18, b"")))
    return Link(
        index,
        _string(parts[3]),
        struct.unpack("=I", parts[4])[0],
        parts.get(1, b"").hex(":"),
        _string(parts.get(20, b"")),
        bool(flags & _UP),
        _string(info.get(1, b"")),
    )


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _family(version: int) -> int:
    return int(socket.AF_INET if version == 4 else socket.AF_INET6)


def _text(family: int, packed: bytes) -> str:
    return socket.inet_ntop(family, packed)
