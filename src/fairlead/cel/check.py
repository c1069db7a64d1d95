"""Type checking: which overloads every call may use, and the type of every node.

Mirrors cel-go ``checker/checker.go`` with the settings of the Kubernetes environment: numbers compare across
types, an empty literal has a free type. The texts of issues are cel-go's.
"""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field

from fairlead.cel import types
from fairlead.cel.ast import (
    Call,
    Comprehension,
    Expr,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Select,
)
from fairlead.cel.errors import Issues
from fairlead.cel.signatures import Overload, Table
from fairlead.cel.types import (
    BOOL,
    DYN,
    ERROR,
    INT,
    Mapping,
    Type,
    assignable,
    is_dyn,
    list_of,
    map_of,
    most_general,
    optional_of,
    substitute,
    unwrap_optional,
)
from fairlead.cel.values import TypeValue, Uint


@dataclass(frozen=True)
class Environment:
    """What an expression may refer to. ``type_names`` are identifiers that stand for a type."""

    variables: ReadOnly[str, Type]
    fields: ReadOnly[str, ReadOnly[str, Type]]
    functions: Table
    type_names: ReadOnly[str, Type]


@dataclass(slots=True)
class Checked:
    """What the checker found out, by node."""

    types: dict[Expr, Type] = field(default_factory=dict)
    overloads: dict[Expr, list[str]] = field(default_factory=dict)
    constants: dict[Expr, TypeValue] = field(default_factory=dict)


_LITERAL_TYPES: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    Uint: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}


def check(tree: Expr, environment: Environment, issues: Issues) -> Checked:
    """The checked tree; only of use when no issue was reported."""
    checker = _Checker(environment, issues)
    checked = checker.result
    checker.check(tree)
    for node, found in checked.types.items():
        checked.types[node] = substitute(checker.mapping, found, free_to_dyn=True)
    return checked


