"""Fragmentation: how much of a node's free devices the typical pods could not use.

The measure is that of "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent"
(USENIX ATC 2023). For a node n and typical pod shapes m with weights p(m), in devices:

    F(n) = sum over m of p(m) * stuck(n, m)
    stuck(n, m) = what is free of the devices of n of which less is free than m asks for    where n can host m
                  everything that is free on n                                              where it cannot,
                                                                                            or m asks for no device

A node can host a shape when its CPU and memory suffice and, for each part of the claims, enough devices have enough
left. Sets of shapes are ints, bit m for shape m, so F is a few masks: what depends on CPU and memory is found by
bisection, what depends on devices is kept for every state of the devices that was met.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.allocator import Allocator, Problem, Wanted
from fairlead.inventory import NodeView
from fairlead.placement.packing.fit import Part, parts_of
from fairlead.placement.packing.left import UNIT, Amount, Free, Left

_STATES_KEPT: Final = 100_000
"""States of devices of one kind of hardware that are kept."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What pods of one kind ask for, as the allocator knows it."""

    cpu: int
    """In units of 10^-9, as memory."""
    memory: int
    claims: tuple[Wanted, ...]
    weight: float
    """Its share among all typical pods; the weights of all shapes sum up to 1."""


class _State:
    """Devices in one state of what is free: what does not depend on CPU and memory."""

    __slots__ = ("by_room", "hosted", "idle", "partly")

    def __init__(self, idle: int, hosted: int, partly: Sequence[tuple[int, int]]) -> None:
        self.idle = idle
        self.hosted = hosted
        """The shapes that find their devices."""
        self.partly = partly
        """Free parts, each with the shapes that cannot use it."""
        self.by_room: dict[int, float] = {}
        """F by the shapes for which CPU and memory suffice."""


class Hardware:
    """The nodes that look alike to every typical shape, but for what is left of them."""

    __slots__ = (
        "_further",
        "_levels",
        "_model",
        "_most",
        "_parts",
        "_states",
        "_usable",
        "classes",
        "uniform",
    )

    def __init__(self, model: Fragmentation, fits: Sequence[tuple[Part, ...] | None], size: int) -> None:
        self._model = model
        self._states: dict[Free, _State] = {}
        self._parts: list[tuple[int, Part]] = []
        """Every part with its bit: that of the shape for its first part, one above all shapes for others."""
        self._further: dict[int, int] = {}
        """By bit of a shape, the bits of its further parts."""
        top = len(fits)
        for number, parts in enumerate(fits):
            for place, part in enumerate(parts or ()):
                bit = 1 << number
                if place:
                    self._further[1 << number] = self._further.get(1 << number, 0) | 1 << top
                    bit = 1 << top
                    top += 1
                self._parts.append((bit, part))
        self._levels: dict[int, int] = {}
        """By number of devices, the parts that want so many."""
        for bit, part in self._parts:
            self._levels[part.wants] = self._levels.get(part.wants, 0) | bit
        columns: dict[Hashable, int] = {}
        self.classes = tuple(
            columns.setdefault(
                tuple((bit, part.needs[n]) for bit, part in self._parts if n in part.needs), len(columns)
            )
            for n in range(size)
        )
        """By device number; equal for devices that the typical shapes cannot tell apart."""
        self.uniform = len(columns) <= 1
        self._usable: dict[tuple[int, int], int] = {}
        self._most = max(self._levels, default=1)

    def fragmentation(self, left: Left) -> float:
        """F of a node of which so much is left, in devices."""
        cpu, memory, free, _ = left
        if self.uniform:
            free = tuple(sorted(free))
        state = self._states.get(free)
        if state is None:
            if len(self._states) >= _STATES_KEPT:
                self._states.clear()
            state = self._states[free] = self._prepare(free)
        room = self._model.room(cpu, memory)
        known = state.by_room.get(room)
        if known is None:
            known = state.by_room[room] = self._compute(state, room)
        return known

    def _compute(self, state: _State, room: int) -> float:
        hosted = state.hosted & room
        weight = self._model.weight
        stuck = state.idle * (1.0 - weight(hosted))
        for part, shapes in state.partly:
            stuck += part * weight(hosted & shapes)
        return stuck / UNIT

    def _prepare(self, free: Free) -> _State:
        levels = [0] * (self._most + 1)
        idle = 0
        partly: dict[int, int] = {}
        top = range(self._most, 1, -1)
        for number, part in enumerate(free):
            idle += part
            usable = self._usable_by(number, part)
            for level in top:
                levels[level] |= levels[level - 1] & usable
            levels[1] |= usable
            if part:
                served = usable
                for bit, further in self._further.items():
                    if usable & further:
                        served |= bit
                shapes = self._model.everything & ~served
                partly[shapes] = partly.get(shapes, 0) + part
        found = 0
        for level, parts in self._levels.items():
            found |= levels[level] & parts
        hosted = found & self._model.everything
        for bit, further in self._further.items():
            if found & further != further:
                hosted &= ~bit
        return _State(idle, hosted, [(part, shapes) for shapes, part in partly.items()])

    def _usable_by(self, number: int, free: int) -> int:
        key = (self.classes[number], free)
        known = self._usable.get(key)
        if known is None:
            known = 0
            for bit, part in self._parts:
                if number in part.needs and part.needs[number] <= free:
                    known |= bit
            self._usable[key] = known
        return known


class Fragmentation:
    """The measure for one set of typical shapes."""

    def __init__(self, shapes: Sequence[Shape], allocator: Allocator) -> None:
        self.shapes = tuple(shapes)
        self.everything = (1 << len(shapes)) - 1
        self._allocator = allocator
        self._weights: dict[int, float] = {}
        self._cpu = _Thresholds([shape.cpu for shape in shapes])
        self._memory = _Thresholds([shape.memory for shape in shapes])
        self._hardware: dict[tuple[int, tuple[int, ...]], tuple[Hardware, tuple[Problem, ...]]] = {}

    def hardware(self, view: NodeView) -> Hardware:
        """The kind of node that a view is of."""
        problems = tuple(
            self._allocator.problem(view, tuple([claim.shape for claim in shape.claims])) for shape in self.shapes
        )
        # Problems are kept by the allocator, and here, so their identity stands for them.
        key = (view.size, tuple([id(problem) for problem in problems]))
        known = self._hardware.get(key)
        if known is None:
            fits = [parts_of(problem, view) for problem in problems]
            known = self._hardware[key] = (Hardware(self, fits, view.size), problems)
        return known[0]

    def room(self, cpu: Amount, memory: Amount) -> int:
        """The shapes for which so much CPU and memory is enough."""
        return self._cpu.below(cpu) & self._memory.below(memory)

    def weight(self, shapes: int) -> float:
        """The sum of the weights of a set of shapes."""
        known = self._weights.get(shapes)
        if known is None:
            known = sum(shape.weight for number, shape in enumerate(self.shapes) if shapes >> number & 1)
            self._weights[shapes] = known
        return known


class _Thresholds:
    """Sets of shapes by how much of one amount they need."""

    def __init__(self, needs: Sequence[int]) -> None:
        self._steps = sorted(set(needs))
        self._masks = [0]
        for step in self._steps:
            own = sum(1 << number for number, need in enumerate(needs) if need == step)
            self._masks.append(self._masks[-1] | own)

    def below(self, amount: Amount) -> int:
        """The shapes that need at most this."""
        return self._masks[bisect_right(self._steps, amount)]
