"""The greatest flow through a small graph of limited ways (Edmonds and Karp)."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

_CRUMB: Final = 1e-6
"""Rounding can leave crumbs of capacity; so little is none."""


class Flow:
    """A graph that is filled with `add` and asked once."""

    def __init__(self) -> None:
        self._left: dict[Hashable, dict[Hashable, float]] = {}

    def add(self, start: Hashable, end: Hashable, capacity: float) -> None:
        """A way of this capacity; given again, the wider counts."""
        ways = self._left.setdefault(start, {})
        ways[end] = max(ways.get(end, 0.0), capacity)
        self._left.setdefault(end, {}).setdefault(start, 0.0)

    def greatest(self, start: Hashable, end: Hashable) -> float:
        """The greatest flow; it uses up the graph. Some way on every path has to be finite."""
        total = 0.0
        while (path := self._path(start, end)) is not None:
            amount = min(self._left[a][b] for a, b in path)
            for a, b in path:
                self._left[a][b] -= amount
                self._left[b][a] += amount
            total += amount
        return total

    def _path(self, start: Hashable, end: Hashable) -> list[tuple[Hashable, Hashable]] | None:
        before: dict[Hashable, Hashable] = {start: start}
        queue = deque([start])
        while queue:
            at = queue.popleft()
            for to, left in self._left.get(at, {}).items():
                if left > _CRUMB and to not in before:
                    before[to] = at
                    if to == end:
                        path = []
                        while to != start:
                            path.append((before[to], to))
                            to = before[to]
                        return path[::-1]
                    queue.append(to)
        return None
