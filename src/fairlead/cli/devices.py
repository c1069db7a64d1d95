"""The attributes of a device that matter to its request: those that the request speaks of, then those people know.

A request speaks of attributes in its selectors and in the constraints that apply to it. The rest of a line goes to
names that drivers use for what a device is and where it sits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fairlead.resource import (
    Device,
    DeviceAttribute,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceSlice,
)

STANDARD: Final = "resource.kubernetes.io"
_PRODUCT: Final = ("productName", "model")
"""What a device is called; shown without saying so."""
_FAVOURITES: Final = (
    "profile",
    "family",
    "rdmaDevice",
    "ifName",
    f"{STANDARD}/pcieRoot",
    f"{STANDARD}/numaNode",
    "numaNode",
    f"{STANDARD}/pciBusID",
    "pciAddress",
    "type",
)
_MENTION: Final = re.compile(
    r"""\.(attributes|capacity)\s*\[\s*(["'])(?P<domain>[^"']+)\2\s*\]\s*
        (?:\.\s*\??(?P<name>\w+)|\[\s*\??(["'])(?P<quoted>\w+)\5\s*\])""",
    re.VERBOSE,
)


class DeviceBook:
    """Looks up devices by the names in allocation results."""

    def __init__(self, slices: Iterable[ResourceSlice]) -> None:
        self._devices: dict[tuple[str, str, str], tuple[int, Device]] = {}
        for slice_ in slices:
            pool = slice_.spec.pool
            for device in slice_.spec.devices:
                key = (slice_.spec.driver, pool.name, device.name)
                known = self._devices.get(key)
                if known is None or pool.generation > known[0]:
                    self._devices[key] = (pool.generation, device)

    def find(self, result: DeviceRequestAllocationResult) -> Device | None:
        """The device of a result, or None where no slice has it any more."""
        known = self._devices.get((result.driver, result.pool, result.device))
        return known[1] if known is not None else None


def mentioned(claim: ResourceClaim, request: str) -> list[str]:
    """The attributes and capacities, as `domain/name`, that selectors and constraints of a request speak of."""
    devices = claim.spec.devices
    parent = request.partition("/")[0]
    names: dict[str, None] = {}
    for constraint in devices.constraints:
        if not constraint.requests or request in constraint.requests or parent in constraint.requests:
            names.update(dict.fromkeys(filter(None, (constraint.match_attribute, constraint.distinct_attribute))))
    for candidate in devices.requests:
        if candidate.name != parent:
            continue
        alternatives = [sub for sub in candidate.first_available if f"{parent}/{sub.name}" == request]
        selectors = [selector for alternative in alternatives for selector in alternative.selectors]
        selectors += candidate.exactly.selectors if candidate.exactly is not None else []
        for selector in selectors:
            if selector.cel is not None:
                names.update(dict.fromkeys(_in_expression(selector.cel.expression)))
    return list(names)


def describe(device: Device, result: DeviceRequestAllocationResult, claim: ResourceClaim, width: int) -> str:
    """`name=value` for what matters: all that the request speaks of, then as much more as the width holds."""
    spoken = [text for name in mentioned(claim, result.request) if (text := _shown(device, name, result.driver))]
    product = [text for name in _PRODUCT if (text := _shown(device, name, result.driver))][:1]
    shares = [f"{_short(name)}={amount}" for name, amount in result.consumed_capacity.items()]
    parts = list(dict.fromkeys([*shares, *(["(admin access)"] if result.admin_access else []), *product, *spoken]))
    if product and product[0] not in spoken and sum(len(part) + 1 for part in parts) > width + 1:
        parts.remove(product[0])
    used = sum(len(part) + 1 for part in parts)
    for name in _FAVOURITES:
        text = _shown(device, name, result.driver)
        if text is None or text in parts or used + len(text) > width:
            continue
        parts.append(text)
        used += len(text) + 1
    return " ".join(parts)


def _in_expression(expression: str) -> Iterator[str]:
    for match in _MENTION.finditer(expression):
        yield f"{match['domain']}/{match['name'] or match['quoted']}"


def _shown(device: Device, name: str, driver: str) -> str | None:
    """`name=value`, found under its full name or, in the driver's own domain, under the short one."""
    domain, _, short = name.rpartition("/")
    keys = [name, short] if domain == driver else [name] if domain else [name, f"{driver}/{name}"]
    for key in keys:
        if (attribute := device.attributes.get(key)) is not None:
            value = _value(attribute)
            return value if short in _PRODUCT else f"{short}={value}"
        if (capacity := device.capacity.get(key)) is not None:
            return f"{_short(name)}={capacity.value}"
    return None


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _value(attribute: DeviceAttribute) -> str:
    lists: Sequence[Sequence[object] | None] = (
        attribute.strings,
        attribute.ints,
        attribute.versions,
        attribute.bools,
    )
    for values in lists:
        if values is not None:
            return ",".join(_plain(value) for value in values)
    for value in (attribute.string, attribute.int_, attribute.version, attribute.bool_):
        if value is not None:
            return _plain(value)
    return "?"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
