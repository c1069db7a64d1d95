"""How few moves could be enough for a workload, and which sets of movers could be those.

Nodes have options (`removals`): so many pods after the removal of so many movers. Inside each domain that may hold the
workload, tables say the least number of removals for every rest of the workload and every rest of the nodes: dynamic
programming, exact for the relaxation. What a domain needs at least is a lower bound on all plans in it. Sets of movers
are listed with the tables, so no branch is followed that ends without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from fairlead.placement.defrag.removals import Option, Removals, Removed, Vector

_MOST_STEPS: Final = 200_000
"""Steps of one listing; the domains share them."""
_LEAST_STEPS: Final = 2_000
"""Steps that each domain has anyway."""

Need = tuple[int, ...]
"""What is still needed, by role; zero where there is more than enough."""


class Bound:
    """The relaxation of one workload on one state."""

    def __init__(self, removals: Removals, domains: Iterable[Iterable[str]]) -> None:
        """Makes the tables.

        Args:
            removals: the options of nodes.
            domains: the sets of nodes of which one has to hold the whole workload.
        """
        self._removals = removals
        self._need = removals.need
        self._domains = [domain for names in domains if (domain := _Domain(removals, names)).least is not None]
        self._domains.sort(key=lambda domain: domain.least or 0)

    @property
    def least(self) -> int | None:
        """No plan has fewer moves; None where not even the removal of all movers makes room."""
        return min((domain.least for domain in self._domains if domain.least is not None), default=None)

    def sets(self, size: int) -> Iterator[tuple[Removed, frozenset[str]]]:
        """Sets of so many movers that make room, each with the nodes on which they do."""
        steps = max(_LEAST_STEPS, _MOST_STEPS // max(1, len(self._domains)))
        for domain in self._domains:
            if domain.least is not None and domain.least <= size:
                yield from domain.sets(size, steps)

    def may_hold(self, removed: Removed) -> bool:
        """Whether these removals could be enough; always true for workloads of several roles."""
        if len(self._need) > 1:
            return True
        return any(
            sum(self._removals.most(name, removed) for name in domain.names) >= self._need[0]
            for domain in self._domains
        )


class _Domain:
    """Nodes that may hold the workload together."""

    def __init__(self, removals: Removals, names: Iterable[str]) -> None:
        need = removals.need
        found: Mapping[str, tuple[Option, ...]] = {
            name: options for name in names if (options := removals.options(name))
        }
        self.names = list(found)
        # A node with one option is no choice: it holds what it holds.
        fixed = [options[0].vector for options in found.values() if len(options) == 1]
        self._start = _rest(need, tuple(map(sum, zip(*fixed, strict=True)))) if fixed else need
        self._choices = [(name, options) for name, options in found.items() if len(options) > 1]
        # The listing begins with the last nodes: those whose movers should rather move than others.
        self._choices.sort(key=lambda choice: _preference(removals, choice[1]), reverse=True)
        self._tables = self._fill(self._start)
        self.least: int | None = self._tables[0].get(self._start) if self._choices or not any(self._start) else None

    def _fill(self, start: Need) -> list[dict[Need, int]]:
        """By node and rest: the least number of removals on it and the nodes after it; absent where there is none."""
        rests = list(product(*[range(count + 1) for count in start]))
        after: dict[Need, int] = {tuple(0 for _ in start): 0}
        tables = [after]
        for _, options in reversed(self._choices):
            here: dict[Need, int] = {}
            for rest in rests:
                best: int | None = None
                for option in options:
                    value = after.get(_rest(rest, option.vector))
                    if value is not None and (best is None or value + option.size < best):
                        best = value + option.size
                if best is not None:
                    here[rest] = best
            tables.append(here)
            after = here
        tables.reverse()
        return tables

    def sets(self, size: int, steps: int) -> Iterator[tuple[Removed, frozenset[str]]]:
        """Sets of so many movers that make room here, and where; as many as are found in so many steps."""
        none: tuple[Removed, ...] = ()
        stack: list[tuple[int, Need, int, tuple[Removed, ...], tuple[str, ...]]] = [(0, self._start, size, none, ())]
        while stack and steps:
            steps -= 1
            at, rest, left, chosen, nodes = stack.pop()
            if not any(rest) and not left:
                yield frozenset().union(*chosen), frozenset(nodes)
                continue
            if at == len(self._choices):
                continue
            name, options = self._choices[at]
            after = self._tables[at + 1]
            following = []
            for option in options:
                rest_after = _rest(rest, option.vector)
                least = after.get(rest_after)
                if least is None or least + option.size > left:
                    continue
                for removed in option.sets:
                    if least + len(removed) <= left:
                        where = (*nodes, name) if removed else nodes
                        kept = (*chosen, removed) if removed else chosen
                        following.append((at + 1, rest_after, left - len(removed), kept, where))
            stack.extend(reversed(following))


def _preference(removals: Removals, options: Sequence[Option]) -> tuple[list[int], list[str]]:
    """How much the movers of a node should rather stay: by priorities, and by workload to keep those together."""
    return removals.preference(next((one for option in options for one in option.sets if one), frozenset()))


def _rest(need: Sequence[int], vector: Vector) -> Need:
    return tuple([max(0, one - other) for one, other in zip(need, vector, strict=True)])
