"""All functions an expression may call, by name: their signatures and what they do.

One module a library; ``TABLE`` declares, ``IMPLEMENTATIONS`` maps overload ids to Python functions that take
values of the declared types and raise ``EvaluationError``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.library import (
    core,
    formats,
    lists,
    net,
    optional,
    quantities,
    regex,
    strings,
    urls,
)
from fairlead.cel.runtime import NO_OVERLOAD, TYPE_NAMES, no_overload
from fairlead.cel.signatures import Overload, Table, merge, parse_table
from fairlead.cel.types import Type
from fairlead.cel.values import Value

_LIBRARIES: Final = (core, strings, lists, regex, urls, net, formats, quantities, optional)

BASE: Final[Table] = merge(*(parse_table(library.TABLE) for library in _LIBRARIES))
WITH_INCLUDES: Final[Table] = merge(BASE, parse_table(lists.INCLUDES_TABLE))

_IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    overload: implementation for library in _LIBRARIES for overload, implementation in library.IMPLEMENTATIONS.items()
}
_ANY: Final = frozenset({"dyn", "any", "param"})
_RUNTIME_KINDS: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}
# Functions that report a plain mismatch when the first argument is of a kind they know.
_BARE: Final = frozenset({"contains", "startsWith", "endsWith", "@in", "matches", "!_"})
_ORDERED: Final = "bool int uint double bytes"
_OPERATORS: Final = {
    "_+_": "int uint double bytes list",
    "_-_": "int uint double",
    "_*_": "int uint double",
    "_/_": "int uint double",
    "_%_": "int uint",
    "_<_": _ORDERED,
    "_<=_": _ORDERED,
    "_>_": _ORDERED,
    "_>=_": _ORDERED,
    "-_": "int double",
    "size": "",
}
# These have methods of their own, which report no names.
_RECEIVERS: Final = frozenset({"string", "google.protobuf.Duration", "google.protobuf.Timestamp"})


class Function:
    """A call with values whose types are only known now: finds the overload that they fit."""

    __slots__ = ("_found", "_overloads", "name")

    def __init__(self, name: str, overloads: list[Overload]) -> None:
        self.name = name
        self._overloads = overloads
        self._found: dict[tuple[type, ...], Callable[..., Value]] = {}

    def __call__(self, *args: Value) -> Value:
        classes = tuple(map(type, args))
        implementation = self._found.get(classes)
        if implementation is None:
            implementation = self._found[classes] = self._select(classes)
        return implementation(*args)

    def _select(self, classes: tuple[type, ...]) -> Callable[..., Value]:
        kinds = [TYPE_NAMES[c] for c in classes]
        for overload in self._overloads:
            if _fits(overload, kinds):
                return _IMPLEMENTATIONS[overload.id]
        return self._mismatch(kinds)

    def _mismatch(self, kinds: list[str]) -> Callable[..., Value]:
        def refuse(*args: Value) -> Value:
            known = _OPERATORS.get(self.name)
            if self.name in _BARE or (known is not None and kinds[0] in {*known.split(), *_RECEIVERS}):
                raise EvaluationError(NO_OVERLOAD)
            if known is not None:
                raise EvaluationError(f"{NO_OVERLOAD}: {self.name}")
            raise no_overload(self.name, *args)

        return refuse


def _fits(overload: Overload, kinds: list[str]) -> bool:
    return len(overload.arguments) == len(kinds) and all(
        _accepts(wanted, kind) for wanted, kind in zip(overload.arguments, kinds, strict=True)
    )


def _accepts(wanted: Type, kind: str) -> bool:
    if wanted.kind in _ANY:
        return True
    if wanted.kind in ("struct", "opaque"):
        return wanted.name == kind
    return _RUNTIME_KINDS.get(wanted.kind, wanted.kind) == kind


@cache
def function(name: str, overloads: tuple[str, ...]) -> Function | None:
    """What a call that was checked to one of ``overloads`` runs; None for operators the planner treats itself."""
    found = [o for o in WITH_INCLUDES[name] if o.id in overloads and o.id in _IMPLEMENTATIONS]
    return Function(name, found) if found else None


def implementation(overload: str) -> Callable[..., Value]:
    return _IMPLEMENTATIONS[overload]
