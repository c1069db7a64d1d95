"""The static cost of an expression: an upper bound of what any evaluation can cost.

Mirrors cel-go ``checker/cost.go`` with the options of the Kubernetes environment (``has()`` costs nothing of its
own). The sizes of values come from literals, from other estimates, or from the declared limits of ``device``.
"""

from __future__ import annotations

from typing import NamedTuple

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
from fairlead.cel.call_estimates import Estimate, Node, estimate_call
from fairlead.cel.check import Checked
from fairlead.cel.device_type import size_at
from fairlead.cel.estimates import (
    EMPTY_UNION,
    LIMIT,
    LIST_BASE,
    MAP_BASE,
    MESSAGE_BASE,
    ONE,
    REGEX,
    TRAVERSAL,
    UNKNOWN,
    ZERO,
    Range,
    fixed,
)
from fairlead.cel.types import is_scalar

Path = tuple[str, ...]


class _Entries(NamedTuple):
    """Sizes of the keys (or indexes) and values that a list or map holds."""

    kind: str
    key: Range
    value: Range


class _Local(NamedTuple):
    path: Path
    size: Range | None
    entries: _Entries | None


def estimate(tree: Expr, checked: Checked) -> Range:
    return _Coster(checked).cost(tree)


class _Coster:
    def __init__(self, checked: Checked) -> None:
        self._types = checked.types
        self._overloads = checked.overloads
        self._constants = checked.constants
        self._paths: dict[Expr, Path] = {}
        self._sizes: dict[Expr, Range] = {}
        self._entries: dict[Expr, _Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: Expr) -> Range:
        match node:
            case Literal():
                return ZERO
            case Ident():
                local = self._local(node.name)
                self._paths[node] = (node.name,) if local is None else local.path
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case Comprehension():
                return self._bind(node) if _is_bind(node) else self._comprehension(node)
            case Message():
                return fixed(MESSAGE_BASE)

    def _select(self, node: Select) -> Range:
        if node in self._constants:
            # A qualified type name is one identifier.
            return ONE
        cost = self.cost(node.operand)
        if node.test_only:
            return cost
        if self._types[node.operand].kind in ("map", "struct", "param"):
            cost = cost.plus(ONE)
        self._paths[node] = (*self._path(node.operand), node.field)
        return cost

    def _list(self, node: ListLiteral) -> Range:
        cost = fixed(LIST_BASE)
        size = EMPTY_UNION if node.elements else ZERO
        for element in node.elements:
            cost = cost.plus(self.cost(element))
            size = size.union(self._size_or_unknown(element))
        self._entries[node] = _Entries("list", ONE, size)
        return cost

    def _map(self, node: MapLiteral) -> Range:
        cost = fixed(MAP_BASE)
        keys = values = EMPTY_UNION if node.entries else ZERO
        for entry in node.entries:
            cost = cost.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            keys = keys.union(self._size_or_unknown(entry.key))
            values = values.union(self._size_or_unknown(entry.value))
        self._entries[node] = _Entries("map", keys, values)
        return cost

    def _call(self, node: Call) -> Range:
        if node.function == "dyn":
            cost = self.cost(node.args[0])
            self._copy_sizes(node, node.args[0])
            return cost.plus(ONE)
        costs = [self.cost(arg) for arg in node.args]
        args = [self._node(arg) for arg in node.args]
        target_cost, target = ZERO, None
        if node.target is not None:
            target_cost = self.cost(node.target)
            target = self._node(node.target)
        highest = EMPTY_UNION
        result: Range | None = None
        for overload in self._overloads[node]:
            found = self._overload(node, overload, target, args, costs)
            highest = highest.union(found.cost)
            if found.result_size is not None:
                result = found.result_size if result is None else result.union(found.result_size)
            if overload in ("index_list", "index_map"):
                entries = self._entry_sizes(node.args[0])
                result = None if entries is None else entries.value
                step = "@items" if overload == "index_list" else "@values"
                self._paths[node] = (*self._path(node.args[0]), step)
            if result is None:
                result = self._size(node)
        self._set_size(node, result)
        return target_cost.plus(highest)

    def _overload(
        self, node: Call, overload: str, target: Node | None, args: list[Node], costs: list[Range]
    ) -> Estimate:
        total = ZERO
        for cost in costs:
            total = total.plus(cost)
        found = estimate_call(node.function, overload, target, args)
        if found is None:
            found = self._standard(node, overload, target, args, costs)
            if overload in ("logical_and", "logical_or", "conditional"):
                # These do not evaluate all of their arguments, so they add them up themselves.
                return found
        return Estimate(found.cost.plus(total), found.result_size)

    def _standard(
        self, node: Call, overload: str, target: Node | None, args: list[Node], costs: list[Range]
    ) -> Estimate:
        sizes = [UNKNOWN if arg.computed is None else arg.computed for arg in args]
        of_target = UNKNOWN if target is None or target.computed is None else target.computed
        match overload:
            case "string_format":
                return Estimate(of_target.scaled(TRAVERSAL))
            case "string_to_bytes":
                return Estimate(sizes[0].scaled(TRAVERSAL), Range(sizes[0].low, sizes[0].high * 4 & LIMIT))
            case "bytes_to_string":
                return Estimate(sizes[0].scaled(TRAVERSAL), Range(sizes[0].low // 4, sizes[0].high))
            case "strings_quote":
                result = Range(sizes[0].low + 2 & LIMIT, sizes[0].high * 2 + 2 & LIMIT)
                return Estimate(sizes[0].scaled(TRAVERSAL), result)
            case "starts_with_string" | "ends_with_string":
                return Estimate(sizes[0].scaled(TRAVERSAL))
            case "in_list":
                return Estimate(sizes[1].scaled(1))
            case "matches" | "matches_string":
                text, pattern = (sizes[0], sizes[1]) if target is None else (of_target, sizes[0])
                return Estimate(text.plus(ONE).scaled(TRAVERSAL).times(pattern.scaled(REGEX)))
            case "contains_string":
                return Estimate(of_target.scaled(TRAVERSAL).times(sizes[0].scaled(TRAVERSAL)))
            case "logical_and" | "logical_or":
                return Estimate(Range(costs[0].low, costs[0].plus(costs[1]).high))
            case "conditional":
                self._join_entries(node, node.args[1], node.args[2])
                cost = costs[0].plus(costs[1].union(costs[2]))
                return Estimate(cost, sizes[1].union(sizes[2]))
            case "add_list" | "add_string" | "add_bytes":
                self._join_entries(node, node.args[0], node.args[1])
                size = sizes[0].plus(sizes[1])
                return Estimate(ONE if overload == "add_list" else size.scaled(TRAVERSAL), size)
        if overload in _COMPARISONS:
            smaller = min(sizes[0].high, sizes[1].high)
            return Estimate(Range(1 if smaller else 0, smaller).scaled(TRAVERSAL))
        return Estimate(ONE)

    def _join_entries(self, node: Call, left: Expr, right: Expr) -> None:
        first, second = self._entry_sizes(left), self._entry_sizes(right)
        if first is not None and second is not None:
            key, value = first.key.union(second.key), first.value.union(second.value)
            self._entries[node] = _Entries(first.kind, key, value)

    def _comprehension(self, node: Comprehension) -> Range:
        cost = self.cost(node.iter_range).plus(self.cost(node.accu_init))
        self._push_value(node.accu_var, node.accu_init)
        variables = [node.iter_var] if node.iter_var2 is None else [node.iter_var, node.iter_var2]
        self._push_iteration(node, variables)
        loop = self.cost(node.condition)
        loop = loop.plus(self.cost(node.step))
        for variable in variables:
            self._locals[variable].pop()
        cost = cost.plus(self.cost(node.result))
        self._locals[node.accu_var].pop()
        count = self._size_or_unknown(node.iter_range)
        if isinstance(node.accu_init, Literal):
            self._set_size(node, self._size(node.accu_init))
        elif isinstance(node.accu_init, ListLiteral | MapLiteral):
            self._set_size(node, count)
            entries = self._entry_sizes(node.step)
            if entries is not None:
                self._entries[node] = entries
        return cost.plus(count.times(loop))

    def _bind(self, node: Comprehension) -> Range:
        cost = self.cost(node.iter_range).plus(self.cost(node.accu_init))
        self._push_value(node.accu_var, node.accu_init)
        cost = cost.plus(self.cost(node.result))
        self._locals[node.accu_var].pop()
        self._copy_sizes(node, node.result)
        return cost

    def _push_value(self, name: str, value: Expr) -> None:
        local = _Local(self._path(value), self._size(value), self._entry_sizes(value))
        self._locals.setdefault(name, []).append(local)

    def _push_iteration(self, node: Comprehension, variables: list[str]) -> None:
        entries = self._entry_sizes(node.iter_range)
        kind = self._types[node.iter_range].kind if entries is None else entries.kind
        path = self._path(node.iter_range)
        key = None if entries is None else entries.key
        value = None if entries is None else entries.value
        is_list = kind == "list"
        of_key = _Local((*path, "@indices" if is_list else "@keys"), key, None)
        of_value = _Local((*path, "@items" if is_list else "@values"), value, None)
        pushed = [of_value if is_list else of_key] if len(variables) == 1 else [of_key, of_value]
        for name, local in zip(variables, pushed, strict=True):
            self._locals.setdefault(name, []).append(local)

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    def _path(self, node: Expr) -> Path:
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(node, ())

    def _node(self, node: Expr) -> Node:
        return Node(self._types[node], self._path(node), node, self._size(node))

    def _size_or_unknown(self, node: Expr) -> Range:
        size = self._size(node)
        return UNKNOWN if size is None else size

    def _size(self, node: Expr) -> Range | None:
        if node in self._sizes:
            return self._sizes[node]
        literal = _literal_size(node)
        if literal is not None:
            return literal
        limit = size_at(self._path(node))
        if limit is not None:
            self._sizes[node] = Range(0, limit)
            return self._sizes[node]
        if is_scalar(self._types[node]):
            return ONE
        if isinstance(node, Ident):
            local = self._local(node.name)
            return None if local is None else local.size
        return None

    def _set_size(self, node: Expr, size: Range | None) -> None:
        if size is not None:
            self._sizes[node] = size

    def _entry_sizes(self, node: Expr) -> _Entries | None:
        found = self._entries.get(node)
        if found is None and isinstance(node, Ident):
            local = self._local(node.name)
            return None if local is None else local.entries
        return found

    def _copy_sizes(self, to: Expr, source: Expr) -> None:
        self._set_size(to, self._size(source))
        entries = self._entry_sizes(source)
        if entries is not None:
            self._entries[to] = entries


_COMPARISONS = frozenset(
    {"equals", "not_equals"}
    | {f"{op}_{t}" for op in ("less", "less_equals", "greater", "greater_equals") for t in ("string", "bytes")}
)


def _literal_size(node: Expr) -> Range | None:
    match node:
        case Literal(value=str() | bytes()):
            return fixed(len(node.value))
        case Literal():
            return ONE
        case ListLiteral():
            return fixed(len(node.elements))
        case MapLiteral():
            return fixed(len(node.entries))
    return None


def _is_bind(node: Comprehension) -> bool:
    return (
        isinstance(node.iter_range, ListLiteral)
        and not node.iter_range.elements
        and isinstance(node.condition, Literal)
        and node.condition.value is False
    )
