"""Addresses of networks: what the CNI address plugins `host-local` and `static` would give, decided here.

`host-local` gives each claim of a node the lowest address of a range that no prepared claim of the node has. As with
the plugin, ranges of different nodes must not overlap where nodes share the network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


class AddressError(Exception):
    """The network's addresses cannot be given; the text names the field and the reason."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one interface gets."""

    addresses: tuple[str, ...] = ()
    """With prefixes."""
    routes: tuple[tuple[str, str], ...] = ()
    """Destination and gateway."""


def give(ipam: Mapping[str, Any], taken: Collection[str]) -> Given:
    """The addresses and routes of an `ipam` section.

    Args:
        ipam: of a CNI configuration; an empty one gives nothing.
        taken: addresses without prefixes that are given away.

    Raises:
        AddressError: it is of another kind, wrong, or its range is used up.
    """
    kind = ipam.get("type")
    if not ipam or not kind:
        return Given()
    try:
        if kind == "static":
            addresses = tuple(one["address"] for one in ipam.get("addresses") or ())
            gateway = next((one.get("gateway", "") for one in ipam.get("addresses") or ()), "")
            for one in addresses:
                ipaddress.ip_interface(one)
        elif kind == "host-local":
            sets = ipam.get("ranges") or [[ipam]]
            pairs = [_first_free(one, taken) for one in sets]
            addresses = tuple(address for address, _ in pairs)
            gateway = next((gateway for _, gateway in pairs), "")
        else:
            raise AddressError(f"ipam.type: {kind!r}: known are host-local and static")
        routes = tuple((one["dst"], one.get("gw") or gateway) for one in ipam.get("routes") or ())
    except (KeyError, TypeError, ValueError) as error:
        raise AddressError(f"ipam: cannot be used: {error!r}") from None
    return Given(addresses, routes)


def _first_free(ranges: Any, taken: Collection[str]) -> tuple[str, str]:
    gone = {str(ipaddress.ip_address(one)) for one in taken}
    for one in ranges:
        subnet = ipaddress.ip_network(one["subnet"], strict=False)
        gateway = str(one.get("gateway") or subnet.network_address + 1)
        for address in _between(one, subnet):
            if str(address) != gateway and str(address) not in gone:
                return f"{address}/{subnet.prefixlen}", gateway
    names = ", ".join(str(one["subnet"]) for one in ranges)
    raise AddressError(f"ipam: no address of {names} is free on this node")


def _between(one: Mapping[str, Any], subnet: Any) -> Iterator[Any]:
    first: Any = ipaddress.ip_address(one["rangeStart"]) if one.get("rangeStart") else subnet.network_address + 1
    last: Any = ipaddress.ip_address(one["rangeEnd"]) if one.get("rangeEnd") else subnet.broadcast_address
    if not one.get("rangeEnd") and subnet.version == 4 and subnet.prefixlen < 31:
        last -= 1
    while first <= last:
        yield first
        first += 1
