"""What the stand-in refuses, as the real API server does: with the validation of `fairlead.resource`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fairlead.conformance.apiserver.resources import CLAIMS, SLICES, Resource
from fairlead.resource import KubeObject, ResourceClaim, ResourceSlice, decode_hook, validate

Json = dict[str, Any]
_TYPES: Final[dict[Resource, type[KubeObject]]] = {SLICES: ResourceSlice, CLAIMS: ResourceClaim}
_UNCHANGEABLE: Final = ("driver", "nodeName")


def refusals(resource: Resource, item: Json, old: Json | None) -> list[str]:
    """Why an object would be refused: a text for each field.

    Args:
        resource: its kind.
        item: as it would be stored.
        old: as it is stored now.
    """
    if resource not in _TYPES:
        return []
    try:
        decoded = decode(resource, item)
    except (msgspec.ValidationError, ValueError) as error:
        return [str(error)]
    found = [f"{problem.field}: {problem.reason}" for problem in validate(decoded)]
    if old is not None:
        found += _changed(resource, item, old)
    return found


def decode(resource: Resource, item: Json) -> Any:
    """The typed object.

    Raises:
        ValueError: a field has a wrong type.
    """
    return msgspec.convert(_without_nulls(item), _TYPES[resource], dec_hook=decode_hook)


def _changed(resource: Resource, item: Json, old: Json) -> list[str]:
    if resource is CLAIMS:
        same = item.get("spec") == old.get("spec")
        return [] if same else ["spec: Invalid value: field is immutable"]
    new_spec, old_spec = item["spec"], old["spec"]
    found = [f"spec.{key}" for key in _UNCHANGEABLE if new_spec.get(key) != old_spec.get(key)]
    if new_spec["pool"]["name"] != old_spec["pool"]["name"]:
        found.append("spec.pool.name")
    return [f"{field}: Invalid value: field is immutable" for field in found]


def _without_nulls(value: Any) -> Any:
    """To the API server null means absent."""
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value
