"""The nodes of a site in the order of their score for each shape of pod, kept up to date.

A score depends on the pod's shape and on the state of its node, nothing else. So a placement changes the scores of one
node, and for each shape they are redone when that shape is next asked for: nodes that changed in between are scored
once, all others keep what they have. The order is a heap of entries of which some are outdated; an entry counts while
it is the node's own latest.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from fairlead.allocator import ClaimShape, Wanted
from fairlead.inventory import NodeView
from fairlead.placement.packing.fit import Fit, Option, parts_of
from fairlead.placement.packing.fragmentation import Fragmentation, Hardware
from fairlead.placement.packing.left import UNIT, Left, left_of
from fairlead.placement.packing.scoring import Outcome, Scoring
from fairlead.placement.site import Site

ShapeKey = tuple[int, int, tuple[ClaimShape, ...]]
"""CPU and memory in units of 10^-9, and the shapes of the claims that need devices."""

_Entry = tuple[float, int, int]
"""Score with the sign turned, number of the node, devices to give; heaps yield the least first."""

_ROWS_KEPT: Final = 1_000
"""Shapes of pods whose scores are kept."""
_CHANGES_KEPT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Scored:
    """A node for a pod with its score."""

    node: str
    within: int
    score: float
    outcome: Outcome


class _Row:
    """The scores for one shape of pod."""

    __slots__ = ("cpu", "entries", "fits", "heap", "known", "memory", "seen", "wanted")

    def __init__(self, cpu: int, memory: int, wanted: tuple[Wanted, ...], size: int) -> None:
        self.cpu = cpu
        self.memory = memory
        self.wanted = wanted
        self.entries: list[_Entry | None] = [None] * size
        self.heap: list[_Entry] = []
        self.fits: list[tuple[NodeView, Fit | None] | None] = [None] * size
        """By node, what the pod asks of it, for the view with which it was found."""
        self.known: dict[tuple[int, int], Fit | None] = {}
        """The same by problem and hardware."""
        self.seen = -1
        """How many changes it has taken note of; -1 before the first."""

    def first(self) -> _Entry | None:
        """The entry with the best score."""
        heap, entries = self.heap, self.entries
        while heap:
            if entries[heap[0][1]] is heap[0]:
                return heap[0]
            heapq.heappop(heap)
        return None


class Ranks:
    """The order of all nodes for any pod, for one policy."""

    def __init__(self, site: Site, scoring: Scoring, fragmentation: Fragmentation, order: Sequence[str]) -> None:
        """Looks at every node once.

        Args:
            site: the cluster.
            scoring: what the order is by.
            fragmentation: the measure with its typical shapes.
            order: all nodes of the site, first those that are preferred where scores are equal.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        self._site = site
        self._scoring = scoring
        self._fragmentation = fragmentation
        self._names = list(order)
        self._number = {name: number for number, name in enumerate(self._names)}
        self._views: list[NodeView] = [site.view(name) for name in self._names]
        self._hardware = [fragmentation.hardware(view) for view in self._views]
        self._left = [self._look(number) for number in range(len(self._names))]
        self._rows: dict[ShapeKey, _Row] = {}
        self._changed: list[int] = []
        """Numbers of nodes, each time that one has changed."""
        self._moved = site.moved.mark
        self._mark, _ = site.inventory.changes(0)
        self._sizes = [self._size(number) for number in range(len(self._names))]
        """By node, the CPU and the number of devices that it has."""
        self._most_cpu, self._most_devices = self._most()

    def ranked(self, cpu: int, memory: int, wanted: Sequence[Wanted], rng: Random | None = None) -> Iterator[Scored]:
        """The nodes that may hold a pod, best first; nodes left out cannot hold it.

        Args:
            cpu: what the pod asks for, in units of 10^-9, as memory.
            memory: the same.
            wanted: its claims that need devices.
            rng: draws the nodes and devices, for a policy that does.
        """
        row = self._row(cpu, memory, tuple(wanted))
        if self._scoring.drawn:
            yield from self._drawn(row, rng or Random(0))
            return
        first = row.first()
        if first is None:
            return
        yield self._scored(row, first[1])
        # That one was not to be had: rare enough to sort the others.
        for entry in sorted(entry for entry in row.entries if entry is not None and entry is not first):
            if row.entries[entry[1]] is entry:
                yield self._scored(row, entry[1])

    def afresh(self, cpu: int, memory: int, wanted: Sequence[Wanted]) -> dict[str, float]:
        """The score of every node that may hold a pod, computed from nothing that was kept."""
        row = _Row(cpu, memory, tuple(wanted), len(self._names))
        found = {}
        for number, name in enumerate(self._names):
            best = self._best(row, number, self._look(number))
            if best is not None:
                found[name] = best[0]
        return found

    def _look(self, number: int) -> Left:
        return left_of(self._site.nodes[self._names[number]], self._views[number])

    def _size(self, number: int) -> tuple[int, int]:
        cpu = self._site.nodes[self._names[number]].allocatable.get("cpu", 0)
        return cpu, self._views[number].on_node.bit_count()

    def _most(self) -> tuple[int, int]:
        """The most CPU and the most devices that a node has."""
        return max((cpu for cpu, _ in self._sizes), default=0) or 1, max((n for _, n in self._sizes), default=0) or 1

    def _renew(self, number: int) -> None:
        view = self._site.view(self._names[number])
        if view is not self._views[number]:
            self._views[number] = view
            self._hardware[number] = self._fragmentation.hardware(view)
        self._left[number] = self._look(number)
        self._changed.append(number)

    def catch_up(self) -> None:
        """Takes note of what changed.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        moved = self._site.moved.since(self._moved)
        self._moved = self._site.moved.mark
        self._mark, changed = self._site.inventory.changes(self._mark)
        if changed is None or moved is None:
            numbers: Iterable[int] = range(len(self._names))
        else:
            numbers = [self._number[name] for name in {*moved, *changed} if name in self._number]
        for number in numbers:
            self._renew(number)
        sizes = [(number, size) for number in numbers if (size := self._size(number)) != self._sizes[number]]
        for number, size in sizes:
            self._sizes[number] = size
        if sizes and self._most() != (self._most_cpu, self._most_devices):
            self._most_cpu, self._most_devices = self._most()
            self._rows.clear()
        if len(self._changed) > _CHANGES_KEPT:
            self._rows.clear()
            self._changed.clear()

    def _row(self, cpu: int, memory: int, wanted: tuple[Wanted, ...]) -> _Row:
        self.catch_up()
        key = (cpu, memory, tuple([claim.shape for claim in wanted]))
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= _ROWS_KEPT:
                self._rows.clear()
            row = self._rows[key] = _Row(cpu, memory, wanted, len(self._names))
        if row.seen < 0:
            numbers: Sequence[int] | set[int] = range(len(self._names))
        else:
            numbers = set(self._changed[row.seen :])
        row.seen = len(self._changed)
        for number in numbers:
            self._score(row, number)
        if len(row.heap) > 2 * len(self._names) + 64:
            row.heap = [entry for entry in row.entries if entry is not None]
            heapq.heapify(row.heap)
        return row

    def _score(self, row: _Row, number: int) -> None:
        best = self._best(row, number, self._left[number])
        if best is None:
            row.entries[number] = None
            return
        entry = row.entries[number] = (-best[0], number, best[1].within)
        heapq.heappush(row.heap, entry)

    def _best(self, row: _Row, number: int, left: Left) -> tuple[float, Option, Outcome] | None:
        """The best choice of devices on a node, or None where the pod does not fit."""
        if left.cpu < row.cpu or left.memory < row.memory:
            return None
        fit = self._fit(row, number)
        if fit is None:
            return None
        options = fit.options(left, self._scoring.devices)
        if not options:
            return None
        hardware = self._hardware[number]
        measured = self._scoring.measured
        before = hardware.fragmentation(left) if measured else 0.0
        cpu = left.cpu - row.cpu
        memory = left.memory - row.memory
        cpu_part = cpu / self._most_cpu if cpu != math.inf else 0.0
        found: tuple[float, Option, Outcome] | None = None
        for option in options:
            gain = before - hardware.fragmentation(Left(cpu, memory, option.after)) if measured else 0.0
            outcome = Outcome(gain, cpu_part, sum(option.after) / UNIT / self._most_devices)
            value = self._scoring.value(outcome)
            if found is None or value > found[0]:
                found = (value, option, outcome)
        return found

    def _fit(self, row: _Row, number: int) -> Fit | None:
        view = self._views[number]
        known = row.fits[number]
        if known is None or known[0] is not view:
            known = row.fits[number] = (view, self._fit_like(row, view, self._hardware[number]))
        return known[1]

    def _fit_like(self, row: _Row, view: NodeView, hardware: Hardware) -> Fit | None:
        problem = self._site.allocator.problem(view, tuple([claim.shape for claim in row.wanted]))
        key = (id(problem), id(hardware))  # both are kept as long as the site and the measure are
        if key not in row.known:
            parts = parts_of(problem, view)
            alike = tuple([(name, *[p.needs.get(n) for p in parts or ()]) for n, name in enumerate(hardware.classes)])
            row.known[key] = None if parts is None else Fit(parts, alike, problem.plain is not None)
        return row.known[key]

    def _scored(self, row: _Row, number: int) -> Scored:
        best = self._best(row, number, self._left[number])
        assert best is not None
        return Scored(self._names[number], best[1].within, best[0], best[2])

    def _drawn(self, row: _Row, rng: Random) -> Iterator[Scored]:
        numbers = [number for number, entry in enumerate(row.entries) if entry is not None]
        while numbers:
            place = rng.randrange(len(numbers))
            number = numbers[place]
            numbers[place] = numbers[-1]
            numbers.pop()
            fit = self._fit(row, number)
            assert fit is not None
            option = fit.drawn(self._left[number], rng)
            yield Scored(self._names[number], option.within, 0.0, Outcome(0.0, 0.0, 0.0))
