"""Function signatures: a small notation for overload tables, and the environment the checker looks them up in.

A table has one overload a line: function, overload id, ``target.(arguments) -> result`` (or ``(arguments) ->
result`` for a function that is not called on a value). One capital letter is a type parameter. The order of lines
is the order in which overloads are tried.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fairlead.cel import types
from fairlead.cel.types import Type

_NAMED: Final = {
    "dyn": types.DYN,
    "null": types.NULL,
    "bool": types.BOOL,
    "int": types.INT,
    "uint": types.UINT,
    "double": types.DOUBLE,
    "string": types.STRING,
    "bytes": types.BYTES,
    "timestamp": types.TIMESTAMP,
    "duration": types.DURATION,
    "quantity": types.QUANTITY,
    "semver": types.SEMVER,
    "url": types.URL,
    "ip": types.IP,
    "cidr": types.CIDR,
    "format": types.FORMAT,
}
_TOKENS = re.compile(r"[a-z]+|[A-Z]|[(),]")
_LINE = re.compile(r"(\S+)\s+(\S+)\s+(?:(\S.*?)\.)?\((.*)\) -> (.+)")


@dataclass(frozen=True, slots=True)
class Overload:
    """``arguments`` starts with the target of a member function."""

    id: str
    member: bool
    arguments: tuple[Type, ...]
    result: Type
    params: tuple[Type, ...]


Table = dict[str, list[Overload]]


def parse_table(text: str) -> Table:
    table: Table = {}
    for line in text.strip().splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"not a signature: {line}")
        function, overload_id, target, arguments, result = match.groups()
        parsed = ([parse_type(target)] if target else []) + _parse_types(arguments)
        result_type = parse_type(result)
        overload = Overload(
            overload_id,
            bool(target),
            tuple(parsed),
            result_type,
            tuple(dict.fromkeys(p for t in (*parsed, result_type) for p in _params_in(t))),
        )
        table.setdefault(function, []).append(overload)
    return table


def merge(*tables: Table) -> Table:
    """One environment of several tables; later overloads of a function come after earlier ones."""
    merged: Table = {}
    for table in tables:
        for function, overloads in table.items():
            merged.setdefault(function, []).extend(overloads)
    return merged


def parse_type(text: str) -> Type:
    (parsed,) = _parse_types(text)
    return parsed


def _parse_types(text: str) -> list[Type]:
    tokens = _TOKENS.findall(text)
    parsed, position = _types_at(tokens, 0)
    if position != len(tokens):
        raise ValueError(f"not a type: {text}")
    return parsed


def _types_at(tokens: list[str], position: int) -> tuple[list[Type], int]:
    found: list[Type] = []
    while position < len(tokens) and tokens[position] != ")":
        name = tokens[position]
        position += 1
        inner: list[Type] = []
        if position < len(tokens) and tokens[position] == "(":
            inner, position = _types_at(tokens, position + 1)
            position += 1
        found.append(_type(name, inner))
        if position < len(tokens) and tokens[position] == ",":
            position += 1
    return found, position


def _type(name: str, inner: list[Type]) -> Type:
    match name, inner:
        case "list", [element]:
            return types.list_of(element)
        case "map", [key, value]:
            return types.map_of(key, value)
        case "optional", [value]:
            return types.optional_of(value)
        case "type", [value]:
            return types.type_of(value)
        case _, []:
            return types.param(name) if name.isupper() else _NAMED[name]
    raise ValueError(f"not a type: {name}")


def _params_in(t: Type) -> list[Type]:
    return [t] if t.kind == "param" else [p for inner in t.params for p in _params_in(inner)]
