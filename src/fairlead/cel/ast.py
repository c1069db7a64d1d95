"""The syntax tree of a CEL expression after macro expansion.

The node kinds are those of cel-go ``common/ast``. Every node carries the offset in the source that errors
about it point at. Nodes are compared by identity: the checker, the cost estimate and the planner keep what they
learn about a node in dictionaries keyed by the node.

Invariant: nothing changes a node after parsing except the checker, which resolves names (an identifier that
is really a qualified name, a member call that is really a call of a namespaced function).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.cel.values import Value


@dataclass(slots=True, eq=False)
class Literal:
    offset: int
    value: Value


@dataclass(slots=True, eq=False)
class Ident:
    offset: int
    name: str


@dataclass(slots=True, eq=False)
class Select:
    """``operand.field``, or ``has(operand.field)`` when ``test_only``."""

    offset: int
    operand: Expr
    field: str
    test_only: bool = False


@dataclass(slots=True, eq=False)
class Call:
    offset: int
    function: str
    target: Expr | None
    args: list[Expr]


@dataclass(slots=True, eq=False)
class ListLiteral:
    """``optional`` holds the positions of elements written ``?element``."""

    offset: int
    elements: list[Expr]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Entry:
    offset: int
    key: Expr
    value: Expr
    optional: bool


@dataclass(slots=True, eq=False)
class MapLiteral:
    offset: int
    entries: list[Entry]


@dataclass(slots=True, eq=False)
class Message:
    """``name{field: value}``; no message type is declared here, so checking one always fails."""

    offset: int
    name: str
    values: list[Expr] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Comprehension:
    """A fold of ``iter_range``: what all macros that loop or bind expand to."""

    offset: int
    iter_range: Expr
    iter_var: str
    iter_var2: str | None
    accu_var: str
    accu_init: Expr
    condition: Expr
    step: Expr
    result: Expr


Expr = Literal | Ident | Select | Call | ListLiteral | MapLiteral | Message | Comprehension


def children(node: Expr) -> list[Expr]:
    """Direct sub-expressions, in source order."""
    match node:
        case Select():
            return [node.operand]
        case Call():
            return ([node.target] if node.target is not None else []) + node.args
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return [part for entry in node.entries for part in (entry.key, entry.value)]
        case Message():
            return node.values
        case Comprehension():
            return [node.iter_range, node.accu_init, node.condition, node.step, node.result]
        case _:
            return []


def copy(node: Expr) -> Expr:
    """The same expression as new nodes: a node occurs only once in a tree."""
    match node:
        case Literal():
            return Literal(node.offset, node.value)
        case Ident():
            return Ident(node.offset, node.name)
        case Select():
            return Select(node.offset, copy(node.operand), node.field, node.test_only)
        case Call():
            target = None if node.target is None else copy(node.target)
            return Call(node.offset, node.function, target, [copy(arg) for arg in node.args])
        case ListLiteral():
            return ListLiteral(node.offset, [copy(e) for e in node.elements], node.optional)
        case MapLiteral():
            entries = [Entry(e.offset, copy(e.key), copy(e.value), e.optional) for e in node.entries]
            return MapLiteral(node.offset, entries)
        case Message():
            return Message(node.offset, node.name, [copy(v) for v in node.values])
        case Comprehension():
            return Comprehension(
                node.offset,
                copy(node.iter_range),
                node.iter_var,
                node.iter_var2,
                node.accu_var,
                copy(node.accu_init),
                copy(node.condition),
                copy(node.step),
                copy(node.result),
            )
