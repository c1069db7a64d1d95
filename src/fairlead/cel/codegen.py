"""The fast form of an expression: one Python expression, compiled once.

Static types from the checker decide what may be written natively: ``and``, ``or``, ``==`` on values of one type,
subscripts, methods of ``str``. Where a type is not known, a class test chooses between the native form and a helper.
Literal quantities, versions, patterns and lists become constants.

Invariant: the code returns what the exact form returns, or raises. It never absorbs an error, so every error of CEL
must show as an exception; what cannot be written that way (``_UnsupportedError``) is left to the exact form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
from fairlead.cel.check import Checked
from fairlead.cel.device import DeviceInput
from fairlead.cel.errors import EvaluationError
from fairlead.cel.fastlib import NAMESPACE
from fairlead.cel.library import function, implementation
from fairlead.cel.library.regex import RegexError, matcher
from fairlead.cel.types import Type, is_dyn, is_optional
from fairlead.cel.values import Value

_FIELDS: Final = {
    "driver": "d.driver",
    "attributes": "d.attributes",
    "capacity": "d.capacity",
    "allowMultipleAllocations": "d.allow_multiple_allocations",
}
# Types whose values compare with Python's == when both sides have them.
_PLAIN: Final = frozenset({"bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"})
_CLASSES: Final = {"string": "str", "int": "int", "bool": "bool"}
_ORDERED: Final = frozenset({"int", "uint", "string", "bytes"})
_COMPARE: Final = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
_KEYS: Final = frozenset({"string", "int", "uint"})
_FOLDED: Final = {
    "quantity": "string_to_quantity",
    "semver": "string_to_semver",
    "duration": "string_to_duration",
    "timestamp": "string_to_timestamp",
    "ip": "string_to_ip",
    "cidr": "string_to_cidr",
    "url": "string_to_url",
}
_MEASURES: Final = {
    "quantity_is_greater_than": ("nano", ">"),
    "quantity_is_less_than": ("nano", "<"),
    "semver_is_greater_than": ("key", ">"),
    "semver_is_less_than": ("key", "<"),
}


class _UnsupportedError(Exception):
    """There is no fast form of this."""


def generate(tree: Expr, checked: Checked) -> Callable[[DeviceInput], Value] | None:
    """The fast form, or None when there is none."""
    generator = _Generator(checked)
    try:
        source = f"lambda d: {generator.emit(tree)}"
        # Python's own parser refuses what is nested too deeply.
        code = compile(source, "<selector>", "eval")
    except (_UnsupportedError, SyntaxError, RecursionError, MemoryError):
        return None
    made: Callable[[DeviceInput], Value] = eval(code, {**NAMESPACE, **generator.constants})
    return made


class _Generator:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._scopes: list[dict[str, str]] = []
        self._names = 0
        # An assignment expression may not stand in what a comprehension iterates over.
        self._assignments = True
        self.constants: dict[str, Value] = {}

    def emit(self, node: Expr) -> str:
        constant = self._checked.constants.get(node)
        if constant is not None:
            return self._constant(constant)
        match node:
            case Literal():
                return self._literal(node.value)
            case Ident():
                return self._ident(node.name)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case Comprehension():
                return self._comprehension(node)
            case Message():
                raise _UnsupportedError

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def _constant(self, value: Value) -> str:
        name = self._name("k")
        self.constants[name] = value
        return name

    def _literal(self, value: Value) -> str:
        # Python's own literals are faster than names, where they denote the same.
        return repr(value) if type(value) in (str, int, bool, bytes, type(None)) else self._constant(value)

    def _type(self, node: Expr) -> Type:
        return self._checked.types[node]

    def _ident(self, name: str) -> str:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return "d.as_map()"

    def _is_device(self, node: Expr) -> bool:
        return isinstance(node, Ident) and self._ident(node.name) == "d.as_map()"

    def _bool(self, node: Expr) -> str:
        """Code that yields a bool or raises."""
        code = self.emit(node)
        return code if self._type(node) == types.BOOL else f"as_bool({code})"

    def _string(self, node: Expr) -> str:
        code = self.emit(node)
        return code if self._type(node) == types.STRING else f"as_string({code})"

    def _select(self, node: Select) -> str:
        if self._is_device(node.operand) and node.field in _FIELDS:
            return "True" if node.test_only else _FIELDS[node.field]
        operand = self.emit(node.operand)
        optional = is_optional(self._type(node.operand))
        if node.test_only:
            if optional:
                raise _UnsupportedError
            if self._is_inner_map(node.operand):
                return f"({node.field!r} in {operand})"
            return f"has_field({operand}, {node.field!r})"
        if optional:
            return f"optional_lookup({operand}, {node.field!r})"
        # Python warns about subscripts of literals that can have none.
        literal = isinstance(node.operand, Literal)
        return f"lookup({operand}, {node.field!r})" if literal else f"{operand}[{node.field!r}]"

    def _is_inner_map(self, node: Expr) -> bool:
        """Whether this is the map of one domain: only the outer maps have a default for lookups."""
        match node:
            case Select(test_only=False):
                outer: Expr = node.operand
            case Call(function="_[_]"):
                outer = node.args[0]
            case _:
                return False
        return isinstance(outer, Select) and self._is_device(outer.operand) and not outer.test_only

    def _index(self, node: Call) -> str:
        container, key = node.args
        of_container, of_key = self._type(container), self._type(key)
        code, index = self.emit(container), self.emit(key)
        if is_optional(of_container):
            return f"optional_lookup({code}, {index})"
        if isinstance(container, Literal):
            return f"lookup({code}, {index})"
        if of_container.kind == "map" and of_key.kind in _KEYS:
            return f"{code}[{index}]"
        if of_key == types.STRING and is_dyn(of_container):
            # Only maps take a string as a subscript; everything else raises.
            return f"{code}[{index}]"
        if of_container.kind == "list" and isinstance(key, Literal) and type(key.value) is int and key.value >= 0:
            return f"{code}[{index}]"
        return f"lookup({code}, {index})"

    def _call(self, node: Call) -> str:
        args = node.args
        match node.function:
            case "_&&_":
                return f"({self._bool(args[0])} and {self._bool(args[1])})"
            case "_||_":
                return f"({self._bool(args[0])} or {self._bool(args[1])})"
            case "!_":
                return f"(not {self._bool(args[0])})"
            case "_?_:_":
                return f"({self.emit(args[1])} if {self._bool(args[0])} else {self.emit(args[2])})"
            case "_[_]":
                return self._index(node)
            case "_[?_]" | "_?._":
                return f"optional_lookup({self.emit(args[0])}, {self.emit(args[1])})"
            case "_==_" | "_!=_":
                return self._equality(node)
            case "_<_" | "_<=_" | "_>_" | "_>=_":
                return self._comparison(node)
            case "@in":
                return self._membership(node)
            case "dyn":
                # As a name: Python warns about some uses of literals that dyn() makes possible.
                return self._constant(args[0].value) if isinstance(args[0], Literal) else self.emit(args[0])
            case "or" | "orValue" if node.target is not None:
                alternative = self._without_assignments(lambda: self.emit(args[0]))
                unwrap = node.function == "orValue"
                return f"optional_or({self.emit(node.target)}, lambda: {alternative}, {unwrap})"
        return self._function(node)

    def _equality(self, node: Call) -> str:
        left, right = node.args
        of_left, of_right = self._type(left), self._type(right)
        operator, helper = ("==", "equal") if node.function == "_==_" else ("!=", "not_equal")
        first, second = self.emit(left), self.emit(right)
        if of_left == of_right and (of_left.kind in _PLAIN or of_left in (types.QUANTITY, types.SEMVER)):
            return f"({first} {operator} {second})"
        if of_left == types.STRING and is_dyn(of_right):
            # A string equals nothing but a string, and is never asked whether it can be compared.
            return f"({first} {operator} {second})"
        if is_dyn(of_left) and of_right.kind in _CLASSES and self._assignments:
            return self._by_class(first, _CLASSES[of_right.kind], operator, second, helper)
        return f"{helper}({first}, {second})"

    def _comparison(self, node: Call) -> str:
        left, right = node.args
        of_left, of_right = self._type(left), self._type(right)
        operator, helper = node.function.strip("_"), _COMPARE[node.function]
        first, second = self.emit(left), self.emit(right)
        if of_left == of_right and of_left.kind in _ORDERED:
            return f"({first} {operator} {second})"
        if is_dyn(of_left) and of_right.kind in ("int", "string") and self._assignments:
            return self._by_class(first, _CLASSES[of_right.kind], operator, second, helper)
        return f"{helper}({first}, {second})"

    def _by_class(self, first: str, known: str, operator: str, second: str, helper: str) -> str:
        """The native operator when the left side turns out to be of the class of the right one."""
        name = self._name("t")
        general = f"{helper}({name}, {second})"
        return f"({name} {operator} {second} if ({name} := {first}).__class__ is {known} else {general})"

    def _membership(self, node: Call) -> str:
        item, container = node.args
        code = self.emit(item)
        if isinstance(container, ListLiteral) and container.elements and not container.optional:
            values = [e.value for e in container.elements if isinstance(e, Literal)]
            kinds = set(map(type, values))
            if len(values) == len(container.elements) and kinds in ({str}, {int}):
                members = self._constant(frozenset(values))
                # Hashing tells strings from everything else, but not ints from bools.
                if kinds == {str} or self._type(item) == types.INT:
                    return f"({code} in {members})"
                if is_dyn(self._type(item)) and self._assignments:
                    name = self._name("t")
                    general = f"contains({self._constant(values)}, {name})"
                    return f"({name} in {members} if ({name} := {code}).__class__ is int else {general})"
        if self._type(container).kind == "map" and self._type(item) == types.STRING:
            return f"({code} in {self.emit(container)})"
        return f"contains({self.emit(container)}, {code})"

    def _function(self, node: Call) -> str:
        overloads = self._checked.overloads[node]
        nodes = node.args if node.target is None else [node.target, *node.args]
        if len(overloads) == 1:
            special = self._special(node, overloads[0], nodes)
            if special is not None:
                return special
        code = [self.emit(n) for n in nodes]
        if len(overloads) == 1 and not any(is_dyn(self._type(n)) for n in nodes):
            return f"{self._constant(implementation(overloads[0]))}({', '.join(code)})"
        dispatcher = function(node.function, tuple(overloads))
        if dispatcher is None:
            raise _UnsupportedError
        return f"{self._constant(dispatcher)}({', '.join(code)})"

    def _special(self, node: Call, overload: str, nodes: list[Expr]) -> str | None:
        """Native code for the calls that selectors are made of."""
        if overload in _MEASURES:
            attribute, operator = _MEASURES[overload]
            # No other value has such an attribute, so a wrong type raises.
            left, right = (self._measure(n, attribute) for n in nodes)
            return f"({left} {operator} {right})"
        match overload:
            case "matches" | "matches_string" if isinstance(nodes[1], Literal):
                try:
                    test = matcher(nodes[1].value)
                except RegexError:
                    raise _UnsupportedError from None
                return f"{self._constant(test)}({self._string(nodes[0])})"
            case "starts_with_string":
                return f"{self._string(nodes[0])}.startswith({self._string(nodes[1])})"
            case "ends_with_string":
                return f"{self._string(nodes[0])}.endswith({self._string(nodes[1])})"
            case "contains_string":
                return f"({self._string(nodes[1])} in {self._string(nodes[0])})"
            case "add_int64" if all(self._type(n) == types.INT for n in nodes):
                return f"to_int({self.emit(nodes[0])} + {self.emit(nodes[1])})"
            case "dra_includes_dyn_dyn":
                return f"includes({self.emit(nodes[0])}, {self.emit(nodes[1])})"
            case "size_string" | "string_size" | "size_list" | "list_size" | "size_map" | "map_size":
                if not is_dyn(self._type(nodes[0])):
                    return f"len({self.emit(nodes[0])})"
        return self._fold(node)

    def _measure(self, node: Expr, attribute: str) -> str:
        constant = self._folded_value(node)
        if constant is not None:
            return self._constant(getattr(constant, attribute))
        return f"{self.emit(node)}.{attribute}"

    def _fold(self, node: Call) -> str | None:
        value = self._folded_value(node)
        return None if value is None else self._constant(value)

    def _folded_value(self, node: Expr) -> Value:
        """The value of ``quantity("1Gi")`` and the like; None when it is not known now."""
        if not isinstance(node, Call) or node.target is not None or node.function not in _FOLDED:
            return None
        values = [arg.value for arg in node.args if isinstance(arg, Literal)]
        if len(values) != len(node.args) or not values or type(values[0]) is not str:
            return None
        try:
            return implementation(_FOLDED[node.function])(*values)
        except EvaluationError:
            return None

    def _list(self, node: ListLiteral) -> str:
        if node.optional:
            raise _UnsupportedError
        if node.elements and all(isinstance(element, Literal) for element in node.elements):
            return self._constant([element.value for element in node.elements if isinstance(element, Literal)])
        return f"[{', '.join(self.emit(element) for element in node.elements)}]"

    def _map(self, node: MapLiteral) -> str:
        pairs: list[str] = []
        for entry in node.entries:
            if entry.optional:
                raise _UnsupportedError
            key = self.emit(entry.key)
            if self._type(entry.key).kind not in _KEYS:
                key = f"to_key({key})"
            pairs.append(f"{key}: {self.emit(entry.value)}")
        return f"{{{', '.join(pairs)}}}"

    def _without_assignments(self, emit: Callable[[], str]) -> str:
        previous, self._assignments = self._assignments, False
        try:
            return emit()
        finally:
            self._assignments = previous

    def _comprehension(self, node: Comprehension) -> str:
        if isinstance(node.condition, Literal) and node.condition.value is False:
            return self._bind(node)
        variables, loop = self._loop(node)
        scope = {node.iter_var: variables[0]}
        if node.iter_var2 is not None:
            scope[node.iter_var2] = variables[1]
        self._scopes.append(scope)
        try:
            return self._folded_loop(node, loop)
        finally:
            self._scopes.pop()

    def _bind(self, node: Comprehension) -> str:
        """CEL evaluates the value only when it is used; evaluating it early can only raise more."""
        value = self.emit(node.accu_init)
        name = self._name("v")
        self._scopes.append({node.accu_var: name})
        try:
            return f"(lambda {name}: {self.emit(node.result)})({value})"
        finally:
            self._scopes.pop()

    def _loop(self, node: Comprehension) -> tuple[list[str], str]:
        """Names of the loop variables, and the ``for`` clause."""
        over = self._type(node.iter_range)
        code = self._without_assignments(lambda: self.emit(node.iter_range))
        names = [self._name("v") for _ in range(1 if node.iter_var2 is None else 2)]
        if node.iter_var2 is not None:
            return names, f"for {names[0]}, {names[1]} in iterate_pairs({code})"
        native = over.kind == "list" or (over.kind == "map" and over.params[0].kind in _KEYS)
        return names, f"for {names[0]} in {code if native else f'iterate({code})'}"

    def _folded_loop(self, node: Comprehension, loop: str) -> str:
        """The macros by the shape of their step."""
        match node.step:
            case Call(function="_&&_", args=[Ident(), predicate]):
                return f"all({self._bool(predicate)} {loop})"
            case Call(function="_||_", args=[Ident(), predicate]):
                return f"any({self._bool(predicate)} {loop})"
            case Call(function="_+_", args=[Ident(), ListLiteral(elements=[element])]):
                return f"[{self.emit(element)} {loop}]"
            case Call(
                function="_?_:_",
                args=[condition, Call(function="_+_", args=[Ident(), ListLiteral(elements=[element])]), Ident()],
            ):
                return f"[{self.emit(element)} {loop} if {self._bool(condition)}]"
            case Call(function="_?_:_", args=[condition, Call(function="_+_", args=[Ident(), Literal()]), Ident()]):
                return f"(sum(1 {loop} if {self._bool(condition)}) == 1)"
        raise _UnsupportedError
