"""The optional library: ``optional.of none ofNonZeroValue value hasValue or orValue first last unwrap``.

Mirrors cel-go ``cel/library.go``. ``or`` and ``orValue`` evaluate their argument only when they need it, so the
planner treats them itself; their signatures are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.runtime import show
from fairlead.cel.temporal import Duration, Timestamp
from fairlead.cel.values import NONE, Optional, Value
from fairlead.resource.quantity import Quantity

TABLE: Final = """
    optional.of optional_of (V) -> optional(V)
    optional.ofNonZeroValue optional_ofNonZeroValue (V) -> optional(V)
    optional.none optional_none () -> optional(V)
    value optional_value optional(V).() -> V
    hasValue optional_hasValue optional(V).() -> bool
    or optional_or_optional optional(V).(optional(V)) -> optional(V)
    orValue optional_orValue_value optional(V).(V) -> V
    _[?_] list_optindex_optional_int (list(V), int) -> optional(V)
    _[?_] optional_list_optindex_optional_int (optional(list(V)), int) -> optional(V)
    _[?_] map_optindex_optional_value (map(K, V), K) -> optional(V)
    _[?_] optional_map_optindex_optional_value (optional(map(K, V)), K) -> optional(V)
    _[_] optional_list_index_int (optional(list(V)), int) -> optional(V)
    _[_] optional_map_index_value (optional(map(K, V)), K) -> optional(V)
    last list_last list(V).() -> optional(V)
    first list_first list(V).() -> optional(V)
    optional.unwrap optional_unwrap (list(optional(V))) -> list(V)
    unwrapOpt optional_unwrapOpt list(optional(V)).() -> list(V)
"""

_FIRST_INSTANT: Final = Timestamp.parse("0001-01-01T00:00:00Z")


def _of_non_zero(value: Value) -> Optional:
    if isinstance(value, Duration):
        zero = value.nanos == 0
    elif isinstance(value, Timestamp):
        zero = value == _FIRST_INSTANT
    else:
        # Kubernetes' types and optionals have no zero here.
        zero = not value and not isinstance(value, Quantity)
    return NONE if zero else Optional(True, value)


def _value(optional: Optional) -> Value:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _unwrap(values: list[Value]) -> list[Value]:
    for value in values:
        if type(value) is not Optional:
            raise EvaluationError(f"value {show(value)} is not optional")
    return [value.value for value in values if value.present]


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "optional_of": lambda value: Optional(True, value),
    "optional_ofNonZeroValue": _of_non_zero,
    "optional_none": lambda: NONE,
    "optional_value": _value,
    "optional_hasValue": lambda optional: optional.present,
    "list_last": lambda values: Optional(True, values[-1]) if values else NONE,
    "list_first": lambda values: Optional(True, values[0]) if values else NONE,
    "optional_unwrap": _unwrap,
    "optional_unwrapOpt": _unwrap,
}
