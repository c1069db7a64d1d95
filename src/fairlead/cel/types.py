"""Static types of CEL, their text in error messages, and unification.

Mirrors cel-go ``checker/types.go`` and ``checker/mapping.go``: assignability in both directions, free type
parameters that are bound while checking, ``dyn`` and ``any`` that go with everything.

Invariants: a ``Type`` is an immutable value, equal by structure; a ``Mapping`` only ever binds type parameters,
and a failed unification leaves the mapping it was given as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Type:
    """``kind`` decides how a type unifies; ``name`` tells apart opaque, object and parameter types."""

    kind: str
    name: str
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if self.kind == "type" and not self.params:
            return "type"
        if not self.params:
            return self.name
        return f"{self.name}({', '.join(map(str, self.params))})"


def _simple(kind: str, name: str | None = None) -> Type:
    return Type(kind, name or kind)


DYN: Final = _simple("dyn")
ANY: Final = _simple("any")
ERROR: Final = _simple("error", "!error!")
NULL: Final = _simple("null")
BOOL: Final = _simple("bool")
INT: Final = _simple("int")
UINT: Final = _simple("uint")
DOUBLE: Final = _simple("double")
STRING: Final = _simple("string")
BYTES: Final = _simple("bytes")
TIMESTAMP: Final = _simple("timestamp")
DURATION: Final = _simple("duration")
TYPE: Final = _simple("type")
QUANTITY: Final = Type("struct", "kubernetes.Quantity")
SEMVER: Final = Type("struct", "kubernetes.Semver")
URL: Final = Type("struct", "kubernetes.URL")
FORMAT: Final = Type("struct", "kubernetes.NamedFormat")
IP: Final = Type("opaque", "net.IP")
CIDR: Final = Type("opaque", "net.CIDR")
DEVICE: Final = Type("struct", "kubernetes.DRADevice")

_SCALARS: Final = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
_NULLABLE: Final = frozenset({"opaque", "struct", "any", "duration", "timestamp"})


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def type_of(value: Type) -> Type:
    return Type("type", "type", (value,))


def param(name: str) -> Type:
    return Type("param", name)


def is_dyn(t: Type) -> bool:
    return t.kind in ("dyn", "any")


def is_optional(t: Type) -> bool:
    return t.kind == "opaque" and t.name == "optional_type"


def unwrap_optional(t: Type) -> tuple[Type, bool]:
    return (t.params[0], True) if is_optional(t) else (t, False)


def is_scalar(t: Type) -> bool:
    """Whether values of this type have a constant size."""
    return t.kind in _SCALARS or (is_optional(t) and is_scalar(t.params[0]))


class Mapping:
    """What each free type parameter is bound to."""

    __slots__ = ("_bound",)

    def __init__(self, bound: dict[Type, Type] | None = None) -> None:
        self._bound: dict[Type, Type] = {} if bound is None else bound

    def copy(self) -> Mapping:
        return Mapping(dict(self._bound))

    def find(self, t: Type) -> Type | None:
        return self._bound.get(t)

    def bind(self, t: Type, to: Type) -> None:
        self._bound[t] = to


def substitute(mapping: Mapping, t: Type, free_to_dyn: bool) -> Type:
    """``t`` with bound parameters replaced; free ones become ``dyn`` on request."""
    bound = mapping.find(t)
    if bound is not None:
        return substitute(mapping, bound, free_to_dyn)
    if t.kind == "param":
        return DYN if free_to_dyn else t
    if t.params:
        return Type(t.kind, t.name, tuple(substitute(mapping, p, free_to_dyn) for p in t.params))
    return t


def assignable(mapping: Mapping, sources: list[Type], targets: list[Type]) -> Mapping | None:
    """The mapping that makes every source go with its target, or None."""
    candidate = mapping.copy()
    if len(sources) == len(targets) and all(
        _assignable(candidate, s, t) for s, t in zip(sources, targets, strict=True)
    ):
        return candidate
    return None


def _assignable(m: Mapping, t1: Type, t2: Type) -> bool:
    if t2.kind == "param":
        valid, has_substitution = _valid_substitution(m, t1, t2)
        if valid:
            return True
        if has_substitution:
            return False
    if t1.kind == "param":
        return _valid_substitution(m, t2, t1)[0]
    if is_dyn(t1) or is_dyn(t2) or t1.kind == "error" or t2.kind == "error":
        return True
    if t1.kind == "null":
        return t2.kind in _NULLABLE or t2.kind == "null"
    if t2.kind == "null":
        return t1.kind in _NULLABLE
    if t1.kind == "type":
        return t2.kind == "type"
    if t1.kind in ("opaque", "list", "map"):
        return (
            t1.kind == t2.kind
            and t1.name == t2.name
            and len(t1.params) == len(t2.params)
            and all(_assignable(m, a, b) for a, b in zip(t1.params, t2.params, strict=True))
        )
    return t1 == t2


def _valid_substitution(m: Mapping, t1: Type, t2: Type) -> tuple[bool, bool]:
    """Whether ``t1`` may stand for the parameter ``t2``, and whether ``t2`` is already bound."""
    if t1 == t2:
        return True, True
    bound = m.find(t2)
    if bound is not None:
        if t1 == bound:
            return True, True
        if _assignable(m, t1, bound):
            general = most_general(t1, bound)
            if _not_referenced(m, t2, general):
                m.bind(t2, general)
            return True, True
        return False, True
    if _not_referenced(m, t2, t1):
        m.bind(t2, t1)
        return True, False
    return False, False


def _not_referenced(m: Mapping, t: Type, within: Type) -> bool:
    if t == within:
        return False
    if within.kind == "param":
        bound = m.find(within)
        return bound is None or _not_referenced(m, t, bound)
    return all(_not_referenced(m, t, p) for p in within.params)


def most_general(t1: Type, t2: Type) -> Type:
    return t1 if _equal_or_less_specific(t1, t2) else t2


def _equal_or_less_specific(t1: Type, t2: Type) -> bool:
    if is_dyn(t1) or t1.kind == "param":
        return True
    if is_dyn(t2) or t2.kind == "param" or t1.kind != t2.kind:
        return False
    if t1.kind in ("opaque", "list", "map"):
        return (
            t1.name == t2.name
            and len(t1.params) == len(t2.params)
            and all(_equal_or_less_specific(a, b) for a, b in zip(t1.params, t2.params, strict=True))
        )
    return t1.kind == "type" or t1 == t2
