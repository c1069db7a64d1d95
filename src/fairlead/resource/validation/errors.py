"""Collects what is wrong with one object, as pairs of field path and reason.

Paths are texts that are put together only when there is something to report: checking a slice of 128 devices that
are all right builds none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from fairlead.resource.problem import duplicate, too_many

T = TypeVar("T")


class Errors:
    """The problems of one object, in the order in which they were found."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, path: str, reason: str) -> None:
        """Notes that the field at `path` is wrong, and why."""
        self.found.append((path, reason))

    def limit(self, items: Sequence[object] | dict[str, object], most: int, path: str) -> bool:
        """Whether there are few enough items; too many are reported and not looked at, as the API server does."""
        if len(items) <= most:
            return True
        self.add(path, too_many(len(items), most))
        return False

    def unique(self, keys: Iterable[object], path: str) -> None:
        """Every key once; the second of two is the one that is reported."""
        seen = set()
        for index, key in enumerate(keys):
            if key in seen:
                self.add(f"{path}[{index}]", duplicate(key))
            seen.add(key)

    def each(self, items: Iterable[T], path: str, check: Callable[[Errors, T, str], None]) -> None:
        """Applies a check to every item of a list."""
        for index, item in enumerate(items):
            check(self, item, f"{path}[{index}]")
