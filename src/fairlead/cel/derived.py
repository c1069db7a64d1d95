"""Derived attributes: compiled expressions that compute a value of a device for constraints (KEP-6080).

Mirrors the derived part of ``CompileCELExpression`` and ``EvaluateDerivedAttribute`` in
``k8s.io/dynamic-resource-allocation/cel/compile.go``. The language is that of selectors; what differs is the result: a
scalar that an attribute can have, or a list of them. What has no static type is looked at once it is there.

Invariant: derived attributes are immutable and shared between threads; compiling is cached.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, final

from fairlead.cel import types
from fairlead.cel.ast import Expr
from fairlead.cel.check import Checked, Environment
from fairlead.cel.device import DeviceInput
from fairlead.cel.errors import CompileError, EvaluationError
from fairlead.cel.planner import Program, build
from fairlead.cel.reads import reads
from fairlead.cel.runtime import TYPE_NAMES
from fairlead.cel.selector import MAX_COST, Features, compile_with, shown
from fairlead.cel.temporal import Duration, Timestamp
from fairlead.cel.types import Type, list_of
from fairlead.cel.values import DefaultMap, Failure, Optional, TypeValue, Uint, Value
from fairlead.resource import DeviceAttribute, Quantity, Semver

_CACHED: Final = 4096
_EVERYTHING: Final = Features()
_ELEMENTS: Final = frozenset({types.BOOL, types.INT, types.STRING, types.ANY, types.DYN, types.SEMVER})
_LISTS: Final = frozenset(map(list_of, _ELEMENTS))

_GO_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int64",
    str: "string",
    Semver: "semver.Version",
    Uint: "uint64",
    float: "float64",
    bytes: "[]uint8",
    type(None): "structpb.NullValue",
    Quantity: "*resource.Quantity",
    Duration: "time.Duration",
    Timestamp: "time.Time",
    dict: "map[ref.Val]ref.Val",
    DefaultMap: "map[string]interface {}",
}
_FIELDS: Final[dict[type, tuple[str, str, str]]] = {
    bool: ("bool_", "bools", "bool"),
    int: ("int_", "ints", "int"),
    str: ("string", "strings", "string"),
    Semver: ("version", "versions", "semver"),
}


@final
class Derived:
    """A compiled expression; ``reads`` are the attributes that it may look at."""

    __slots__ = ("_program", "expression", "reads")

    expression: Final[str]
    reads: Final[frozenset[str] | None]

    def __init__(self, expression: str, reads: frozenset[str] | None, program: Program) -> None:
        self.expression = expression
        self.reads = reads
        self._program = program

    def value(self, device: DeviceInput) -> DeviceAttribute:
        """The attribute of the device; EvaluationError where evaluation fails or no attribute can have the result."""
        if device.error is not None:
            raise EvaluationError(device.error)
        result, cost = self._program.run(device.as_map(), MAX_COST)
        if type(result) is Failure:
            raise EvaluationError(result.message, cost)
        return _attribute(result)

    def __repr__(self) -> str:
        return f"Derived({self.expression!r})"


@lru_cache(maxsize=_CACHED)
def compile_derived(expression: str, features: Features = _EVERYTHING) -> Derived:
    """The derived attribute for an expression; CompileError says what is wrong with it."""
    return compile_with(expression, features, _derived)


def _derived(expression: str, features: Features, environment: Environment, tree: Expr, checked: Checked) -> Derived:
    del environment
    lists = features.list_attributes or features.stored
    found: Type = checked.types[tree]
    if found not in _ELEMENTS and not (lists and found in _LISTS):
        wanted = "must evaluate to a primitive scalar (string, integer, boolean, semver)"
        raise CompileError(f"{wanted}{' or a list of these scalars' if lists else ''}, not {shown(found)}")
    return Derived(expression, reads(tree), build(tree, checked))


def _attribute(result: Value) -> DeviceAttribute:
    value = _plain(result)
    kind = type(value)
    if kind in _FIELDS:
        return DeviceAttribute(**{_FIELDS[kind][0]: _text(value)})
    if kind is not list and kind is not tuple:
        raise EvaluationError(f"unsupported CEL return type: {_go_name(value)}")
    elements = [_plain(element) for element in value]
    if not elements:
        return DeviceAttribute(strings=[])
    kind = type(elements[0])
    if kind not in _FIELDS:
        raise EvaluationError(f"unsupported list element type: {_go_name(elements[0])}")
    _, field, name = _FIELDS[kind]
    for index, element in enumerate(elements):
        if type(element) is not kind:
            raise EvaluationError(f"expected list element at index {index} to be {name}, got {_go_name(element)}")
    texts: Any = [_text(element) for element in elements]
    return DeviceAttribute(**{field: texts})


def _plain(value: Value) -> Value:
    """What is inside: an optional that is there counts as its value, a type as its name."""
    if type(value) is Optional and value.present:
        return _plain(value.value)
    return value.name if type(value) is TypeValue else value


def _text(value: Value) -> Any:
    return str(value) if type(value) is Semver else value


def _go_name(value: Value) -> str:
    kind = type(value)
    if kind is Optional:
        return "<nil>"
    return "[]ref.Val" if kind in (list, tuple) else _GO_NAMES.get(kind) or TYPE_NAMES[kind]
