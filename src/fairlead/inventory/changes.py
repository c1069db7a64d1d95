"""What changed, for whoever asks later: names in the order in which they changed, read from a mark on.

Several readers follow one list, each with its own mark, so nobody has to be told and nothing is looked at before it is
asked for. Only so many names are kept; who has not read for longer is told that anything may have changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_KEPT: Final = 100_000


class Changes:
    """Names, each as often as it changed."""

    __slots__ = ("_forgotten", "_names")

    def __init__(self) -> None:
        self._names: list[str] = []
        self._forgotten = 0
        """How many changes are not kept any more."""

    @property
    def mark(self) -> int:
        """What `since` is to be asked with to learn of later changes."""
        return self._forgotten + len(self._names)

    def note(self, names: Iterable[str]) -> None:
        """Takes note of changes."""
        self._names.extend(names)
        if len(self._names) > _KEPT:
            self._forgotten += len(self._names)
            self._names.clear()

    def note_everything(self) -> None:
        """Takes note that anything may have changed."""
        # One more than all that was noted, so that whoever asks from before is told so.
        self._forgotten += len(self._names) + 1
        self._names.clear()

    def since(self, mark: int) -> list[str] | None:
        """The names that changed after a mark, perhaps several times each; None where any name may have."""
        return None if mark < self._forgotten else self._names[mark - self._forgotten :]
