"""Values that all profiles build devices from: attributes by Python type, and identifiers that look like real ones.

Identifiers are hashes of names, so they differ between devices and are the same in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from fairlead.resource import DeviceAttribute, DeviceCapacity, Quantity

BUS = "resource.kubernetes.io/pciBusID"
ROOT = "resource.kubernetes.io/pcieRoot"
NUMA = "resource.kubernetes.io/numaNode"


class Version(str):
    """An attribute value that is a version, not a string."""

    __slots__ = ()


def attributes(values: Mapping[str, object]) -> dict[str, DeviceAttribute]:
    """Attributes of the type that Python gives the values; those that are None are left out."""
    made = {}
    for name, value in values.items():
        match value:
            case None:
                continue
            case bool():
                made[name] = DeviceAttribute(bool_=value)
            case int():
                made[name] = DeviceAttribute(int_=value)
            case Version():
                made[name] = DeviceAttribute(version=str(value))
            case _:
                made[name] = DeviceAttribute(string=str(value))
    return made


def capacity(**amounts: str) -> dict[str, DeviceCapacity]:
    """Capacities that are not shared."""
    return {name: DeviceCapacity(value=Quantity.parse(amount)) for name, amount in amounts.items()}


def uuid_of(name: str) -> str:
    """A UUID for whatever has this name."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def mac_of(name: str) -> str:
    """A locally administered MAC address for whatever has this name."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return ":".join(("02", *(digits[at : at + 2] for at in range(0, 10, 2))))
