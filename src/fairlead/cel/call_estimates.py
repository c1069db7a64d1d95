"""Static cost of calls of library functions.

Mirrors ``EstimateCallCost`` of ``k8s.io/apiserver/pkg/cel/library/cost.go``, the estimators of cel-go
``ext/{lists,sets}.go``, and that of ``includes`` in ``k8s.io/dynamic-resource-allocation/cel``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fairlead.cel import types
from fairlead.cel.ast import Expr, Literal
from fairlead.cel.device_type import size_at
from fairlead.cel.estimates import (
    LIMIT,
    LIST_BASE,
    ONE,
    REGEX,
    TRAVERSAL,
    UNKNOWN,
    Range,
    fixed,
)
from fairlead.cel.library.lists import MAX_INCLUDES
from fairlead.cel.types import Type


@dataclass(frozen=True, slots=True)
class Node:
    """An argument: its type, where in ``device`` it comes from, and its size where that is known."""

    type: Type
    path: tuple[str, ...]
    expr: Expr | None
    computed: Range | None

    @property
    def size(self) -> Range:
        if self.computed is not None:
            return self.computed
        limit = size_at(self.path)
        return UNKNOWN if limit is None else Range(0, limit)

    @property
    def element(self) -> Node | None:
        """The elements of a list (or the keys of a map); None for other types."""
        if not self.type.params:
            return None
        path = (*self.path, "@items") if self.path else ()
        return Node(self.type.params[0], path, None, None)


@dataclass(frozen=True, slots=True)
class Estimate:
    cost: Range
    result_size: Range | None = None


_Args = list[Node]
_Estimator = Callable[[str, Node | None, _Args], Estimate | None]

MAX_FORMAT: Final = 64
MAX_FORMAT_REGEX: Final = 128


def estimate_call(function: str, overload: str, target: Node | None, args: _Args) -> Estimate | None:
    """None when the function has no cost of its own beyond the core rules."""
    by_overload = _BY_OVERLOAD.get(overload)
    if by_overload is not None:
        found = by_overload(overload, target, args)
        if found is not None:
            return found
    by_function = _BY_FUNCTION.get(function)
    return None if by_function is None else by_function(overload, target, args)


def _one(overload: str, target: Node | None, args: _Args) -> Estimate:
    return Estimate(ONE)


def _list_scan(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    """``sum``, ``indexOf`` and so on: one unit an element, and a traversal of each if they are strings."""
    if target is None:
        return None
    element = target.element
    if element is None:
        return Estimate(target.size.scaled(TRAVERSAL))
    cost = ONE
    if element.type.kind in ("string", "bytes"):
        cost = cost.plus(element.size.scaled(TRAVERSAL))
    return Estimate(target.size.times(cost))


def _includes(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return None if target is None else Estimate(Range(0, MAX_INCLUDES))


def _scan_argument(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return Estimate(args[0].size.scaled(TRAVERSAL)) if args else None


def _url(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return Estimate(args[0].size.scaled(TRAVERSAL), args[0].size) if len(args) == 1 else None


def _transform(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return None if target is None else Estimate(target.size.scaled(TRAVERSAL), target.size)


def _replace(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if target is None or len(args) < 2:
        return None
    size, old, new = target.size, args[0].size, args[1].size
    # Longest: the shortest text found as often as possible and replaced by the longest.
    kept_high = replaced_high = 0
    if old.low == 0:
        replaced_high = min(size.high + 1, LIMIT)
        kept_high = size.high
    elif new.high <= old.low:
        kept_high = size.high
    else:
        replaced_high = math.ceil(float(size.high) / float(old.low))
    # Shortest: the longest text replaced by the shortest.
    kept_low = replaced_low = 0
    if old.high == 0:
        replaced_low = min(size.low + 1, LIMIT)
        kept_low = size.low
    elif old.high <= new.low:
        kept_low = size.low
    else:
        replaced_low = math.ceil(float(size.low) / float(old.high))
    result = Range(replaced_low, replaced_high).times(new).plus(Range(kept_low, kept_high))
    return Estimate(size.scaled(2 * TRAVERSAL), result)


def _split(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if target is None:
        return None
    high = target.size.high
    if len(args) > 1 and isinstance(args[1].expr, Literal) and type(args[1].expr.value) is int:
        # A negative count reads as a huge one, as in Go.
        high = args[1].expr.value & LIMIT
    return Estimate(target.size.scaled(2 * TRAVERSAL), Range(0, high))


def _join(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if target is None:
        return None
    size = fixed(0)
    count = target.size
    if target.element is not None:
        size = count.times(target.element.size)
    if args:
        separators = Range(max(count.low - 1, 0), max(count.high - 1, 0))
        size = size.plus(args[0].size.times(separators))
    return Estimate(size.scaled(TRAVERSAL), size)


def _find(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if target is None or not args:
        return None
    text = target.size.plus(ONE).scaled(TRAVERSAL)
    return Estimate(text.times(args[0].size.scaled(REGEX)), Range(0, target.size.high))


def _ip(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return Estimate(ONE) if overload == "cidr_ip" else _scan_argument(overload, target, args)


def _is_canonical(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return Estimate(args[0].size.scaled(2 * TRAVERSAL)) if args else None


_ADDRESS: Final = Range(4, 16)


def _contains_ip(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if not args:
        return None
    cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL)
    if overload == "cidr_contains_ip_string":
        cost = cost.plus(args[0].size.scaled(TRAVERSAL))
    return Estimate(cost)


def _contains_cidr(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if not args:
        return None
    cost = _ADDRESS.plus(_ADDRESS).scaled(TRAVERSAL).plus(_ADDRESS.scaled(TRAVERSAL)).plus(ONE)
    if overload == "cidr_contains_cidr_string":
        cost = cost.plus(args[0].size.scaled(TRAVERSAL))
    return Estimate(cost)


def _validate(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if not args:
        return None
    return Estimate(args[0].size.scaled(TRAVERSAL).scaled(MAX_FORMAT_REGEX * REGEX))


def _equals(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if len(args) != 2 or args[0].type != args[1].type:
        return None
    match args[0].type:
        case types.IP | types.CIDR | types.QUANTITY | types.SEMVER:
            return Estimate(ONE)
        case types.FORMAT:
            return Estimate(Range(1, MAX_FORMAT).scaled(TRAVERSAL))
        case types.URL:
            high = 1 if args[1].computed is None else args[1].computed.high
            return Estimate(Range(1, high).scaled(TRAVERSAL))
    return None


def _literal_int(node: Node, default: int) -> int:
    if isinstance(node.expr, Literal) and type(node.expr.value) is int:
        return max(node.expr.value, 0)
    return default


def _new_list(factor: float, size: Range) -> Estimate:
    return Estimate(size.scaled(factor).plus(ONE).plus(fixed(LIST_BASE)), size)


def _slice(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    if target is None:
        return None
    start, end = _literal_int(args[0], 0), _literal_int(args[1], target.size.high)
    # Wraps around when start is after end, as in Go.
    return _new_list(1, fixed((end - start) & LIMIT))


def _range(overload: str, target: Node | None, args: _Args) -> Estimate:
    return _new_list(1, fixed(_literal_int(args[0], LIMIT)))


def _reverse(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    return None if target is None else _new_list(1, target.size)


def _flatten(overload: str, target: Node | None, args: _Args) -> Estimate | None:
    depth = _literal_int(args[0], LIMIT) if args else 1
    return None if target is None else _new_list(float(depth), target.size)


def _pairwise(strings: bool, keys: bool = False) -> _Estimator:
    """Every element against every other one."""
    factor = 2.0 + (TRAVERSAL if strings else 0)

    def estimate(overload: str, target: Node | None, args: _Args) -> Estimate | None:
        node = args[0] if keys else target
        return None if node is None else _new_list(factor, node.size.times(node.size))

    return estimate


def _sets(factor: float) -> _Estimator:
    def estimate(overload: str, target: Node | None, args: _Args) -> Estimate | None:
        return Estimate(args[0].size.times(args[1].size).scaled(factor).plus(ONE))

    return estimate


_SORTED: Final = [
    "int",
    "uint",
    "double",
    "bool",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "string",
    "bytes",
]
_BY_OVERLOAD: Final[dict[str, _Estimator]] = {
    "dra_includes_dyn_dyn": _includes,
    "list_slice": _slice,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "lists_range": _range,
    "list_reverse": _reverse,
    "list_distinct": _pairwise(strings=False),
    **{f"list_{t}_sort": _pairwise(t in ("string", "bytes")) for t in _SORTED},
    **{f"list_{t}_sortByAssociatedKeys": _pairwise(t in ("string", "bytes"), keys=True) for t in _SORTED},
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
}

UNIT_COST: Final = frozenset(
    [
        "masked",
        "prefixLength",
        "family",
        "isUnspecified",
        "isLoopback",
        "isLinkLocalMulticast",
        "isLinkLocalUnicast",
        "isGlobalUnicast",
        "format.named",
        "sign",
        "asInteger",
        "isInteger",
        "asApproximateFloat",
        "isGreaterThan",
        "isLessThan",
        "compareTo",
        "add",
        "sub",
        "major",
        "minor",
        "patch",
        "getScheme",
        "getHostname",
        "getHost",
        "getPort",
        "getEscapedPath",
        "getQuery",
    ]
)
_BY_FUNCTION: Final[dict[str, _Estimator]] = {
    **dict.fromkeys(UNIT_COST, _one),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_scan),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _scan_argument),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _transform),
    **dict.fromkeys(("find", "findAll"), _find),
    "url": _url,
    "replace": _replace,
    "split": _split,
    "join": _join,
    "ip": _ip,
    "ip.isCanonical": _is_canonical,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "_==_": _equals,
}
