"""Builds the exact form of a checked expression.

Mirrors cel-go ``interpreter/planner.go`` and its optimizations, as far as they show in results or costs:
literals of constants and conversions of constants are folded, membership in a constant list becomes a set test,
constant patterns are compiled at once. What fails while folding is a compile error.
"""

from __future__ import annotations

import itertools
from typing import Final

from fairlead.cel import ast, plan
from fairlead.cel.ast import Expr
from fairlead.cel.charges import charge_for
from fairlead.cel.check import Checked
from fairlead.cel.errors import CompileError
from fairlead.cel.library import BASE, function
from fairlead.cel.library.regex import RegexError, compile_regex
from fairlead.cel.plan import Attribute, Base, Constant, Frame, Plan, Qualifier
from fairlead.cel.values import KEY_TYPES, Failure, Value

CONVERSIONS: Final = frozenset(
    ["bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"]
)
REGEX_FUNCTIONS: Final = frozenset({"matches", "find", "findAll"})
# Bound once for all their overloads, so they evaluate all arguments even when the overload is open.
_SINGLE_BINDING: Final = frozenset(
    [
        "_+_",
        "_-_",
        "_*_",
        "_/_",
        "_%_",
        "-_",
        "!_",
        "_<_",
        "_<=_",
        "_>_",
        "_>=_",
        "@in",
        "size",
        "type",
        "dyn",
        "matches",
        "sort",
        "@sortByAssociatedKeys",
    ]
)
_VARIADIC: Final = frozenset({"string_format"})
_INSTANTIATION: Final = "program instantiation failed"
_MEMBER_TYPES: Final = frozenset({bool, int, float, str})


class Program:
    """The exact form and how many local variables it needs."""

    def __init__(self, root: Plan, slots: int) -> None:
        self._root = root
        self._slots = slots

    def run(self, device: Value, limit: int) -> tuple[Value, int]:
        """Value (or Failure) and cost; CostExceededError past the limit."""
        frame = Frame(device, self._slots, limit)
        try:
            return self._root.run(frame), frame.cost
        except plan.CostExceededError:
            return Failure("operation cancelled: actual cost limit exceeded"), frame.cost


def build(tree: Expr, checked: Checked) -> Program:
    planner = _Planner(checked)
    root = planner.plan(tree)
    return Program(root, next(planner.slots))


