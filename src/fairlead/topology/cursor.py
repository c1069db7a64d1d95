"""Strict reading of a plain value: each step knows its field path, and what is wrong is named there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class RulesError(ValueError):
    """A data file of rules cannot be used: where it came from, the field and the reason."""

    def __init__(self, origin: str, field: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (origin, field, reason) if part))
        self.origin = origin
        self.field = field
        self.reason = reason


class Cursor:
    """One value of the file, with its path."""

    __slots__ = ("origin", "path", "value")

    def __init__(self, value: Any, origin: str, path: str = "") -> None:
        self.value = value
        self.origin = origin
        self.path = path

    def error(self, reason: str) -> RulesError:
        return RulesError(self.origin, self.path, reason)

    def keys(self, allowed: Collection[str]) -> None:
        """Refuses keys that are not known here."""
        for key in self._mapping():
            if key not in allowed:
                raise RulesError(self.origin, self._below(key), f"unknown field, known are {', '.join(allowed)}")

    def get(self, key: str) -> Cursor | None:
        """A member, None where it is absent."""
        value = self._mapping().get(key)
        return None if value is None else Cursor(value, self.origin, self._below(key))

    def need(self, key: str) -> Cursor:
        """A member that must be there."""
        found = self.get(key)
        if found is None:
            raise RulesError(self.origin, self._below(key), "required value")
        return found

    def read(self, key: str, how: Callable[[Cursor], T], default: T) -> T:
        """A member as a value, or the default where it is absent."""
        found = self.get(key)
        return default if found is None else how(found)

    def items(self) -> Iterator[tuple[str, Cursor]]:
        """The members of a mapping."""
        for key, value in self._mapping().items():
            yield str(key), Cursor(value, self.origin, self._below(key))

    def entries(self) -> Iterator[Cursor]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self.error("must be a list")
        for index, value in enumerate(self.value):
            yield Cursor(value, self.origin, f"{self.path}[{index}]")

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value:
            raise self.error("must be a text that is not empty")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(entry.text() for entry in self.entries())

    def choice(self, allowed: Collection[str]) -> str:
        text = self.text()
        if text not in allowed:
            raise self.error(f'"{text}" is not one of {", ".join(allowed)}')
        return text

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.error("must be true or false")
        return self.value

    def whole(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < 0:
            raise self.error("must be a whole number, zero or more")
        return self.value

    def number(self, least: float, most: float = math.inf, *, above: bool = False) -> float:
        """A finite number from `least` to `most`; `above` excludes `least` itself."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error("must be a number")
        if value < least or value > most or (above and value == least):
            upper = "" if most == math.inf else f" and at most {most:g}"
            raise self.error(f"must be {'more than' if above else 'at least'} {least:g}{upper}")
        return float(value)

    def pattern(self) -> re.Pattern[str]:
        try:
            return re.compile(self.text())
        except re.error as error:
            raise self.error(f"is no regular expression: {error}") from None

    def _mapping(self) -> dict[Any, Any]:
        if not isinstance(self.value, dict):
            raise self.error("must be a mapping")
        return self.value

    def _below(self, key: object) -> str:
        return f"{self.path}.{key}" if self.path else str(key)
