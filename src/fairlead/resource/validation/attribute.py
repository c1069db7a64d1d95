"""The rules for the attributes of a device, and for the node resources that a device stands for.

Source: validateDeviceAttribute and validateNodeAllocatableResources of `k8s.io/kubernetes`. A version has to match
the grammar of semver.org 2.0.0; the numbers in it may be of any size, unlike in the CEL library.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fairlead.resource.problem import invalid, not_found, required, too_long
from fairlead.resource.quantity import Quantity
from fairlead.resource.slice import (
    Device,
    DeviceAttribute,
    NodeAllocatableMapping,
    NodeAllocatableOverhead,
)
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.names import check_qualified, qualified_reasons

ATTRIBUTES_AND_CAPACITIES_MAX: Final = 32
ATTRIBUTE_VALUES_MAX: Final = 48
VALUE_MAX: Final = 64

_NUMBER: Final = "(0|[1-9][0-9]*)"
_PRERELEASE: Final = "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD: Final = "[0-9a-zA-Z-]+"
_version = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?")
_NODE_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_MEMBERS: Final = ("int", "bool", "string", "version", "ints", "bools", "strings", "versions")
_ALL_MEMBERS: Final = ", ".join(f"`{name}`" for name in _MEMBERS)


def check_attributes(errors: Errors, device: Device, path: str) -> None:
    """Names and values of all attributes, and how many there are."""
    total = len(device.attributes) + len(device.capacity)
    if total > ATTRIBUTES_AND_CAPACITIES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_AND_CAPACITIES_MAX}"
        errors.add(path, invalid(total, detail))
    values = len(device.attributes)
    for name, attribute in device.attributes.items():
        if qualified_reasons(name):
            check_qualified(errors, name, f"{path}.attributes")
        # The common kinds, which need no look at the others.
        if attribute.string is not None and len(attribute.string) <= VALUE_MAX // 4 and _only(attribute, 1):
            continue
        values += _check_attribute(errors, attribute, f"{path}.attributes[{_shortened(name)}]")
    if values > ATTRIBUTE_VALUES_MAX:
        detail = f"the total number of attribute values must not exceed {ATTRIBUTE_VALUES_MAX}"
        errors.add(path, invalid(values, detail))


def check_node_allocatable(errors: Errors, device: Device, path: str) -> None:
    """What an allocated device counts for, or costs, of the resources of its node."""
    for name, resource in device.node_allocatable_resources.items():
        where = f"{path}[{name}]"
        if name not in _NODE_RESOURCES and not name.startswith("hugepages-"):
            errors.add(where, invalid(name, "must be a node allocatable resource name"))
        if resource.mapping is None and resource.overhead is None:
            errors.add(where, required("at least one of mapping or overhead must be set"))
        if resource.mapping is not None:
            _check_mapping(errors, resource.mapping, device, f"{where}.mapping")
        if resource.overhead is not None:
            _check_overhead(errors, resource.overhead, f"{where}.overhead")


def _only(attribute: DeviceAttribute, count: int) -> bool:
    return (
        (attribute.int_ is not None)
        + (attribute.bool_ is not None)
        + (attribute.string is not None)
        + (attribute.version is not None)
        + (attribute.ints is not None)
        + (attribute.bools is not None)
        + (attribute.strings is not None)
        + (attribute.versions is not None)
    ) == count


def _check_attribute(errors: Errors, attribute: DeviceAttribute, path: str) -> int:
    """Checks one attribute; answers how many values it has beyond the first."""
    if attribute.string is not None:
        _check_text(errors, attribute.string, f"{path}.string")
    if attribute.version is not None:
        _check_version(errors, attribute.version, f"{path}.version")
    lists: dict[str, list[bool] | list[int] | list[str] | None] = {
        "bools": attribute.bools,
        "ints": attribute.ints,
        "strings": attribute.strings,
        "versions": attribute.versions,
    }
    values = 0
    for name, items in lists.items():
        if items is not None:
            values += len(items)
            if not items:
                errors.add(f"{path}.{name}", invalid(items, "must not be empty if specified"))
    if attribute.strings:
        errors.each(attribute.strings, f"{path}.strings", _check_text)
    if attribute.versions:
        errors.each(attribute.versions, f"{path}.versions", _check_version)
    _check_union(errors, attribute, path)
    return max(values - 1, 0)


def _check_union(errors: Errors, attribute: DeviceAttribute, path: str) -> None:
    """Exactly one member has a value; an empty list is none."""
    given = [name for name in shown_attribute(attribute) if getattr(attribute, name, None) != []]
    if not given:
        errors.add(path, invalid("", f"must specify one of: {_ALL_MEMBERS}"))
    elif len(given) > 1:
        shown = ", ".join(name for name in _MEMBERS if name in given)
        errors.add(path, invalid(f"{{{shown}}}", f"must specify exactly one of: {_ALL_MEMBERS}"))


def shown_attribute(attribute: DeviceAttribute) -> dict[str, object]:
    """The members that are set, to be shown in a reason."""
    return {
        name.rstrip("_"): getattr(attribute, name)
        for name in attribute.__struct_fields__
        if getattr(attribute, name) is not None
    }


def _check_text(errors: Errors, value: str, path: str) -> None:
    if len(value.encode()) > VALUE_MAX:
        errors.add(path, too_long(VALUE_MAX))


def _check_version(errors: Errors, value: str, path: str) -> None:
    if not is_version(value):
        errors.add(path, invalid(value, "must be a string compatible with semver.org spec 2.0.0"))
    _check_text(errors, value, path)


@lru_cache(maxsize=1 << 12)
def is_version(value: str) -> bool:
    """Whether a text follows the grammar of semver.org."""
    return _version.fullmatch(value) is not None


def _check_mapping(errors: Errors, mapping: NodeAllocatableMapping, device: Device, path: str) -> None:
    key, multiplier = mapping.capacity_key, mapping.capacity_multiplier
    if key == "":
        errors.add(f"{path}.capacityKey", invalid("", "capacityKey must not be an empty string"))
    elif key is not None and key not in device.capacity:
        errors.add(f"{path}.capacityKey", not_found(key))
    if key is not None and multiplier is None:
        errors.add(f"{path}.capacityMultiplier", required("capacityMultiplier is required when capacityKey is set"))
    elif key is None and multiplier is not None:
        errors.add(f"{path}.capacityKey", required("capacityKey is required when capacityMultiplier is set"))
    if key is not None:
        _check_positive(errors, multiplier, f"{path}.capacityMultiplier")
    _check_positive(errors, mapping.device_multiplier, f"{path}.deviceMultiplier")


def _check_positive(errors: Errors, value: Quantity | None, path: str) -> None:
    if value is not None and value.sign <= 0:
        errors.add(path, invalid(str(value), "must be positive"))


def _check_overhead(errors: Errors, overhead: NodeAllocatableOverhead, path: str) -> None:
    if overhead.per_pod is None and overhead.per_container is None:
        errors.add(path, invalid("", "at least one of perPod or perContainer must be set"))
    for value, name in ((overhead.per_pod, "perPod"), (overhead.per_container, "perContainer")):
        if value is not None and value.sign < 0:
            errors.add(f"{path}.{name}", invalid(str(value), "must be non-negative"))


def _shortened(key: str) -> str:
    """A key as it stands in a path: cut in the middle where it is longer than any valid one."""
    most = 96
    if len(key) <= most:
        return key
    kept = most - 3
    return f"{key[: (kept + 1) // 2]}...{key[-(kept // 2) :]}"
