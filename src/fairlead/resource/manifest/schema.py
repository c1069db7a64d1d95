"""Checks a plain value against a struct's fields: wrong types, unknown fields, with the path of each.

msgspec stops at the first wrong type and can not name map keys. This walk reports all of them in the API server's
path syntax (`spec.devices[3].attributes[index].int`) and returns a cleaned copy that msgspec converts without
error. As in the API server `null` means absent, and an absent string that has to be there reads as empty, so that
validation reports it.

Unknown members of a oneof are refused, not ignored: the copy keeps none of the members, so a selector, constraint,
attribute or request of a kind that we do not know ends up with none set, which nothing accepts.

The walk keeps its own stack; it does not recurse into the input.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

import msgspec

from fairlead.resource import claim, slice, taint
from fairlead.resource.base import ObjectMeta, OwnerReference
from fairlead.resource.codec import Number, parse_quantity
from fairlead.resource.problem import invalid, required, unknown_field
from fairlead.resource.quantity import Quantity

Kind = Literal["struct", "list", "map", "string", "integer", "boolean", "quantity", "any"]
Severity = Literal["error", "oneof", "warning"]

_WANTED: Final[dict[Kind, str]] = {
    "struct": "must be an object",
    "list": "must be a list",
    "map": "must be an object",
    "string": "must be a string",
    "integer": "must be an integer",
    "boolean": "must be true or false",
}
# The members of structs of which one must be set. None names a struct where nothing may be missed and nothing can
# be emptied: an object with an unknown field in it is not used.
_ONEOF: Final[dict[type, frozenset[str] | None]] = {
    slice.DeviceAttribute: frozenset(slice.DeviceAttribute.__struct_encode_fields__),
    slice.NodeAllocatableResource: frozenset({"mapping", "overhead"}),
    slice.CapacityRequestPolicy: None,
    claim.DeviceSelector: frozenset({"cel"}),
    claim.DeviceRequest: frozenset({"exactly", "firstAvailable"}),
    claim.DeviceConstraint: frozenset({"matchAttribute", "distinctAttribute"}),
    claim.DeviceClaimConfiguration: frozenset({"opaque"}),
    claim.DeviceAllocationConfiguration: frozenset({"opaque"}),
    claim.DeviceClassConfiguration: frozenset({"opaque"}),
    taint.DeviceTaintSelector: None,
}
# Fields that the API knows and the structs leave out.
_LEFT_OUT: Final[dict[type, frozenset[str]]] = {
    ObjectMeta: frozenset({"managedFields", "selfLink", "deletionGracePeriodSeconds"}),
    OwnerReference: frozenset({"blockOwnerDeletion"}),
    taint.DeviceTaintRule: frozenset({"status"}),
}
_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1
_Int64 = typing.Annotated[int, msgspec.Meta(ge=_MIN_INT64, le=_MAX_INT64)]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path: an error, an unknown oneof member, or an unknown field that is only a warning."""

    path: str
    reason: str
    severity: Severity


@dataclass(eq=False, slots=True)
class Shape:
    """What a value must look like."""

    kind: Kind
    struct: type[msgspec.Struct] | None = None
    item: Shape | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


@cache
def shape_of(struct: type[msgspec.Struct]) -> Shape:
    """The shape of a struct class; classes that contain themselves are not supported, and the API has none."""
    hints = typing.get_type_hints(struct)
    shape = Shape("struct", struct)
    needed = []
    for info in msgspec.structs.fields(struct):
        shape.fields[info.encode_name] = _shape(hints[info.name])
        if info.required:
            needed.append(info.encode_name)
    shape.needed = tuple(needed)
    return shape


def _shape(hint: Any) -> Shape:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
        return _shape(hint)
    if origin is list:
        return Shape("list", item=_shape(typing.get_args(hint)[0]))
    if origin is dict:
        return Shape("map", item=_shape(typing.get_args(hint)[1]))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return shape_of(hint)
    plain: dict[Any, Kind] = {str: "string", int: "integer", bool: "boolean", Quantity: "quantity", Any: "any"}
    return Shape(plain[hint])


