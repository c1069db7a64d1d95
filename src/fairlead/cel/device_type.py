"""The type of the variable ``device`` and how large its parts can get.

Mirrors the declarations in ``k8s.io/dynamic-resource-allocation/cel/compile.go``. Which fields exist, and whether
attributes are ``dyn`` (they may be lists) or ``any``, depends on the feature gates for new expressions; stored
ones may use everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fairlead.cel import types
from fairlead.cel.types import Type, map_of


@dataclass(frozen=True, slots=True)
class Size:
    """The largest number of elements or characters of a value, and the same for what it holds."""

    limit: int
    key: Size | None = None
    element: Size | None = None
    fields: Mapping[str, Size] = field(default_factory=dict)


_DOMAIN: Final = Size(63)
_ID: Final = Size(32)
_MAX_ENTRIES: Final = 32
# An attribute is a string of up to 64 characters or a list of up to 48 values.
ATTRIBUTE: Final = Size(64)
_ATTRIBUTES: Final = Size(_MAX_ENTRIES, _DOMAIN, Size(_MAX_ENTRIES, _ID, ATTRIBUTE))
_CAPACITY: Final = Size(_MAX_ENTRIES, _DOMAIN, Size(_MAX_ENTRIES, _ID, Size(0)))
DEVICE_SIZE: Final = Size(
    0,
    fields={
        "driver": Size(63),
        "attributes": _ATTRIBUTES,
        "capacity": _CAPACITY,
        "allowMultipleAllocations": Size(1),
    },
)


def size_at(path: tuple[str, ...]) -> int | None:
    """The limit of what a path leads to; the first element is the variable."""
    if not path or path[0] != "device":
        return None
    current = DEVICE_SIZE
    for name in path[1:]:
        if name in ("@items", "@values"):
            following = current.element
        elif name == "@keys":
            following = current.key
        else:
            following = current.fields.get(name)
            if following is None and current.element is ATTRIBUTE:
                following = ATTRIBUTE
        if following is None:
            return None
        current = following
    return current.limit


def fields(list_attributes: bool, consumable_capacity: bool) -> dict[str, Type]:
    attribute = types.DYN if list_attributes else types.ANY
    declared = {
        "driver": types.STRING,
        "attributes": map_of(types.STRING, map_of(types.STRING, attribute)),
        "capacity": map_of(types.STRING, map_of(types.STRING, types.QUANTITY)),
    }
    if consumable_capacity:
        declared["allowMultipleAllocations"] = types.BOOL
    return declared
