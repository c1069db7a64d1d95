"""What every evaluation needs: the type of a value, equality, order, lookups.

Mirrors cel-go ``common/types``: equality never fails for standard types and compares numbers across types, ints and
doubles by converting to double; Kubernetes' own types refuse to be compared with anything else. Errors are raised
here as ``EvaluationError``; the planner turns them into values where CEL may absorb them.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.temporal import Duration, Timestamp
from fairlead.cel.values import (
    DefaultMap,
    Optional,
    TypeValue,
    Uint,
    Value,
    from_key,
    to_key,
)
from fairlead.resource.quantity import Quantity
from fairlead.resource.semver import Semver

# Run-time type names, and the Go names that the text of one error shows. Libraries add their own types.
TYPE_NAMES: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null_type",
    list: "list",
    tuple: "list",
    dict: "map",
    DefaultMap: "map",
    TypeValue: "type",
    Optional: "optional_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Quantity: "kubernetes.Quantity",
    Semver: "kubernetes.Semver",
}
GO_NAMES: Final[dict[type, str]] = {
    bool: "types.Bool",
    int: "types.Int",
    Uint: "types.Uint",
    float: "types.Double",
    str: "types.String",
    bytes: "types.Bytes",
    type(None): "types.Null",
    TypeValue: "*types.Type",
    Optional: "*types.Optional",
    Timestamp: "types.Timestamp",
    Duration: "types.Duration",
    Quantity: "cel.Quantity",
    Semver: "cel.Semver",
}
# Types whose equality with another type is an error instead of false.
STRICT_EQUALITY: Final[set[type]] = {Quantity, Semver}

_NUMBERS: Final = frozenset({int, Uint, float})
_ORDERED: Final = frozenset({bool, int, Uint, float, str, bytes, Timestamp, Duration})
_MAX_INT: Final = 2**63 - 1

NO_OVERLOAD: Final = "no such overload"
KEY_ERROR: Final = "unsupported key type"


def type_name(value: Value) -> str:
    return TYPE_NAMES[type(value)]


def no_overload(function: str, *args: Value) -> EvaluationError:
    return EvaluationError(f"{NO_OVERLOAD}: {function}({', '.join(map(type_name, args))})")


def equal(left: Value, right: Value) -> bool:
    """``left == right``; EvaluationError where the type of ``left`` knows no equality with ``right``."""
    kind, other = type(left), type(right)
    if kind is other:
        if kind is list or kind is tuple:
            return _equal_lists(left, right)
        if kind is dict or kind is DefaultMap:
            return _equal_maps(left, right)
        if kind is Optional:
            return _equal_optionals(left, right)
        return bool(left == right)
    if kind in _NUMBERS and other in _NUMBERS:
        # As cel-go: an int meets a double as a double.
        if kind is float or other is float:
            return float(left) == float(right)
        return bool(left == right)
    if left is None or right is None:
        return False
    if kind in STRICT_EQUALITY:
        raise EvaluationError(NO_OVERLOAD)
    names = TYPE_NAMES[kind], TYPE_NAMES[other]
    if names == ("list", "list"):
        return _equal_lists(left, right)
    return names == ("map", "map") and _equal_maps(left, right)


def not_equal(left: Value, right: Value) -> bool:
    return not same(left, right)


def same(left: Value, right: Value) -> bool:
    """Equality where types that cannot be compared are simply different."""
    try:
        return equal(left, right)
    except EvaluationError:
        return False


def _equal_lists(left: Value, right: Value) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def _equal_maps(left: Value, right: Value) -> bool:
    return len(left) == len(right) and all(key in right and same(value, right[key]) for key, value in left.items())


def _equal_optionals(left: Optional, right: Optional) -> bool:
    return left.present == right.present and (not left.present or equal(left.value, right.value))


def compare(left: Value, right: Value) -> int:
    """-1, 0 or 1; EvaluationError for types without a common order."""
    kind, other = type(left), type(right)
    if kind is not other:
        if kind not in _NUMBERS or other not in _NUMBERS:
            raise EvaluationError(NO_OVERLOAD)
        if kind is float or other is float:
            left, right = float(left), float(right)
    elif kind not in _ORDERED:
        raise EvaluationError(NO_OVERLOAD)
    if (kind is float or other is float) and (math.isnan(left) or math.isnan(right)):
        raise EvaluationError("NaN values cannot be ordered")
    return int(left > right) - int(left < right)


def contains(collection: Value, item: Value) -> bool:
    """``item in collection``."""
    kind = TYPE_NAMES[type(collection)]
    if kind == "list":
        return any(same(element, item) for element in collection)
    if kind == "map":
        return has_key(collection, item)
    raise EvaluationError(NO_OVERLOAD)


def has_key(mapping: Value, key: Value) -> bool:
    try:
        return to_key(key) in mapping
    except TypeError:
        return False


def lookup(container: Value, key: Value) -> Value:
    """``container[key]`` or ``container.key``; EvaluationError when there is no such element."""
    found, value = find(container, key)
    if found:
        return value
    if TYPE_NAMES[type(container)] == "list":
        raise EvaluationError(f"index out of bounds: {show(key)}")
    raise EvaluationError(f"no such key: {show(key)}")


def find(container: Value, key: Value) -> tuple[bool, Value]:
    """Whether there is such an element, and it."""
    kind = type(container)
    if kind is dict:
        key = to_key(key)
        try:
            return (True, container[key]) if key in container else (False, None)
        except TypeError:
            return False, None
    if kind is DefaultMap:
        # The default makes every domain present to lookups.
        return True, container[key]
    if kind is list or kind is tuple:
        index = _index(key)
        return (True, container[index]) if 0 <= index < len(container) else (False, None)
    return False, None


def _index(key: Value) -> int:
    kind = type(key)
    if kind is int:
        return int(key)
    if kind is Uint:
        if key <= _MAX_INT:
            return int(key)
    elif kind is float:
        if key.is_integer():
            return int(key)
    else:
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    raise EvaluationError(f"unsupported index value {show(key)} in list")


def iterate(value: Value) -> list[Value] | tuple[Value, ...]:
    """The elements of a list or the keys of a map."""
    kind = TYPE_NAMES[type(value)]
    if kind == "list":
        return value  # type: ignore[no-any-return]
    if kind == "map":
        return [from_key(key) for key in value]
    raise EvaluationError(f"got '{GO_NAMES[type(value)]}', expected iterable type")


def iterate_pairs(value: Value) -> list[tuple[Value, Value]]:
    """Index and element of a list, or key and value of a map."""
    kind = TYPE_NAMES[type(value)]
    if kind == "list":
        return list(enumerate(value))
    if kind == "map":
        return [(from_key(key), item) for key, item in value.items()]
    raise EvaluationError(f"unsupported comprehension range type: {GO_NAMES[type(value)]}")


def size(value: Value) -> int:
    """What ``size()`` returns, and what costs count: 1 for values without a size."""
    kind = type(value)
    if kind is str or kind is bytes or kind is list or kind is tuple or kind is dict or kind is DefaultMap:
        return len(value)
    return 1


def show(value: Value) -> str:
    """A value inside an error text."""
    if value is True or value is False:
        return str(value).lower()
    if type(value) is float:
        return format_double(value, exponent_from=21)
    return str(value)


def format_double(value: float, exponent_from: int = 6) -> str:
    """The shortest text that reads back, with an exponent below -4 and from ``exponent_from`` on."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    power = len(text) - 1 + int(exponent) if value else 0
    if not -4 <= power < exponent_from:
        mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
        return f"{sign}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"
    return sign + f"{Decimal(repr(abs(value))):f}".removesuffix(".0")
