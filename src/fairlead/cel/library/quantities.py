"""Quantities and semantic versions in expressions.

Mirrors ``k8s.io/apiserver/pkg/cel/library/{quantity,semverlib}.go``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.values import Value
from fairlead.resource.quantity import Quantity
from fairlead.resource.semver import Semver

TABLE: Final = """
    quantity string_to_quantity (string) -> quantity
    isQuantity is_quantity_string (string) -> bool
    sign quantity_sign (quantity) -> int
    isGreaterThan quantity_is_greater_than quantity.(quantity) -> bool
    isLessThan quantity_is_less_than quantity.(quantity) -> bool
    compareTo quantity_compare_to quantity.(quantity) -> int
    asApproximateFloat quantity_get_float quantity.() -> double
    asInteger quantity_get_int quantity.() -> int
    isInteger quantity_is_integer quantity.() -> bool
    add quantity_add quantity.(quantity) -> quantity
    add quantity_add_int quantity.(int) -> quantity
    sub quantity_sub quantity.(quantity) -> quantity
    sub quantity_sub_int quantity.(int) -> quantity
    semver string_to_semver (string) -> semver
    semver string_bool_to_semver (string, bool) -> semver
    isSemver is_semver_string (string) -> bool
    isSemver is_semver_string_bool (string, bool) -> bool
    isGreaterThan semver_is_greater_than semver.(semver) -> bool
    isLessThan semver_is_less_than semver.(semver) -> bool
    compareTo semver_compare_to semver.(semver) -> int
    major semver_major semver.() -> int
    minor semver_minor semver.() -> int
    patch semver_patch semver.() -> int
"""


def _quantity(text: str) -> Quantity:
    try:
        return Quantity.parse(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        Quantity.parse(text)
    except ValueError:
        return False
    return True


def _as_integer(quantity: Quantity) -> int:
    if not quantity.is_integer:
        raise EvaluationError("cannot convert value to integer")
    return quantity.value()


def _semver(text: str, normalize: bool = False) -> Semver:
    try:
        return Semver.parse(text, normalize)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        Semver.parse(text, normalize)
    except ValueError:
        return False
    return True


def _int64(value: int) -> int:
    """The bits of a uint64 read as an int64."""
    return value - 2**64 if value >= 2**63 else value


def _number(value: int) -> Quantity:
    return Quantity.from_int(value, "DecimalExponent")


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "string_to_quantity": _quantity,
    "is_quantity_string": _is_quantity,
    "quantity_sign": lambda quantity: quantity.sign,
    "quantity_is_greater_than": lambda left, right: left.nano > right.nano,
    "quantity_is_less_than": lambda left, right: left.nano < right.nano,
    "quantity_compare_to": lambda left, right: (left.nano > right.nano) - (left.nano < right.nano),
    "quantity_get_float": lambda quantity: quantity.as_approximate_float(),
    "quantity_get_int": _as_integer,
    "quantity_is_integer": lambda quantity: quantity.is_integer,
    "quantity_add": lambda left, right: left + right,
    "quantity_add_int": lambda left, right: left + _number(right),
    "quantity_sub": lambda left, right: left - right,
    "quantity_sub_int": lambda left, right: left - _number(right),
    "string_to_semver": _semver,
    "string_bool_to_semver": _semver,
    "is_semver_string": _is_semver,
    "is_semver_string_bool": _is_semver,
    "semver_is_greater_than": lambda left, right: left.key > right.key,
    "semver_is_less_than": lambda left, right: left.key < right.key,
    "semver_compare_to": lambda left, right: left.compare(right),
    "semver_major": lambda version: _int64(version.major),
    "semver_minor": lambda version: _int64(version.minor),
    "semver_patch": lambda version: _int64(version.patch),
}
