"""List functions: those of Kubernetes (``isSorted sum min max indexOf lastIndexOf includes``), of cel-go's list
extension version 3 (``slice flatten sort sortBy distinct reverse lists.range``) and of its set extension.

Mirrors ``k8s.io/apiserver/pkg/cel/library/lists.go``, cel-go ``ext/lists.go`` and ``ext/sets.go``; ``includes``
is that of ``k8s.io/dynamic-resource-allocation/cel``, which takes at most 48 list elements.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.library.core import to_int, to_uint
from fairlead.cel.runtime import NO_OVERLOAD, TYPE_NAMES, compare, same
from fairlead.cel.temporal import Duration
from fairlead.cel.values import Uint, Value

COMPARABLE: Final = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMABLE: Final = ("int", "uint", "double", "duration")
# The names cel-go derives overload ids from, where they differ from those of this package.
_LONG_NAMES: Final = {"duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp"}
MAX_INCLUDES: Final = 48
_MAX_RANGE: Final = 1_000_000

TABLE: Final = "\n".join(
    [
        "indexOf list_a_index_of_int list(A).(A) -> int",
        "lastIndexOf list_a_last_index_of_int list(A).(A) -> int",
        *(f"isSorted list_{t}_is_sorted_bool list({t}).() -> bool" for t in COMPARABLE),
        *(f"{f} list_{t}_{f}_{t} list({t}).() -> {t}" for f in ("min", "max") for t in COMPARABLE),
        *(f"sum list_{t}_sum_{t} list({t}).() -> {t}" for t in _SUMMABLE),
        "slice list_slice list(T).(int, int) -> list(T)",
        "flatten list_flatten list(list(T)).() -> list(T)",
        "flatten list_flatten_int list(dyn).(int) -> list(dyn)",
        *(f"sort list_{_LONG_NAMES.get(t, t)}_sort list({t}).() -> list({t})" for t in COMPARABLE),
        *(
            f"@sortByAssociatedKeys list_{_LONG_NAMES.get(t, t)}_sortByAssociatedKeys list(T).(list({t})) -> list(T)"
            for t in COMPARABLE
        ),
        "lists.range lists_range (int) -> list(int)",
        "reverse list_reverse list(T).() -> list(T)",
        "distinct list_distinct list(T).() -> list(T)",
        "sets.contains list_sets_contains_list (list(T), list(T)) -> bool",
        "sets.equivalent list_sets_equivalent_list (list(T), list(T)) -> bool",
        "sets.intersects list_sets_intersects_list (list(T), list(T)) -> bool",
    ]
)
INCLUDES_TABLE: Final = "includes dra_includes_dyn_dyn dyn.(dyn) -> bool"

List = list[Value]


def _is_sorted(values: List) -> bool:
    return all(compare(left, right) <= 0 for left, right in pairwise(values))


def _extreme(name: str, sign: int) -> Callable[[List], Value]:
    def find(values: List) -> Value:
        if not values:
            raise EvaluationError(f"{name} called on empty list")
        best = values[0]
        for value in values[1:]:
            if compare(best, value) == -sign:
                best = value
        return best

    return find


def _sum_of(kind: str) -> Callable[[List], Value]:
    def total(values: List) -> Value:
        result: Value = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}[kind]
        for value in values:
            result = _add(result, value)
        return result

    return total


def _add(left: Value, right: Value) -> Value:
    if type(left) is not type(right):
        raise EvaluationError(NO_OVERLOAD)
    match left:
        case Uint():
            return to_uint(int(left) + int(right))
        case int():
            return to_int(left + right)
        case Duration():
            return Duration(left.nanos + right.nanos)
    return left + right


def _index_of(values: List, item: Value) -> int:
    return next((index for index, value in enumerate(values) if same(value, item)), -1)


def _last_index_of(values: List, item: Value) -> int:
    return next((i for i in range(len(values) - 1, -1, -1) if same(values[i], item)), -1)


def _slice(values: List, start: int, end: int) -> List:
    call = f"cannot slice({start}, {end})"
    if start < 0 or end < 0:
        raise EvaluationError(f"{call}, negative indexes not supported")
    if start > end:
        raise EvaluationError(f"{call}, start index must be less than or equal to end index")
    if len(values) < end:
        raise EvaluationError(f"{call}, list is length {len(values)}")
    return list(values[start:end])


def _flatten(values: List, depth: int = 1) -> List:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: List = []
    for value in values:
        if depth and TYPE_NAMES[type(value)] == "list":
            flat.extend(_flatten(value, depth - 1))
        else:
            flat.append(value)
    return flat


def _sort(values: List) -> List:
    return _sort_by(values, values)


def _sort_by(values: List, keys: List) -> List:
    if len(values) != len(keys):
        raise EvaluationError(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got "
            f"{len(values)} and {len(keys)} elements respectively"
        )
    if len({type(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")

    def by_key(left: int, right: int) -> int:
        return compare(keys[left], keys[right])

    return [values[index] for index in sorted(range(len(keys)), key=cmp_to_key(by_key))]


def _distinct(values: List) -> List:
    unique: List = []
    for value in values:
        if not any(same(value, other) for other in unique):
            unique.append(value)
    return unique


def _range(count: int) -> List:
    if count < 0:
        raise EvaluationError(f"lists.range: size must be non-negative, got {count}")
    if count > _MAX_RANGE:
        raise EvaluationError(f"lists.range: size {count} exceeds maximum allowed ({_MAX_RANGE})")
    return list(range(count))


def _in(values: List, item: Value) -> bool:
    return any(same(value, item) for value in values)


def _sets_contains(values: List, wanted: List) -> bool:
    return all(_in(values, item) for item in wanted)


def _sets_intersects(left: List, right: List) -> bool:
    return any(_in(right, item) for item in left)


def _sets_equivalent(left: List, right: List) -> bool:
    return _sets_contains(left, right) and _sets_contains(right, left)


def includes(target: Value, item: Value) -> bool:
    """Whether a list has the item, or a single value is it: for attributes that may be either."""
    if TYPE_NAMES[type(target)] != "list":
        return same(target, item)
    for index, value in enumerate(target):
        if index >= MAX_INCLUDES:
            message = f"'includes' function cannot be applied to lists longer than {MAX_INCLUDES} values"
            raise EvaluationError(message)
        if same(value, item):
            return True
    return False


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "list_a_index_of_int": _index_of,
    "list_a_last_index_of_int": _last_index_of,
    **{f"list_{t}_is_sorted_bool": _is_sorted for t in COMPARABLE},
    **{f"list_{t}_min_{t}": _extreme("min", -1) for t in COMPARABLE},
    **{f"list_{t}_max_{t}": _extreme("max", 1) for t in COMPARABLE},
    **{f"list_{t}_sum_{t}": _sum_of(t) for t in _SUMMABLE},
    "list_slice": _slice,
    "list_flatten": _flatten,
    "list_flatten_int": _flatten,
    **{f"list_{_LONG_NAMES.get(t, t)}_sort": _sort for t in COMPARABLE},
    **{f"list_{_LONG_NAMES.get(t, t)}_sortByAssociatedKeys": _sort_by for t in COMPARABLE},
    "lists_range": _range,
    "list_reverse": lambda values: list(reversed(values)),
    "list_distinct": _distinct,
    "list_sets_contains_list": _sets_contains,
    "list_sets_equivalent_list": _sets_equivalent,
    "list_sets_intersects_list": _sets_intersects,
    "dra_includes_dyn_dyn": includes,
}
