"""The run-time cost of one call, from its arguments and result.

Mirrors ``CallCost`` of ``k8s.io/apiserver/pkg/cel/library/cost.go``, cel-go ``interpreter/runtimecost.go`` and the
trackers of ``ext/{lists,sets}.go``. A failed argument or result counts as a value of size 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from fairlead.cel.call_estimates import UNIT_COST
from fairlead.cel.estimates import LIMIT, LIST_BASE, REGEX, TRAVERSAL
from fairlead.cel.library.formats import Format
from fairlead.cel.library.lists import COMPARABLE
from fairlead.cel.library.net import CIDR, IP
from fairlead.cel.runtime import STRICT_EQUALITY, TYPE_NAMES, size
from fairlead.cel.values import Optional, Value

_Args = Sequence[Value]
Charge = Callable[[_Args, Value], int]


def charge_for(function: str, overload: str) -> Charge | None:
    """How to charge a call; None for one unit. ``overload`` is empty when several may apply."""
    return _BY_OVERLOAD.get(overload) or _BY_FUNCTION.get(function) or _STANDARD.get(overload)


def _size(value: Value) -> int:
    if type(value) is IP or type(value) is CIDR:
        return value.size
    return size(value)


def _core_size(value: Value) -> int:
    """The sizes of the core rules also look into optionals."""
    while type(value) is Optional and value.present:
        value = value.value
    return _size(value)


def _scan(value: Value, factor: float = TRAVERSAL) -> int:
    return math.ceil(_size(value) * factor)


def _regex(text_size: int, pattern_size: int) -> int:
    return math.ceil((1.0 + text_size) * TRAVERSAL) * math.ceil(pattern_size * REGEX)


def _traversal(value: Value) -> int:
    """Every part of a value; text by its bytes, rounded down."""
    if isinstance(value, str):
        return int(len(value.encode()) * TRAVERSAL)
    if isinstance(value, bytes):
        return int(len(value) * TRAVERSAL)
    match TYPE_NAMES.get(type(value)):
        case "list":
            return sum(map(_traversal, value))
        case "map":
            return sum(_traversal(key) + _traversal(item) for key, item in value.items())
    return 1


def _unit(args: _Args, result: Value) -> int:
    return 1


def _traverse(args: _Args, result: Value) -> int:
    return _traversal(args[0])


def _scan_first(args: _Args, result: Value) -> int:
    return _scan(args[0])


def _scan_first_twice(args: _Args, result: Value) -> int:
    return math.ceil(_size(args[0]) * 2 * TRAVERSAL)


def _scan_result_twice(args: _Args, result: Value) -> int:
    return math.ceil(_size(result) * 2 * TRAVERSAL)


def _find(args: _Args, result: Value) -> int:
    return _regex(_size(args[0]), _size(args[1]))


def _contains_ip(args: _Args, result: Value) -> int:
    network = _size(args[0])
    return math.ceil((network + network) * TRAVERSAL)


def _contains_ip_text(args: _Args, result: Value) -> int:
    return _contains_ip(args, result) + _scan(args[1])


def _contains_cidr(args: _Args, result: Value) -> int:
    return _contains_ip(args, result) + _scan(args[0]) + 1


def _contains_cidr_text(args: _Args, result: Value) -> int:
    return _contains_cidr(args, result) + _scan(args[1])


def _validate(args: _Args, result: Value) -> int:
    return _regex(_size(args[1]), args[0].regex_size) if type(args[0]) is Format else 1


def _smaller(args: _Args, result: Value) -> int:
    return math.ceil(min(_core_size(args[0]), _core_size(args[1])) * TRAVERSAL)


def _equals(args: _Args, result: Value) -> int:
    return 1 if type(args[0]) in STRICT_EQUALITY else _smaller(args, result)


def _scan_second(args: _Args, result: Value) -> int:
    return math.ceil(_core_size(args[1]) * TRAVERSAL)


def _matches(args: _Args, result: Value) -> int:
    return _regex(_core_size(args[0]), _core_size(args[1]))


def _contains(args: _Args, result: Value) -> int:
    return math.ceil(_core_size(args[0]) * TRAVERSAL) * math.ceil(_core_size(args[1]) * TRAVERSAL)


def _concatenate(args: _Args, result: Value) -> int:
    return math.ceil((_core_size(args[0]) + _core_size(args[1])) * TRAVERSAL)


def _count_second(args: _Args, result: Value) -> int:
    return _core_size(args[1])


def _new_list(factor: float, count: int) -> int:
    return min(int(count * (factor if factor >= 0 else 1.0)) + 1 + LIST_BASE, LIMIT)


def _result_list(args: _Args, result: Value) -> int:
    return _new_list(1, _size(result))


def _flatten(args: _Args, result: Value) -> int:
    depth = float(args[1]) if len(args) == 2 and isinstance(args[1], int) else 1.0
    return _new_list(depth, _size(args[0]))


def _pairwise(position: int) -> Charge:
    def charge(args: _Args, result: Value) -> int:
        values = args[position]
        if TYPE_NAMES.get(type(values)) != "list" or not values:
            return _new_list(2, 0)
        factor = 2.0 + (TRAVERSAL if isinstance(values[0], str | bytes) else 0)
        return _new_list(factor, len(values) * len(values))

    return charge


def _sets(factor: int) -> Charge:
    return lambda args, result: 1 + int(_size(args[0]) * _size(args[1]) * float(factor))


_LONG_NAMES: Final = {"duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}
_BY_OVERLOAD: Final[dict[str, Charge]] = {
    "cidr_ip": _unit,
    "cidr_contains_ip_string": _contains_ip_text,
    "cidr_contains_cidr_string": _contains_cidr_text,
    "list_slice": _result_list,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    "lists_range": _result_list,
    "list_reverse": _result_list,
    "list_distinct": _pairwise(0),
    **{f"list_{_LONG_NAMES.get(t, t)}_sort": _pairwise(0) for t in COMPARABLE},
    **{f"list_{_LONG_NAMES.get(t, t)}_sortByAssociatedKeys": _pairwise(1) for t in COMPARABLE},
    "list_sets_contains_list": _sets(1),
    "list_sets_intersects_list": _sets(1),
    "list_sets_equivalent_list": _sets(2),
}
_BY_FUNCTION: Final[dict[str, Charge]] = {
    **dict.fromkeys(UNIT_COST, _unit),
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traverse),
    **dict.fromkeys(
        [
            "url",
            "lowerAscii",
            "upperAscii",
            "substring",
            "trim",
            "cidr",
            "isIP",
            "isCIDR",
            "quantity",
            "isQuantity",
            "semver",
            "isSemver",
        ],
        _scan_first,
    ),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _scan_first_twice),
    **dict.fromkeys(("find", "findAll"), _find),
    "join": _scan_result_twice,
    "ip": _scan_first,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "validate": _validate,
    "_==_": _equals,
}
_STANDARD: Final[dict[str, Charge]] = {
    "not_equals": _smaller,
    **{
        f"{op}_{t}": _smaller
        for op in ("less", "less_equals", "greater", "greater_equals")
        for t in ("string", "bytes")
    },
    "starts_with_string": _scan_second,
    "ends_with_string": _scan_second,
    "string_to_bytes": lambda args, result: math.ceil(_core_size(args[0]) * TRAVERSAL),
    "bytes_to_string": lambda args, result: math.ceil(_core_size(args[0]) * TRAVERSAL),
    "strings_quote": lambda args, result: math.ceil(_core_size(args[0]) * TRAVERSAL),
    "string_format": lambda args, result: math.ceil(_core_size(args[0]) * TRAVERSAL),
    "in_list": _count_second,
    "add_string": _concatenate,
    "add_bytes": _concatenate,
    "matches": _matches,
    "matches_string": _matches,
    "contains_string": _contains,
}