def examine(value: Any, shape: Shape, path: str = "", strict: bool = True) -> tuple[Any, list[Finding]]:
    """A copy of `value` that fits `shape`, and what did not fit; unknown fields are reported when `strict`."""
    findings: list[Finding] = []
    root: dict[str, Any] = {"": None}
    stack: list[tuple[Any, Shape, str, Any, Any]] = [(value, shape, path, root, "")]
    while stack:
        value, shape, path, target, key = stack.pop()
        kind = shape.kind
        if kind == "struct":
            if type(value) is not dict:
                findings.append(Finding(path, invalid(value, _WANTED[kind]), "error"))
                continue
            copy: dict[str, Any] = {}
            target[key] = copy
            stack += _members(value, shape, path, copy, findings, strict)
        elif kind == "list":
            if type(value) is not list:
                findings.append(Finding(path, invalid(value, _WANTED[kind]), "error"))
                continue
            assert shape.item is not None
            target[key] = items = [None] * len(value)
            for index, item in enumerate(value):
                item = _zero(shape.item) if item is None else item
                stack.append((item, shape.item, f"{path}[{index}]", items, index))
        elif kind == "map":
            if type(value) is not dict:
                findings.append(Finding(path, invalid(value, _WANTED[kind]), "error"))
                continue
            assert shape.item is not None
            copy = dict.fromkeys(value)
            target[key] = copy
            for name, item in value.items():
                item = _zero(shape.item) if item is None else item
                stack.append((item, shape.item, f"{path}[{name}]", copy, name))
        else:
            _scalar(value, kind, path, target, key, findings)
    # The stack visits the last first; people read from the top.
    findings.reverse()
    return root[""], findings


def _members(
    value: dict[str, Any], shape: Shape, path: str, copy: dict[str, Any], findings: list[Finding], strict: bool
) -> list[tuple[Any, Shape, str, Any, Any]]:
    assert shape.struct is not None
    todo: list[tuple[Any, Shape, str, Any, Any]] = []
    prefix = f"{path}." if path else ""
    left_out = _LEFT_OUT.get(shape.struct, frozenset())
    refused: frozenset[str] | None = frozenset()
    for name, item in value.items():
        known = shape.fields.get(name)
        if known is None:
            if strict and name not in left_out:
                severity: Severity = "warning"
                if shape.struct in _ONEOF:
                    refused = _ONEOF[shape.struct]
                    severity = "error" if refused is None else "oneof"
                findings.append(Finding(prefix + name, unknown_field(prefix + name), severity))
        elif item is not None:
            copy[name] = None
            todo.append((item, known, prefix + name, copy, name))
    for name in shape.needed:
        if name not in copy:
            needed = shape.fields[name]
            if needed.kind == "quantity":
                findings.append(Finding(prefix + name, required(), "error"))
            else:
                copy[name] = None
                todo.append((_zero(needed), needed, prefix + name, copy, name))
    if refused:
        todo = [task for task in todo if task[4] not in refused]
        for name in refused:
            copy.pop(name, None)
    return todo


def _scalar(value: Any, kind: Kind, path: str, target: Any, key: Any, findings: list[Finding]) -> None:
    if kind == "any":
        target[key] = _plain(value)
        return
    if kind == "quantity":
        try:
            parse_quantity(value)
        except ValueError as error:
            findings.append(Finding(path, invalid(value, str(error)), "error"))
            return
    elif (
        (kind == "string" and type(value) is not str)
        or (kind == "integer" and type(value) is not int)
        or (kind == "boolean" and type(value) is not bool)
    ):
        findings.append(Finding(path, invalid(value, _WANTED[kind]), "error"))
        return
    elif kind == "integer" and not _MIN_INT64 <= value <= _MAX_INT64:
        findings.append(Finding(path, invalid(value, "must fit a signed integer of 64 bits"), "error"))
        return
    target[key] = value


def _zero(shape: Shape) -> Any:
    zeros: dict[Kind, Any] = {"struct": {}, "map": {}, "list": [], "string": "", "integer": 0, "boolean": False}
    return "0" if shape.kind == "quantity" else zeros.get(shape.kind)


def _plain(value: Any) -> Any:
    """A value without `Number`s in it, for fields that are passed on unread; depth is bounded by the parsers."""
    if isinstance(value, Number):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


@cache
def strict_twin(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A struct that decodes the same JSON but refuses unknown fields, to find documents that need `examine`."""
    fields: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    hints = typing.get_type_hints(struct)
    for info in msgspec.structs.fields(struct):
        default = msgspec.NODEFAULT if info.required else None
        fields.append((info.name, _strict(hints[info.name]), default))
        names[info.name] = info.encode_name
    for name in sorted(_LEFT_OUT.get(struct, ())):
        fields.append((name, msgspec.Raw, msgspec.Raw()))
        names[name] = name
    return msgspec.defstruct(
        f"Strict{struct.__name__}", fields, forbid_unknown_fields=True, rename=names, kw_only=True, gc=False
    )


def _strict(hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _strict(next(part for part in typing.get_args(hint) if part is not type(None))) | None
    if origin is list:
        return list[_strict(typing.get_args(hint)[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[str, _strict(typing.get_args(hint)[1])]  # type: ignore[misc]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return strict_twin(hint)
    if hint is int:
        return _Int64
    return msgspec.Raw if hint in (Any, Quantity) else hint
