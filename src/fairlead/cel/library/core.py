"""The standard library: operators, conversions, string tests, sizes, dates.

Mirrors cel-go ``common/stdlib/standard.go`` and ``common/types``: 64 bit arithmetic that fails on overflow,
division truncating toward zero, conversions that refuse what does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.library.regex import matches
from fairlead.cel.runtime import NO_OVERLOAD, compare, contains, format_double, size, type_name
from fairlead.cel.temporal import SECOND, Duration, Timestamp, days_from_civil
from fairlead.cel.values import TypeValue, Uint, Value, from_key, to_key

_ORDERED: Final = (
    ("bool", "bool", "bool"),
    ("int64", "int", "int"),
    ("int64_double", "int", "double"),
    ("int64_uint64", "int", "uint"),
    ("uint64", "uint", "uint"),
    ("uint64_double", "uint", "double"),
    ("uint64_int64", "uint", "int"),
    ("double", "double", "double"),
    ("double_int64", "double", "int"),
    ("double_uint64", "double", "uint"),
    ("string", "string", "string"),
    ("bytes", "bytes", "bytes"),
    ("timestamp", "timestamp", "timestamp"),
    ("duration", "duration", "duration"),
)
_COMPARISONS: Final = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}
_DATE_PARTS: Final = (
    ("getFullYear", "year"),
    ("getMonth", "month"),
    ("getDayOfYear", "day_of_year"),
    ("getDayOfMonth", "day_of_month"),
    ("getDate", "day_of_month_1_based"),
    ("getDayOfWeek", "day_of_week"),
    ("getHours", "hours"),
    ("getMinutes", "minutes"),
    ("getSeconds", "seconds"),
    ("getMilliseconds", "milliseconds"),
)

TABLE: Final = "\n".join(
    [
        """
        _?_:_ conditional (bool, A, A) -> A
        _&&_ logical_and (bool, bool) -> bool
        _||_ logical_or (bool, bool) -> bool
        !_ logical_not (bool) -> bool
        @not_strictly_false not_strictly_false (bool) -> bool
        _==_ equals (A, A) -> bool
        _!=_ not_equals (A, A) -> bool
        _+_ add_bytes (bytes, bytes) -> bytes
        _+_ add_double (double, double) -> double
        _+_ add_duration_duration (duration, duration) -> duration
        _+_ add_duration_timestamp (duration, timestamp) -> timestamp
        _+_ add_timestamp_duration (timestamp, duration) -> timestamp
        _+_ add_int64 (int, int) -> int
        _+_ add_list (list(A), list(A)) -> list(A)
        _+_ add_string (string, string) -> string
        _+_ add_uint64 (uint, uint) -> uint
        _/_ divide_double (double, double) -> double
        _/_ divide_int64 (int, int) -> int
        _/_ divide_uint64 (uint, uint) -> uint
        _%_ modulo_int64 (int, int) -> int
        _%_ modulo_uint64 (uint, uint) -> uint
        _*_ multiply_double (double, double) -> double
        _*_ multiply_int64 (int, int) -> int
        _*_ multiply_uint64 (uint, uint) -> uint
        -_ negate_double (double) -> double
        -_ negate_int64 (int) -> int
        _-_ subtract_double (double, double) -> double
        _-_ subtract_duration_duration (duration, duration) -> duration
        _-_ subtract_int64 (int, int) -> int
        _-_ subtract_timestamp_duration (timestamp, duration) -> timestamp
        _-_ subtract_timestamp_timestamp (timestamp, timestamp) -> duration
        _-_ subtract_uint64 (uint, uint) -> uint
        _[_] index_list (list(A), int) -> A
        _[_] index_map (map(A, B), A) -> B
        @in in_list (A, list(A)) -> bool
        @in in_map (A, map(A, B)) -> bool
        size size_bytes (bytes) -> int
        size bytes_size bytes.() -> int
        size size_list (list(A)) -> int
        size list_size list(A).() -> int
        size size_map (map(A, B)) -> int
        size map_size map(A, B).() -> int
        size size_string (string) -> int
        size string_size string.() -> int
        type type (A) -> type(A)
        bool bool_to_bool (bool) -> bool
        bool string_to_bool (string) -> bool
        bytes bytes_to_bytes (bytes) -> bytes
        bytes string_to_bytes (string) -> bytes
        double double_to_double (double) -> double
        double int64_to_double (int) -> double
        double string_to_double (string) -> double
        double uint64_to_double (uint) -> double
        duration duration_to_duration (duration) -> duration
        duration string_to_duration (string) -> duration
        dyn to_dyn (A) -> dyn
        int int64_to_int64 (int) -> int
        int double_to_int64 (double) -> int
        int duration_to_int64 (duration) -> int
        int string_to_int64 (string) -> int
        int timestamp_to_int64 (timestamp) -> int
        int uint64_to_int64 (uint) -> int
        string string_to_string (string) -> string
        string bool_to_string (bool) -> string
        string bytes_to_string (bytes) -> string
        string double_to_string (double) -> string
        string duration_to_string (duration) -> string
        string int64_to_string (int) -> string
        string timestamp_to_string (timestamp) -> string
        string uint64_to_string (uint) -> string
        timestamp timestamp_to_timestamp (timestamp) -> timestamp
        timestamp int64_to_timestamp (int) -> timestamp
        timestamp string_to_timestamp (string) -> timestamp
        uint uint64_to_uint64 (uint) -> uint
        uint double_to_uint64 (double) -> uint
        uint int64_to_uint64 (int) -> uint
        uint string_to_uint64 (string) -> uint
        contains contains_string string.(string) -> bool
        endsWith ends_with_string string.(string) -> bool
        startsWith starts_with_string string.(string) -> bool
        matches matches (string, string) -> bool
        matches matches_string string.(string) -> bool
        getHours duration_to_hours duration.() -> int
        getMinutes duration_to_minutes duration.() -> int
        getSeconds duration_to_seconds duration.() -> int
        getMilliseconds duration_to_milliseconds duration.() -> int
        cel.@mapInsert @mapInsert_map_key_value (map(K, V), K, V) -> map(K, V)
        cel.@mapInsert @mapInsert_map_map (map(K, V), map(K, V)) -> map(K, V)
        """.strip(),
        *(
            f"{operator} {name}_{suffix} ({left}, {right}) -> bool"
            for operator, name in _COMPARISONS.items()
            for suffix, left, right in _ORDERED
        ),
        *(f"{function} timestamp_to_{part} timestamp.() -> int" for function, part in _DATE_PARTS),
        *(f"{function} timestamp_to_{part}_with_tz timestamp.(string) -> int" for function, part in _DATE_PARTS),
    ]
)

_MAX_INT: Final = 2**63 - 1
_MIN_INT: Final = -(2**63)
_MAX_UINT: Final = 2**64 - 1
_OVERFLOW: Final = "integer overflow"
_UINT_OVERFLOW: Final = "unsigned integer overflow"


def to_int(value: int) -> int:
    if _MIN_INT <= value <= _MAX_INT:
        return value
    raise EvaluationError(_OVERFLOW)


def to_uint(value: int) -> Uint:
    if 0 <= value <= _MAX_UINT:
        return Uint(value)
    raise EvaluationError(_UINT_OVERFLOW)


def _truncated(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _divide_int(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    return to_int(_truncated(left, right))


def _modulo_int(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    if left == _MIN_INT and right == -1:
        raise EvaluationError(_OVERFLOW)
    return left - right * _truncated(left, right)


def _divide_uint(left: int, right: int) -> Uint:
    if right == 0:
        raise EvaluationError("division by zero")
    return Uint(left // right)


def _modulo_uint(left: int, right: int) -> Uint:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return Uint(left % right)


def _divide_double(left: float, right: float) -> float:
    if right == 0:
        if left == 0 or math.isnan(left):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return left / right


def _multiply_double(left: float, right: float) -> float:
    return left * right


def _conversion_error(value: Value, target: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{type_name(value)}' to '{target}'")


def _string_to_bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "T", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "F", "0"):
        return False
    raise _conversion_error(text, "bool")


def _bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _string_to_double(text: str) -> float:
    # Python also reads spaces; Go also reads hexadecimal floats, which nobody writes here.
    try:
        value = float(text) if text == text.strip() else math.nan
    except ValueError:
        raise _conversion_error(text, "double") from None
    infinite = math.isinf(value) and text.lower().lstrip("+-") not in ("inf", "infinity")
    if infinite or text != text.strip():
        raise _conversion_error(text, "double")
    return value


def _string_to_int(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdigit() and len(digits) < 4000 and _MIN_INT <= int(text) <= _MAX_INT:
        return int(text)
    raise _conversion_error(text, "int")


def _string_to_uint(text: str) -> Uint:
    if text.isascii() and text.isdigit() and len(text) < 4000 and int(text) <= _MAX_UINT:
        return Uint(text)
    raise _conversion_error(text, "uint")


def _double_to_int(value: float) -> int:
    # The ends of the range are left out: as doubles they may already have been rounded.
    if math.isnan(value) or not -(2.0**63) < value < 2.0**63:
        raise EvaluationError(_OVERFLOW)
    return int(value)


def _double_to_uint(value: float) -> Uint:
    if math.isnan(value) or not 0 <= value < 2.0**64:
        raise EvaluationError(_UINT_OVERFLOW)
    return Uint(value)


def _string_to_duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError:
        raise _conversion_error(text, "google.protobuf.Duration") from None


def _string_to_timestamp(text: str) -> Timestamp:
    try:
        return Timestamp.parse(text)
    except ValueError:
        raise _conversion_error(text, "google.protobuf.Timestamp") from None


def _identity(value: Value) -> Value:
    return value


def not_(value: Value) -> bool:
    if value is True:
        return False
    if value is False:
        return True
    raise EvaluationError(NO_OVERLOAD)


def _starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def _ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def _contains(text: str, part: str) -> bool:
    return part in text


def _type_of(value: Value) -> TypeValue:
    return TypeValue(type_name(value))


def _map_insert(mapping: dict[Value, Value], key: Value, value: Value) -> dict[Value, Value]:
    stored = to_key(key)
    if stored in mapping:
        raise EvaluationError(f"insert failed: key {_shown(key)} already exists")
    return {**mapping, stored: value}


def _map_insert_map(mapping: dict[Value, Value], other: dict[Value, Value]) -> dict[Value, Value]:
    for key in other:
        if key in mapping:
            raise EvaluationError(f"insert failed: key {_shown(from_key(key))} already exists")
    return {**mapping, **other}


def _shown(key: Value) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _date_part(part: str) -> Callable[..., int]:
    def get(timestamp: Timestamp, zone: str | None = None) -> int:
        days, seconds, year, month = timestamp.fields(zone)
        match part:
            case "year":
                return year
            case "month":
                return month - 1
            case "day_of_year":
                return days - days_from_civil(year, 1, 1)
            case "day_of_month":
                return days - days_from_civil(year, month, 1)
            case "day_of_month_1_based":
                return days - days_from_civil(year, month, 1) + 1
            case "day_of_week":
                return (days + 4) % 7
            case "hours":
                return seconds // 3600
            case "minutes":
                return seconds // 60 % 60
            case "seconds":
                return seconds % 60
        return timestamp.nanos % SECOND // 10**6

    return get


def _whole(unit: int) -> Callable[[Duration], int]:
    def get(duration: Duration) -> int:
        return _truncated(duration.nanos, unit)

    return get


def _comparison(operator: str) -> Callable[[Value, Value], bool]:
    match operator:
        case "_<_":
            return lambda left, right: compare(left, right) < 0
        case "_<=_":
            return lambda left, right: compare(left, right) <= 0
        case "_>_":
            return lambda left, right: compare(left, right) > 0
    return lambda left, right: compare(left, right) >= 0


COMPARISONS: Final = {operator: _comparison(operator) for operator in _COMPARISONS}

IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "logical_not": not_,
    "add_bytes": lambda a, b: a + b,
    "add_double": lambda a, b: a + b,
    "add_duration_duration": lambda a, b: Duration(a.nanos + b.nanos),
    "add_duration_timestamp": lambda a, b: Timestamp(a.nanos + b.nanos, b.offset),
    "add_timestamp_duration": lambda a, b: Timestamp(a.nanos + b.nanos, a.offset),
    "add_int64": lambda a, b: to_int(a + b),
    "add_list": lambda a, b: [*a, *b],
    "add_string": lambda a, b: a + b,
    "add_uint64": lambda a, b: to_uint(int(a) + int(b)),
    "divide_double": _divide_double,
    "divide_int64": _divide_int,
    "divide_uint64": _divide_uint,
    "modulo_int64": _modulo_int,
    "modulo_uint64": _modulo_uint,
    "multiply_double": _multiply_double,
    "multiply_int64": lambda a, b: to_int(a * b),
    "multiply_uint64": lambda a, b: to_uint(int(a) * int(b)),
    "negate_double": lambda a: -a,
    "negate_int64": lambda a: to_int(-a),
    "subtract_double": lambda a, b: a - b,
    "subtract_duration_duration": lambda a, b: Duration(a.nanos - b.nanos),
    "subtract_int64": lambda a, b: to_int(a - b),
    "subtract_timestamp_duration": lambda a, b: Timestamp(a.nanos - b.nanos, a.offset),
    "subtract_timestamp_timestamp": lambda a, b: Duration(a.nanos - b.nanos),
    "subtract_uint64": lambda a, b: to_uint(int(a) - int(b)),
    "in_list": lambda item, collection: contains(collection, item),
    "in_map": lambda item, collection: contains(collection, item),
    **dict.fromkeys(
        (
            "size_bytes",
            "bytes_size",
            "size_list",
            "list_size",
            "size_map",
            "map_size",
            "size_string",
            "string_size",
        ),
        size,
    ),
    "type": _type_of,
    "to_dyn": _identity,
    **dict.fromkeys(
        (
            "bool_to_bool",
            "bytes_to_bytes",
            "double_to_double",
            "duration_to_duration",
            "int64_to_int64",
            "string_to_string",
            "timestamp_to_timestamp",
            "uint64_to_uint64",
        ),
        _identity,
    ),
    "string_to_bool": _string_to_bool,
    "string_to_bytes": lambda text: text.encode(),
    "int64_to_double": float,
    "string_to_double": _string_to_double,
    "uint64_to_double": float,
    "string_to_duration": _string_to_duration,
    "double_to_int64": _double_to_int,
    "duration_to_int64": lambda duration: duration.nanos,
    "string_to_int64": _string_to_int,
    "timestamp_to_int64": lambda timestamp: timestamp.nanos // SECOND,
    "uint64_to_int64": lambda value: to_int(int(value)),
    "bool_to_string": lambda value: "true" if value else "false",
    "bytes_to_string": _bytes_to_string,
    "double_to_string": format_double,
    "duration_to_string": str,
    "int64_to_string": str,
    "timestamp_to_string": str,
    "uint64_to_string": lambda value: str(int(value)),
    "int64_to_timestamp": lambda seconds: Timestamp(seconds * SECOND),
    "string_to_timestamp": _string_to_timestamp,
    "double_to_uint64": _double_to_uint,
    "int64_to_uint64": lambda value: to_uint(value),
    "string_to_uint64": _string_to_uint,
    "contains_string": _contains,
    "ends_with_string": _ends_with,
    "starts_with_string": _starts_with,
    "matches": matches,
    "matches_string": matches,
    "duration_to_hours": _whole(3600 * SECOND),
    "duration_to_minutes": _whole(60 * SECOND),
    "duration_to_seconds": _whole(SECOND),
    "duration_to_milliseconds": _whole(10**6),
    "@mapInsert_map_key_value": _map_insert,
    "@mapInsert_map_map": _map_insert_map,
    **{f"{_COMPARISONS[op]}_{suffix}": COMPARISONS[op] for op in _COMPARISONS for suffix, _, _ in _ORDERED},
    **{f"timestamp_to_{part}": _date_part(part) for _, part in _DATE_PARTS},
    **{f"timestamp_to_{part}_with_tz": _date_part(part) for _, part in _DATE_PARTS},
}
