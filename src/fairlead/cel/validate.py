"""Checks of literals that the type checker cannot do.

Mirrors the AST validators of the Kubernetes environment (cel-go ``cel/validator.go``, ``ext/formatting.go``):
literal durations, timestamps, patterns and format strings must be valid, and the elements of a literal list or map
must be of one type even when that is ``dyn``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fairlead.cel.ast import Call, Expr, ListLiteral, Literal, MapLiteral, children
from fairlead.cel.check import Checked
from fairlead.cel.errors import EvaluationError, Issues
from fairlead.cel.library import implementation
from fairlead.cel.library.formatting import CLAUSES, split_format
from fairlead.cel.library.regex import RegexError, compile_regex
from fairlead.cel.runtime import NO_OVERLOAD
from fairlead.cel.types import Type

_FORMAT_EXEMPT = "format"


def validate(tree: Expr, checked: Checked, issues: Issues) -> None:
    for node, exempt in _walk(tree, exempt=False):
        match node:
            case Call(function="duration"):
                _literal_argument(node, issues, implementation("string_to_duration"))
            case Call(function="timestamp"):
                _literal_argument(node, issues, _timestamp)
            case Call(function="matches"):
                _literal_argument(node, issues, compile_regex)
            case Call(function="format"):
                _format(node, checked, issues)
            case ListLiteral() if not exempt:
                _homogeneous_list(node, checked, issues)
            case MapLiteral() if not exempt:
                _homogeneous_map(node, checked, issues)


def _walk(node: Expr, exempt: bool) -> Iterator[tuple[Expr, bool]]:
    """All nodes, and whether they are inside a call of ``format``, whose arguments may be of any types."""
    yield node, exempt
    inside = exempt or (isinstance(node, Call) and node.function == _FORMAT_EXEMPT)
    for child in children(node):
        yield from _walk(child, inside)


def _timestamp(value: str | int) -> object:
    return implementation("int64_to_timestamp" if isinstance(value, int) else "string_to_timestamp")(value)


def _literal_argument(node: Call, issues: Issues, convert: Callable[..., object]) -> None:
    if not node.args or not isinstance(node.args[0], Literal):
        return
    argument = node.args[0]
    try:
        # The checker lets null pass for a duration or timestamp.
        if argument.value is None:
            raise EvaluationError(NO_OVERLOAD)
        convert(argument.value)
    except (EvaluationError, RegexError):
        issues.report(argument.offset, f"invalid {node.function} argument")


def _format(node: Call, checked: Checked, issues: Issues) -> None:
    target = node.target
    if not isinstance(target, Literal) or len(node.args) != 1 or not isinstance(node.args[0], ListLiteral):
        return
    elements = node.args[0].elements
    used = 0
    try:
        for part in split_format(target.value, len(elements)):
            if not isinstance(part, str):
                if not _fits(part[0].lower(), elements[used], checked, issues):
                    return
                used += 1
    except EvaluationError as error:
        issues.report(node.offset, str(error))
        return
    if len(elements) > used:
        message = f"too many arguments supplied to string.format (expected {used}, got {len(elements)})"
        issues.report(node.offset, message)


def _fits(clause: str, element: Expr, checked: Checked, issues: Issues) -> bool:
    bad = _misfit(clause, element, checked)
    if bad is None:
        return True
    found = checked.types[bad]
    shown = {"null": "null_type", "any": "google.protobuf.Any"}.get(found.kind, found.name)
    issues.report(bad.offset, f"error during formatting: {CLAUSES[clause][1]}, was given {shown}")
    return False


def _misfit(clause: str, element: Expr, checked: Checked) -> Expr | None:
    """The part of an argument that the clause does not take."""
    found = checked.types[element]
    if found.kind != "dyn" and found.kind not in CLAUSES[clause][0]:
        return element
    if clause == "s":
        for child in children(element) if isinstance(element, ListLiteral | MapLiteral) else []:
            bad = _misfit(clause, child, checked)
            if bad is not None:
                return bad
    return None


def _homogeneous_list(node: ListLiteral, checked: Checked, issues: Issues) -> None:
    expected: Type | None = None
    for index, element in enumerate(node.elements):
        found = checked.types[element]
        if index in node.optional:
            found = found.params[0] if found.params else found
        if expected is None:
            expected = found
        elif found != expected:
            _mismatch(element, expected, found, issues)
            return


def _homogeneous_map(node: MapLiteral, checked: Checked, issues: Issues) -> None:
    expected: tuple[Type, Type] | None = None
    for entry in node.entries:
        key, value = checked.types[entry.key], checked.types[entry.value]
        if entry.optional and value.params:
            value = value.params[0]
        if expected is None:
            expected = key, value
            continue
        if key != expected[0]:
            _mismatch(entry.key, expected[0], key, issues)
        if value != expected[1]:
            _mismatch(entry.value, expected[1], value, issues)


def _mismatch(node: Expr, expected: Type, found: Type, issues: Issues) -> None:
    issues.report(node.offset, f"expected type '{expected}' but found '{found}'")
