"""Run-time values of CEL as Python objects.

=========  ==========================================  =========  =======================================
CEL        Python                                      CEL        Python
=========  ==========================================  =========  =======================================
bool       bool                                        list       list, tuple for device attributes
int        int                                         map        dict; bool keys as ``TRUE_KEY, FALSE_KEY``
uint       Uint (an int)                               null_type  None
double     float                                       type       TypeValue
string     str                                         optional   Optional
bytes      bytes                                       others     Timestamp, Duration, Quantity, Semver, ...
=========  ==========================================  =========  =======================================

Invariants: the exact class of a value decides its CEL type, so ``True`` never passes for ``1``; an error is a
value too (``Failure``), since ``&&``, ``||`` and comprehensions can absorb it; values are never changed.
"""

from __future__ import annotations

from typing import Any, Final, final

Value = Any


@final
class Failure:
    """An evaluation error as a value."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message

    def __repr__(self) -> str:
        return f"Failure({self.message!r})"


@final
class Uint(int):
    """A uint; arithmetic on it yields plain ints, so results are wrapped again."""

    __slots__ = ()


@final
class TypeValue:
    """A type as a value: what ``type(x)`` returns."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@final
class Optional:
    """optional.of(value), or optional.none() (the only instance without a value)."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Value = None) -> None:
        self.present = present
        self.value = value


NONE: Final = Optional(False)


@final
class _BoolKey:
    """A bool as a map key: Python's ``True`` would be the same key as ``1``."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY: Final = _BoolKey(True)
FALSE_KEY: Final = _BoolKey(False)


def to_key(value: Value) -> Value:
    """The dictionary key for a CEL map key."""
    if value is True:
        return TRUE_KEY
    return FALSE_KEY if value is False else value


def from_key(key: Value) -> Value:
    return key.value if type(key) is _BoolKey else key


KEY_TYPES: Final = frozenset({bool, int, Uint, float, str})


class DefaultMap(dict[str, Value]):
    """The attributes or capacities by domain: a lookup of an unknown domain yields an empty map, while
    membership, size and iteration know only the domains that are there."""

    __slots__ = ()

    def __missing__(self, key: str) -> Value:
        return EMPTY_MAP


EMPTY_MAP: Final[dict[str, Value]] = {}
