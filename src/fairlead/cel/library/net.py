"""IP addresses and networks.

Mirrors ``k8s.io/apiserver/pkg/cel/library/{ip,cidr}.go`` on top of Go's ``net/netip``: no zones, no IPv4-mapped
IPv6 addresses, a network keeps the host bits it was written with.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Final, final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.library.addresses import Address, parse_address
from fairlead.cel.runtime import GO_NAMES, NO_OVERLOAD, STRICT_EQUALITY, TYPE_NAMES
from fairlead.cel.values import Value

TABLE: Final = """
    ip string_to_ip (string) -> ip
    family ip_family ip.() -> int
    ip.isCanonical ip_is_canonical (string) -> bool
    isUnspecified ip_is_unspecified ip.() -> bool
    isLoopback ip_is_loopback ip.() -> bool
    isLinkLocalMulticast ip_is_link_local_multicast ip.() -> bool
    isLinkLocalUnicast ip_is_link_local_unicast ip.() -> bool
    isGlobalUnicast ip_is_global_unicast ip.() -> bool
    isIP is_ip (string) -> bool
    string ip_to_string (ip) -> string
    cidr string_to_cidr (string) -> cidr
    containsIP cidr_contains_ip_string cidr.(string) -> bool
    containsIP cidr_contains_ip_ip cidr.(ip) -> bool
    containsCIDR cidr_contains_cidr_string cidr.(string) -> bool
    containsCIDR cidr_contains_cidr cidr.(cidr) -> bool
    ip cidr_ip cidr.() -> ip
    prefixLength cidr_prefix_length cidr.() -> int
    masked cidr_masked cidr.() -> cidr
    isCIDR is_cidr (string) -> bool
    string cidr_to_string (cidr) -> string
"""


@final
class IP:
    __slots__ = ("address",)

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)

    @property
    def size(self) -> int:
        return self.address.max_prefixlen // 8


@final
class CIDR:
    __slots__ = ("address", "bits")

    def __init__(self, address: Address, bits: int) -> None:
        self.address = address
        self.bits = bits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and self.address == other.address and self.bits == other.bits

    def __hash__(self) -> int:
        return hash((self.address, self.bits))

    def __str__(self) -> str:
        return f"{self.address}/{self.bits}"

    @property
    def size(self) -> int:
        return -(-self.bits // 8)

    def masked(self) -> CIDR:
        network = ipaddress.ip_network((self.address, self.bits), strict=False)
        return CIDR(network.network_address, self.bits)

    def contains(self, address: Address) -> bool:
        shift = self.address.max_prefixlen - self.bits
        return address.version == self.address.version and int(address) >> shift == int(self.address) >> shift


TYPE_NAMES.update({IP: "net.IP", CIDR: "net.CIDR"})
GO_NAMES.update({IP: "cel.IP", CIDR: "cel.CIDR"})
STRICT_EQUALITY.update({IP, CIDR})


def _checked(text: str, address: Address) -> Address:
    quoted = json.dumps(text, ensure_ascii=False)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise EvaluationError(f"IP address {quoted} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise EvaluationError(f"IPv4-mapped IPv6 address {quoted} is not allowed")
    return address


def _ip(text: str) -> IP:
    try:
        address = parse_address(text)
    except ValueError as error:
        quoted = json.dumps(text, ensure_ascii=False)
        message = f"IP Address {quoted} parse error during conversion from string: {error}"
        raise EvaluationError(message) from None
    return IP(_checked(text, address))


def _cidr(text: str) -> CIDR:
    prefix = "network address parse error during conversion from string: "
    try:
        address, bits = _parse_prefix(text)
    except ValueError as error:
        raise EvaluationError(f"{prefix * 2}netip.ParsePrefix({json.dumps(text)}): {error}") from None
    try:
        return CIDR(_checked(text, address), bits)
    except EvaluationError as error:
        raise EvaluationError(f"{prefix}{error}") from None


def _parse_prefix(text: str) -> tuple[Address, int]:
    host, slash, bits = text.rpartition("/")
    if not slash:
        raise ValueError("no '/'")
    address = parse_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise ValueError("IPv6 zones cannot be present in a prefix")
    if not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits[0] == "0"):
        raise ValueError(f"bad bits after slash: {json.dumps(bits)}")
    if len(bits) > 3 or int(bits) > address.max_prefixlen:
        raise ValueError("prefix length out of range")
    return address, int(bits)


def _valid(parse: Callable[[str], Value]) -> Callable[[str], bool]:
    def valid(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return valid


def _is_link_local_multicast(ip: IP) -> bool:
    address = ip.address
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return (int(address) >> 112) & 0xFF0F == 0xFF02


def _is_global_unicast(ip: IP) -> bool:
    address = ip.address
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (broadcast or special)


def _contains_ip_text(cidr: CIDR, text: str) -> bool:
    try:
        return cidr.contains(_ip(text).address)
    except EvaluationError:
        raise EvaluationError(NO_OVERLOAD) from None


def _contains_cidr(cidr: CIDR, other: CIDR) -> bool:
    return cidr.bits <= other.bits and cidr.contains(other.address)


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "string_to_ip": _ip,
    "ip_family": lambda ip: ip.address.version,
    "ip_is_canonical": lambda text: str(_ip(text)) == text,
    "ip_is_unspecified": lambda ip: ip.address.is_unspecified,
    "ip_is_loopback": lambda ip: ip.address.is_loopback,
    "ip_is_link_local_multicast": _is_link_local_multicast,
    "ip_is_link_local_unicast": lambda ip: ip.address.is_link_local,
    "ip_is_global_unicast": _is_global_unicast,
    "is_ip": _valid(_ip),
    "ip_to_string": str,
    "string_to_cidr": _cidr,
    "cidr_contains_ip_string": _contains_ip_text,
    "cidr_contains_ip_ip": lambda cidr, ip: cidr.contains(ip.address),
    "cidr_contains_cidr_string": lambda cidr, text: _contains_cidr(cidr, _cidr(text)),
    "cidr_contains_cidr": _contains_cidr,
    "cidr_ip": lambda cidr: IP(cidr.address),
    "cidr_prefix_length": lambda cidr: cidr.bits,
    "cidr_masked": lambda cidr: cidr.masked(),
    "is_cidr": _valid(_cidr),
    "cidr_to_string": str,
}
