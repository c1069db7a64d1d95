"""Macro expansion: ``has``, the comprehensions, ``cel.bind``, ``optMap`` and ``sortBy``.

Mirrors cel-go ``parser/macro.go``, ``ext/comprehensions.go``, ``ext/bindings.go``, ``ext/lists.go`` and the
optional library. The shape of the expansion is part of the contract: static and run-time cost count its nodes.
"""

from __future__ import annotations

from collections.abc import Callable

from fairlead.cel.ast import Call, Comprehension, Expr, Ident, ListLiteral, Literal, MapLiteral, Select, copy

# The names cannot be written in source, so they never clash with a user's.
ACCU = "@result"
SORT_INPUT = "@__sortBy_input__"
UNUSED = "#unused"
_OLD_ACCU = "__result__"


class MacroError(ValueError):
    """A macro was used with arguments it cannot take."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset


def expand(offset: int, name: str, target: Expr | None, args: list[Expr]) -> Expr | None:
    """What the call expands to; None when it is an ordinary call."""
    if target is None:
        return _has(offset, args) if name == "has" and len(args) == 1 else None
    if name == "bind" and len(args) == 3 and isinstance(target, Ident) and target.name == "cel":
        return _bind(offset, args)
    macro = _MACROS.get((name, len(args)))
    return None if macro is None else macro(_Builder(offset), target, args)


class _Builder:
    """Nodes at the place of the macro call."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def accu(self) -> Expr:
        return Ident(self.offset, ACCU)

    def literal(self, value: bool | int) -> Expr:
        return Literal(self.offset, value)

    def call(self, function: str, *args: Expr) -> Expr:
        return Call(self.offset, function, None, list(args))

    def member(self, target: Expr, function: str, *args: Expr) -> Expr:
        return Call(self.offset, function, target, list(args))

    def append(self, element: Expr) -> Expr:
        return self.call("_+_", self.accu(), ListLiteral(self.offset, [element]))

    def when(self, condition: Expr | None, step: Expr) -> Expr:
        return step if condition is None else self.call("_?_:_", condition, step, self.accu())

    def fold(
        self,
        over: Expr,
        variables: tuple[str, str | None],
        init: Expr,
        condition: Expr,
        step: Expr,
        result: Expr | None = None,
    ) -> Expr:
        return Comprehension(
            self.offset, over, *variables, ACCU, init, condition, step, self.accu() if result is None else result
        )

    def bind(self, name: str, value: Expr, result: Expr) -> Expr:
        return Comprehension(
            self.offset,
            ListLiteral(self.offset, []),
            UNUSED,
            None,
            name,
            value,
            self.literal(False),
            Ident(self.offset, name),
            result,
        )


_Macro = Callable[[_Builder, Expr, list[Expr]], Expr]


def _variables(args: list[Expr], count: int, message: str) -> tuple[str, str | None]:
    names: list[str] = []
    for arg in args[:count]:
        if not isinstance(arg, Ident):
            raise MacroError(arg.offset, message)
        names.append(arg.name)
    if count == 2 and names[0] == names[1]:
        raise MacroError(args[1].offset, f"duplicate variable name: {names[0]}")
    for arg, name in zip(args, names, strict=False):
        if name == _OLD_ACCU:
            raise MacroError(arg.offset, "iteration variable overwrites accumulator variable")
    return names[0], names[1] if count == 2 else None


def _has(offset: int, args: list[Expr]) -> Expr:
    field = args[0]
    if isinstance(field, Select) and not field.test_only:
        return Select(offset, field.operand, field.field, test_only=True)
    raise MacroError(field.offset, "invalid argument to has() macro")


def _bind(offset: int, args: list[Expr]) -> Expr:
    variable = args[0]
    if not isinstance(variable, Ident):
        raise MacroError(variable.offset, "cel.bind() variable names must be simple identifiers")
    return _Builder(offset).bind(variable.name, args[1], args[2])


