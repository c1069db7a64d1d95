"""Selectors: compiled expressions that say whether a device matches.

Mirrors ``CompileCELExpression`` and ``DeviceMatches`` in ``k8s.io/dynamic-resource-allocation/cel/compile.go``.

A selector has two forms. The *fast* form is generated Python that uses native operators and gives up, by raising
anything, as soon as an error or an unexpected type turns up. The *exact* form then evaluates again, absorbing errors
as CEL does and counting costs. As long as the static estimate is within the budget the count cannot matter, so the
fast form need not keep one.

Invariant: selectors are immutable and shared between threads; compiling is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, TypeVar, final

from fairlead.cel import types
from fairlead.cel.ast import Expr
from fairlead.cel.check import Checked, Environment, check
from fairlead.cel.codegen import generate
from fairlead.cel.cost import estimate
from fairlead.cel.device import DeviceInput
from fairlead.cel.device_type import fields
from fairlead.cel.errors import CompileError, EvaluationError, Issues
from fairlead.cel.estimates import LIMIT
from fairlead.cel.library import BASE, WITH_INCLUDES
from fairlead.cel.parser import MAX_DEPTH, parse
from fairlead.cel.planner import Program, build
from fairlead.cel.reads import reads
from fairlead.cel.runtime import type_name
from fairlead.cel.types import BOOL, Type
from fairlead.cel.validate import validate
from fairlead.cel.values import Failure, Optional, Value

T = TypeVar("T")

MAX_LENGTH: Final = 10 * 1024
MAX_COST: Final = 1_000_000
_CACHED_SELECTORS: Final = 4096

_TYPE_NAMES: Final = {
    "bool": types.BOOL,
    "bytes": types.BYTES,
    "double": types.DOUBLE,
    "google.protobuf.Duration": Type("duration", "google.protobuf.Duration"),
    "google.protobuf.Timestamp": Type("timestamp", "google.protobuf.Timestamp"),
    "int": types.INT,
    "list": types.list_of(types.DYN),
    "map": types.map_of(types.DYN, types.DYN),
    "net.CIDR": types.CIDR,
    "net.IP": types.IP,
    "null_type": types.NULL,
    "optional_type": types.optional_of(types.DYN),
    "string": types.STRING,
    "type": types.TYPE,
    "uint": types.UINT,
}
_DECLARED_NAMES: Final = {
    types.TIMESTAMP: "google.protobuf.Timestamp",
    types.DURATION: "google.protobuf.Duration",
    types.NULL: "null_type",
}


@dataclass(frozen=True, slots=True)
class Features:
    """What an expression may use.

    ``stored`` expressions were accepted by the API server before, so they may use everything; in new ones the gates
    decide what is declared.
    """

    consumable_capacity: bool = True
    list_attributes: bool = True
    stored: bool = True


@final
class Selector:
    """A compiled expression.

    ``max_cost`` is the static estimate, an upper bound; ``reads`` the attributes it may look at (see ``reads``).
    """

    __slots__ = ("_fast", "_program", "expression", "max_cost", "reads")

    expression: Final[str]
    max_cost: Final[int]
    reads: Final[frozenset[str] | None]

    def __init__(
        self,
        expression: str,
        max_cost: int,
        reads: frozenset[str] | None,
        program: Program,
        fast: Callable[[DeviceInput], Value] | None,
    ) -> None:
        self.expression = expression
        self.max_cost = max_cost
        self.reads = reads
        self._program = program
        self._fast = fast

    def matches(self, device: DeviceInput) -> bool:
        """Whether the device matches; EvaluationError where evaluation fails."""
        if self._fast is not None and device.error is None:
            try:
                result = self._fast(device)
            except Exception:
                # Whatever went wrong, the exact form knows what it means.
                pass
            else:
                if result is True or result is False:
                    return result
        return self.evaluate(device)[0]

    def evaluate(self, device: DeviceInput) -> tuple[bool, int]:
        """The same with the exact cost; the EvaluationError carries the cost so far."""
        if device.error is not None:
            raise EvaluationError(device.error)
        value, cost = self._program.run(device.as_map(), MAX_COST)
        if type(value) is Failure:
            raise EvaluationError(value.message, cost)
        converted = value.value if type(value) is Optional and value.present else value
        if converted is True or converted is False:
            return converted, cost
        kind = type_name(value)
        reason = _not_bool(converted)
        raise EvaluationError(f"CEL result of type {kind} could not be converted to bool: {reason}", cost)

    def __repr__(self) -> str:
        return f"Selector({self.expression!r})"


@lru_cache(maxsize=_CACHED_SELECTORS)
def compile_selector(expression: str, features: Features = Features()) -> Selector:
    """The selector for an expression; CompileError says what is wrong with it.

    Nesting of more than about a hundred brackets is refused here earlier than by the API server (250): compiling
    recurses, and Python's stack is shared with the caller.
    """
    return compile_with(expression, features, _selector)


Finish = Callable[[str, Features, Environment, Expr, Checked], T]
"""What a checked expression is made into; CompileError where its type is not one that is wanted."""


def compile_with(expression: str, features: Features, finish: Finish[T]) -> T:
    """Parses and checks an expression and hands it on; CompileError says what is wrong with it."""
    length = len(expression.encode())
    if length > MAX_LENGTH:
        raise CompileError(f"Too long: may not be more than {MAX_LENGTH} bytes")
    try:
        issues = Issues(expression)
        tree = parse(expression, issues)
        if tree is None:
            raise CompileError(f"compilation failed: {issues}")
        environment = _environment(features)
        checked = check(tree, environment, issues)
        if not issues:
            validate(tree, checked, issues)
        if issues:
            raise CompileError(f"compilation failed: {issues}")
        return finish(expression, features, environment, tree, checked)
    except RecursionError:
        message = f"expression recursion limit exceeded: {MAX_DEPTH}"
        raise CompileError(f"compilation failed: ERROR: <input>:-1:0: {message}") from None


def shown(found: Type) -> str:
    """The type as messages show it."""
    return _DECLARED_NAMES.get(found, str(found))


def _selector(expression: str, features: Features, environment: Environment, tree: Expr, checked: Checked) -> Selector:
    del features
    attribute = environment.fields[types.DEVICE.name]["attributes"].params[1].params[1]
    found = checked.types[tree]
    if found not in (BOOL, attribute):
        raise CompileError(f"must evaluate to bool or the unknown type, not {shown(found)}")
    program = build(tree, checked)
    max_cost = min(estimate(tree, checked).high, LIMIT)
    fast = generate(tree, checked) if max_cost <= MAX_COST else None
    return Selector(expression, max_cost, reads(tree), program, fast)


@cache
def _environment(features: Features) -> Environment:
    list_attributes = features.list_attributes or features.stored
    declared = fields(list_attributes, features.consumable_capacity or features.stored)
    functions = WITH_INCLUDES if list_attributes else BASE
    return Environment({"device": types.DEVICE}, {types.DEVICE.name: declared}, functions, _TYPE_NAMES)


_REASONS: Final = {
    "int": "unsupported type conversion from 'int' to bool",
    "uint": "unsupported type conversion from 'uint' to bool",
    "double": "type conversion error from Double to 'bool'",
    "string": "unsupported native conversion from string to 'bool'",
    "bytes": "type conversion error from Bytes to 'bool'",
    "null_type": "type conversion error from 'null_type' to 'bool'",
    "list": "type conversion error from list to 'bool'",
    "map": "type conversion error from map to 'bool'",
    "type": "type conversion not supported for 'type'",
    "optional_type": "optional.none() dereference",
    "kubernetes.NamedFormat": "type conversion error from 'Format' to 'bool'",
}


def _not_bool(value: Value) -> str:
    kind = type_name(value)
    return _REASONS.get(kind) or f"type conversion error from '{kind.rpartition('.')[2]}' to 'bool'"