class _Checker:
    def __init__(self, environment: Environment, issues: Issues) -> None:
        self._env = environment
        self._issues = issues
        self._scopes: list[dict[str, Type]] = []
        self._free = 0
        self.mapping = Mapping()
        self.result = Checked()

    def check(self, node: Expr) -> None:
        match node:
            case Literal():
                self._set(node, _LITERAL_TYPES[type(node.value)])
            case Ident():
                self._ident(node)
            case Select():
                self._select(node)
            case Call():
                self._call(node)
            case ListLiteral():
                self._list(node)
            case MapLiteral():
                self._map(node)
            case Message():
                self._undeclared(node, node.name)
            case Comprehension():
                self._comprehension(node)

    def _set(self, node: Expr, found: Type) -> None:
        self.result.types[node] = found

    def _type(self, node: Expr) -> Type:
        return self.result.types[node]

    def _new_param(self) -> Type:
        self._free += 1
        return types.param(f"_var{self._free - 1}")

    def _assignable(self, source: list[Type], target: list[Type]) -> bool:
        mapping = assignable(self.mapping, source, target)
        if mapping is None:
            return False
        self.mapping = mapping
        return True

    def _undeclared(self, node: Expr, name: str) -> None:
        self._set(node, ERROR)
        self._issues.report(node.offset, f"undeclared reference to '{name}' (in container '')")

    def _mismatch(self, node: Expr, expected: Type, actual: Type) -> None:
        self._issues.report(node.offset, f"expected type '{expected}' but found '{actual}'")

    def _lookup(self, name: str) -> Type | None:
        if name.startswith("."):
            name = name[1:]
        else:
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        return self._env.variables.get(name)

    def _ident(self, node: Ident) -> None:
        found = self._lookup(node.name)
        if found is not None:
            self._set(node, found)
        elif not self._type_name(node, node.name):
            self._undeclared(node, node.name)

    def _type_name(self, node: Expr, name: str) -> bool:
        denoted = self._env.type_names.get(name.removeprefix("."))
        if denoted is None:
            return False
        self._set(node, types.type_of(denoted))
        self.result.constants[node] = TypeValue(denoted.name if denoted.kind != "null" else "null_type")
        return True

    def _select(self, node: Select) -> None:
        if not node.test_only:
            name = _qualified(node)
            if name is not None and not self._is_local(name) and self._type_name(node, name):
                return
        found = self._field(node, node.operand, node.field, optional=False)
        self._set(node, substitute(self.mapping, BOOL if node.test_only else found, free_to_dyn=False))

    def _is_local(self, name: str) -> bool:
        return self._lookup(name.split(".")[0]) is not None

    def _field(self, node: Select | Call, operand: Expr, name: str, optional: bool) -> Type:
        self.check(operand)
        target, is_optional = unwrap_optional(substitute(self.mapping, self._type(operand), free_to_dyn=False))
        result = ERROR
        match target.kind:
            case "map":
                result = target.params[1]
            case "struct":
                result = self._declared_field(node, target, name)
            case "param":
                self._assignable([DYN], [target])
                result = DYN
            case _:
                if not is_dyn(target) and target.kind != "error":
                    message = f"type '{target}' does not support field selection"
                    self._issues.report(node.offset, message)
                result = DYN
        return optional_of(result) if is_optional or optional else result

    def _declared_field(self, node: Select | Call, target: Type, name: str) -> Type:
        fields = self._env.fields.get(target.name)
        if fields is None:
            self._issues.report(node.offset, f"unexpected failed resolution of '{target.name}'")
        elif name not in fields:
            self._issues.report(node.offset, f"undefined field '{name}'")
        else:
            return fields[name]
        return ERROR

    def _call(self, node: Call) -> None:
        if node.function == "_?._":
            self._optional_select(node)
            return
        for arg in node.args:
            self.check(arg)
        if node.target is None:
            overloads = self._env.functions.get(node.function.removeprefix("."))
            if overloads is not None:
                node.function = node.function.removeprefix(".")
        else:
            prefix = _qualified(node.target)
            qualified = "" if prefix is None else f"{prefix}.{node.function}".removeprefix(".")
            overloads = self._env.functions.get(qualified)
            if overloads is not None:
                node.function, node.target = qualified, None
            else:
                self.check(node.target)
                overloads = self._env.functions.get(node.function)
        if overloads is None:
            self._undeclared(node, node.function)
            return
        self._resolve(node, overloads)

    def _optional_select(self, node: Call) -> None:
        operand, name = node.args
        if not isinstance(name, Literal):
            raise AssertionError("the parser makes the field a literal")
        self._set(name, types.STRING)
        found = self._field(node, operand, name.value, optional=True)
        self._set(node, substitute(self.mapping, found, free_to_dyn=False))
        self.result.overloads[node] = ["select_optional_field"]

    def _resolve(self, node: Call, overloads: list[Overload]) -> None:
        nodes = node.args if node.target is None else [node.target, *node.args]
        arguments = [self._type(n) for n in nodes]
        if node.function in ("_&&_", "_||_"):
            self._logical(node, overloads[0], arguments)
            return
        result: Type | None = None
        matching: list[str] = []
        for overload in overloads:
            if overload.member != (node.target is not None):
                continue
            wanted, produced = self._instance(overload)
            if not self._assignable(arguments, wanted):
                continue
            matching.append(overload.id)
            produced = substitute(self.mapping, produced, free_to_dyn=False)
            if result is None:
                result = produced
            elif not is_dyn(result) and produced != result:
                result = DYN
        if result is None:
            shown = [str(substitute(self.mapping, a, free_to_dyn=True)) for a in arguments]
            target = f"{shown.pop(0)}." if node.target is not None else ""
            message = f"found no matching overload for '{node.function}' applied to '{target}({', '.join(shown)})'"
            self._issues.report(node.offset, message)
            self._set(node, ERROR)
            return
        self._set(node, result)
        self.result.overloads[node] = matching

    def _logical(self, node: Call, overload: Overload, arguments: list[Type]) -> None:
        self._set(node, BOOL)
        self.result.overloads[node] = [overload.id]
        for arg, found in zip(node.args, arguments, strict=True):
            if not self._assignable([found], [BOOL]):
                self._mismatch(arg, BOOL, found)
                self._set(node, ERROR)

    def _instance(self, overload: Overload) -> tuple[list[Type], Type]:
        """Argument and result types with fresh type variables."""
        if not overload.params:
            return list(overload.arguments), overload.result
        fresh = Mapping({p: self._new_param() for p in overload.params})
        arguments = [substitute(fresh, a, free_to_dyn=False) for a in overload.arguments]
        return arguments, substitute(fresh, overload.result, free_to_dyn=False)

    def _list(self, node: ListLiteral) -> None:
        element_type: Type | None = None
        for index, element in enumerate(node.elements):
            self.check(element)
            found = self._type(element)
            if index in node.optional:
                found = self._unwrap(element, found)
            element_type = self._join(element_type, found)
        self._set(node, list_of(self._new_param() if element_type is None else element_type))

    def _map(self, node: MapLiteral) -> None:
        key_type: Type | None = None
        value_type: Type | None = None
        for entry in node.entries:
            self.check(entry.key)
            key_type = self._join(key_type, self._type(entry.key))
            self.check(entry.value)
            found = self._type(entry.value)
            if entry.optional:
                found = self._unwrap(entry.value, found)
            value_type = self._join(value_type, found)
        if key_type is None or value_type is None:
            key_type, value_type = self._new_param(), self._new_param()
        self._set(node, map_of(key_type, value_type))

    def _unwrap(self, node: Expr, found: Type) -> Type:
        inner, is_optional = unwrap_optional(found)
        if not is_optional and not is_dyn(inner):
            self._mismatch(node, optional_of(inner), inner)
        return inner

    def _join(self, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        # Different types make it dyn here; the literal checks refuse that where it matters.
        return most_general(previous, current) if self._assignable([previous], [current]) else DYN

    def _comprehension(self, node: Comprehension) -> None:
        self.check(node.iter_range)
        self.check(node.accu_init)
        range_type = substitute(self.mapping, self._type(node.iter_range), free_to_dyn=False)
        accu_type = self._type(node.accu_init)
        first, second = self._variable_types(node, range_type)
        loop = {node.iter_var: first}
        if node.iter_var2 is not None:
            loop[node.iter_var2] = second
        self._scopes.append({node.accu_var: accu_type})
        self._scopes.append(loop)
        self.check(node.condition)
        self._assert(node.condition, BOOL)
        self.check(node.step)
        self._assert(node.step, accu_type)
        self._scopes.pop()
        self.check(node.result)
        self._scopes.pop()
        self._set(node, substitute(self.mapping, self._type(node.result), free_to_dyn=False))

    def _variable_types(self, node: Comprehension, range_type: Type) -> tuple[Type, Type]:
        two = node.iter_var2 is not None
        match range_type.kind:
            case "list":
                element = range_type.params[0]
                return (INT, element) if two else (element, element)
            case "map":
                return range_type.params[0], range_type.params[1]
            case "dyn" | "error" | "param":
                self._assignable([DYN], [range_type])
                return DYN, DYN
        message = f"expression of type '{range_type}' cannot be range of a comprehension"
        self._issues.report(node.iter_range.offset, f"{message} (must be list, map, or dynamic)")
        return ERROR, ERROR

    def _assert(self, node: Expr, expected: Type) -> None:
        if not self._assignable([expected], [self._type(node)]):
            self._mismatch(node, expected, self._type(node))


def _qualified(node: Expr) -> str | None:
    """``a.b.c`` as one name, when the node is nothing but identifiers."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test_only:
        prefix = _qualified(node.operand)
        return None if prefix is None else f"{prefix}.{node.field}"
    return None
