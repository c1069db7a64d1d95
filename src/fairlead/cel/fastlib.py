"""What generated code calls: small functions that raise as soon as something is not as plain code expects.

Which exception they raise does not matter, since the exact form takes over on any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fairlead.cel.library.core import COMPARISONS, to_int
from fairlead.cel.library.lists import includes
from fairlead.cel.runtime import contains, equal, find, iterate, iterate_pairs, lookup, not_equal
from fairlead.cel.values import NONE, Optional, Value, to_key


def as_bool(value: Value) -> bool:
    if value is True or value is False:
        return value
    raise TypeError


def as_string(value: Value) -> str:
    if type(value) is str:
        return value
    raise TypeError


def has_field(container: Value, key: str) -> bool:
    return find(container, key)[0]


def optional_lookup(container: Value, key: Value) -> Optional:
    """``container.?key``, where the container may be an optional already."""
    if type(container) is Optional:
        if not container.present:
            return NONE
        container = container.value
    present, value = find(container, key)
    return Optional(True, value) if present else NONE


def optional_or(optional: Value, alternative: Callable[[], Value], unwrap: bool) -> Value:
    if type(optional) is not Optional:
        raise TypeError
    if optional.present:
        return optional.value if unwrap else optional
    return alternative()


NAMESPACE: Final[dict[str, Value]] = {
    "as_bool": as_bool,
    "as_string": as_string,
    "contains": contains,
    "equal": equal,
    "has_field": has_field,
    "includes": includes,
    "iterate": iterate,
    "iterate_pairs": iterate_pairs,
    "lookup": lookup,
    "not_equal": not_equal,
    "optional_lookup": optional_lookup,
    "optional_or": optional_or,
    "to_int": to_int,
    "to_key": to_key,
    "less": COMPARISONS["_<_"],
    "less_equals": COMPARISONS["_<=_"],
    "greater": COMPARISONS["_>_"],
    "greater_equals": COMPARISONS["_>=_"],
    # All that generated code may use of Python itself.
    "__builtins__": {"all": all, "any": any, "len": len, "sum": sum, "bool": bool, "int": int, "str": str},
}