class _Planner:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._scopes: list[dict[str, plan.LocalBase]] = []
        self.slots = itertools.count()

    def plan(self, node: Expr) -> Plan:
        constant = self._checked.constants.get(node)
        if constant is not None:
            return Constant(constant)
        match node:
            case ast.Literal():
                return Constant(node.value)
            case ast.Ident():
                return Attribute(self._variable(node.name))
            case ast.Select():
                return self._select(node)
            case ast.Call():
                return self._call(node)
            case ast.ListLiteral():
                elements = [self.plan(element) for element in node.elements]
                return _folded(plan.NewList(elements, node.optional), elements)
            case ast.MapLiteral():
                entries = [(self.plan(e.key), self.plan(e.value), e.optional) for e in node.entries]
                parts = [part for key, value, _ in entries for part in (key, value)]
                return _folded(plan.NewMap(entries), parts)
            case ast.Comprehension():
                return self._fold(node)
            case ast.Message():
                raise CompileError("messages are not supported")

    def _variable(self, name: str) -> Base:
        if not name.startswith("."):
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        return plan.DeviceBase()

    def _attribute(self, node: Expr) -> Attribute:
        operand = self.plan(node)
        return operand if isinstance(operand, Attribute) else Attribute(plan.RelativeBase(operand))

    def _select(self, node: ast.Select) -> Plan:
        field = node.field
        qualifier = Qualifier(lambda frame: field, optional=False, test_only=node.test_only)
        return self._attribute(node.operand).qualified(qualifier, node.test_only)

    def _index(self, node: ast.Call, optional: bool) -> Plan:
        attribute = self._attribute(node.args[0])
        key = self.plan(node.args[1])
        if isinstance(key, Constant):
            value = key.value
            if type(value) not in KEY_TYPES:
                raise CompileError(f"{_INSTANTIATION}: {plan.bad_key(value)}")
            return attribute.qualified(Qualifier(lambda frame: value, optional, test_only=False))
        # An index that is itself an attribute is not charged for itself, only for its qualifiers.
        resolve = key.resolve if isinstance(key, Attribute) else key.run
        return attribute.qualified(Qualifier(resolve, optional, test_only=False))

    def _call(self, node: ast.Call) -> Plan:
        match node.function:
            case "_[_]" | "_[?_]" | "_?._":
                return self._index(node, optional=node.function != "_[_]")
            case "_+_" | "cel.@mapInsert" if _is_append(node):
                return plan.Append(self.plan(node.args[0]), self.plan(node.args[1]))
        nodes = node.args if node.target is None else [node.target, *node.args]
        args = [self.plan(n) for n in nodes]
        overloads = self._checked.overloads[node]
        overload = overloads[0] if len(overloads) == 1 else ""
        match node.function:
            case "_&&_":
                return plan.And(*args)
            case "_||_":
                return plan.Or(*args)
            case "_?_:_":
                branches = [a if isinstance(a, Attribute) else Attribute(plan.RelativeBase(a)) for a in args[1:]]
                return Attribute(plan.ConditionalBase(args[0], *branches))
            case "_==_" | "_!=_":
                charge = charge_for(node.function, overload)
                if charge is None:
                    raise AssertionError("equality is always charged by size")
                return plan.Equals(args[0], args[1], node.function == "_!=_", charge)
            case "@not_strictly_false":
                return plan.NotStrictlyFalse(args[0])
            case "or" | "orValue":
                return plan.OptionalOr(args[0], args[1], unwrap=node.function == "orValue")
            case "@in" if overload == "in_list" and isinstance(args[1], Constant):
                member = _membership(args[0], args[1].value)
                if member is not None:
                    return member
        return self._function(node, overload, tuple(overloads), args)

    def _function(self, node: ast.Call, overload: str, overloads: tuple[str, ...], args: list[Plan]) -> Plan:
        name = node.function
        implementation = function(name, overloads)
        if implementation is None:
            raise AssertionError(f"no implementation of {name}")
        constant_pattern = name in REGEX_FUNCTIONS and isinstance(args[1], Constant)
        if constant_pattern and isinstance(args[1], Constant) and isinstance(args[1].value, str):
            _check_pattern(args[1].value)
        many = len(BASE.get(name, ())) > 1
        lazy = (
            len(args) > 2
            or constant_pattern
            or overload in _VARIADIC
            or (not overload and many and name not in _SINGLE_BINDING)
        )
        call = plan.Call(implementation, args, charge_for(name, overload), eager=not lazy)
        if name in CONVERSIONS and len(args) == 1 and isinstance(args[0], Constant):
            return Constant(_evaluated(call))
        return call

    def _fold(self, node: ast.Comprehension) -> Plan:
        init = self.plan(node.accu_init)
        over = self.plan(node.iter_range)
        names = [node.iter_var] if node.iter_var2 is None else [node.iter_var, node.iter_var2]
        accumulator = next(self.slots)
        variables = [next(self.slots) for _ in names]
        if isinstance(init, Constant) and init.value in ([], {}):
            init = _Fresh(type(init.value))
        self._scopes.append({node.accu_var: plan.LocalBase(accumulator, init)})
        self._scopes.append({name: plan.LocalBase(slot, None) for name, slot in zip(names, variables, strict=True)})
        condition, step = self.plan(node.condition), self.plan(node.step)
        self._scopes.pop()
        result = self.plan(node.result)
        self._scopes.pop()
        return plan.Fold((accumulator, *variables), over, condition, step, result)


class _Fresh:
    """An empty list or map of its own for every evaluation, for folds that fill it in place."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def run(self, frame: Frame) -> Value:
        return self._kind()


def _is_append(node: ast.Call) -> bool:
    """Whether a macro made this step: no source text can name the accumulator."""
    first, second = node.args[0], node.args[1]
    return (
        node.function == "_+_"
        and isinstance(first, ast.Ident)
        and first.name == "@result"
        and isinstance(second, ast.ListLiteral)
    )


def _membership(item: Plan, values: list[Value]) -> Plan | None:
    if not values:
        return Constant(False)
    if all(type(value) in _MEMBER_TYPES or isinstance(value, int) for value in values):
        return plan.Membership(item, values)
    return None


def _folded(built: Plan, parts: list[Plan]) -> Plan:
    return Constant(_evaluated(built)) if all(isinstance(part, Constant) for part in parts) else built


def _evaluated(built: Plan) -> Value:
    value = built.run(Frame(None, 0, 2**64))
    if type(value) is Failure:
        raise CompileError(f"{_INSTANTIATION}: {value.message}")
    return value


def _check_pattern(pattern: str) -> None:
    try:
        compile_regex(pattern)
    except RegexError as error:
        raise CompileError(f"{_INSTANTIATION}: {error}") from None