def _all(count: int) -> _Macro:
    def macro(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
        variables = _variables(args, count, "argument must be a simple name")
        step = b.call("_&&_", b.accu(), args[count])
        return b.fold(target, variables, b.literal(True), b.call("@not_strictly_false", b.accu()), step)

    return macro


def _exists(count: int) -> _Macro:
    def macro(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
        variables = _variables(args, count, "argument must be a simple name")
        condition = b.call("@not_strictly_false", b.call("!_", b.accu()))
        step = b.call("_||_", b.accu(), args[count])
        return b.fold(target, variables, b.literal(False), condition, step)

    return macro


def _exists_one(count: int) -> _Macro:
    def macro(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
        variables = _variables(args, count, "argument must be a simple name")
        step = b.when(args[count], b.call("_+_", b.accu(), b.literal(1)))
        result = b.call("_==_", b.accu(), b.literal(1))
        return b.fold(target, variables, b.literal(0), b.literal(True), step, result)

    return macro


def _map(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    variables = _variables(args, 1, "argument is not an identifier")
    step = b.when(args[1] if len(args) == 3 else None, b.append(args[-1]))
    return b.fold(target, variables, ListLiteral(b.offset, []), b.literal(True), step)


def _filter(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    variables = _variables(args, 1, "argument is not an identifier")
    step = b.when(args[1], b.append(args[0]))
    return b.fold(target, variables, ListLiteral(b.offset, []), b.literal(True), step)


def _transform_list(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    variables = _variables(args, 2, "argument must be a simple name")
    step = b.when(args[2] if len(args) == 4 else None, b.append(args[-1]))
    return b.fold(target, variables, ListLiteral(b.offset, []), b.literal(True), step)


def _transform_map(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    variables = _variables(args, 2, "argument must be a simple name")
    insert = b.call("cel.@mapInsert", b.accu(), Ident(b.offset, variables[0]), args[-1])
    step = b.when(args[2] if len(args) == 4 else None, insert)
    return b.fold(target, variables, MapLiteral(b.offset, []), b.literal(True), step)


def _transform_map_entry(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    variables = _variables(args, 2, "argument must be a simple name")
    step = b.when(args[2] if len(args) == 4 else None, b.call("cel.@mapInsert", b.accu(), args[-1]))
    return b.fold(target, variables, MapLiteral(b.offset, []), b.literal(True), step)


def _opt(name: str, wrap: bool) -> _Macro:
    def macro(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
        variable = args[0]
        if not isinstance(variable, Ident):
            raise MacroError(variable.offset, f"{name}() variable name must be a simple identifier")
        mapped = b.bind(variable.name, b.member(copy(target), "value"), args[1])
        if wrap:
            mapped = b.call("optional.of", mapped)
        return b.call("_?_:_", b.member(target, "hasValue"), mapped, b.call("optional.none"))

    return macro


def _sort_by(b: _Builder, target: Expr, args: list[Expr]) -> Expr:
    if isinstance(target, Literal | MapLiteral):
        message = "sortBy can only be applied to a list, identifier, comprehension, call or select expression"
        raise MacroError(target.offset, message)
    keys = _map(b, Ident(b.offset, SORT_INPUT), args)
    call = b.member(Ident(b.offset, SORT_INPUT), "@sortByAssociatedKeys", keys)
    return b.bind(SORT_INPUT, target, call)


_MACROS: dict[tuple[str, int], _Macro] = {
    ("all", 2): _all(1),
    ("exists", 2): _exists(1),
    ("exists_one", 2): _exists_one(1),
    ("existsOne", 2): _exists_one(1),
    ("map", 2): _map,
    ("map", 3): _map,
    ("filter", 2): _filter,
    ("all", 3): _all(2),
    ("exists", 3): _exists(2),
    ("exists_one", 3): _exists_one(2),
    ("existsOne", 3): _exists_one(2),
    ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list,
    ("transformMap", 3): _transform_map,
    ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_map_entry,
    ("transformMapEntry", 4): _transform_map_entry,
    ("optMap", 2): _opt("optMap", wrap=True),
    ("optFlatMap", 2): _opt("optFlatMap", wrap=False),
    ("sortBy", 2): _sort_by,
}
