"""Tries a set of movers for real: the workload and every moved pod get a place by the planner, or the set is no plan.

The movers are taken off their nodes, their claims lose their devices. The workload is placed as `fairlead plan` would,
then the movers one after another, the important and the large ones first; one that finds no place makes the ones before
it try other nodes. Where that fails, the movers are placed first, away from the nodes that they leave to the workload.
A moved pod of a gang that asks for one domain of a level stays in the domain in which it runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

from fairlead.inventory import DeviceId
from fairlead.placement.cluster import Cluster
from fairlead.placement.defrag.devices import devices_of_claims, held_by
from fairlead.placement.defrag.movable import Movable, Mover
from fairlead.placement.defrag.removals import Removals, Removed
from fairlead.placement.gangs import Objective
from fairlead.placement.groups import GANG, AskError, GangPlanner, ask_of
from fairlead.placement.groups.roles import roles_of
from fairlead.placement.outcome import GangOutcome
from fairlead.placement.plan import Placement
from fairlead.placement.planner import Planner
from fairlead.placement.planning import place_unit
from fairlead.placement.policy import Candidate
from fairlead.placement.task import PlacementRefusedError
from fairlead.resource import PlannedPod
from fairlead.topology import Rules, Tree

_MOST_PLACED: Final = 60
"""Times that a mover is placed in one try, those that are taken back included."""
_MOST_SETTLED: Final = 12
"""Places of the movers with which the workload is tried, where the movers go first."""
_MOST_CHAINED: Final = 12
"""Removals for a mover without a place that are looked at further."""

Unit = Sequence[PlannedPod]
"""A pod, or the pods of a gang."""


@dataclass(frozen=True, slots=True)
class Move:
    """A running pod and its new place."""

    mover: Mover
    placement: Placement

    @property
    def devices(self) -> list[DeviceId]:
        """The devices that it gets."""
        return devices_of_claims(used.claim for used in self.placement.claims)


@dataclass(frozen=True, slots=True)
class Success:
    """The workload with its place, and the moves."""

    placements: tuple[Placement, ...]
    gangs: tuple[GangOutcome, ...]
    moves: tuple[Move, ...]

    @property
    def objectives(self) -> tuple[tuple[tuple[int, ...], int, int, int], ...]:
        """What the gangs of the workload are measured by; smaller is better."""
        return tuple(_order(one.objective) for one in self.gangs if one.objective is not None)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a set is no plan.

    `stuck` is the mover that finds no place, None where the workload itself does not fit; `placements` then hold its
    obstacles. `more` are further movers that could make room for the stuck one.
    """

    stuck: Mover | None = None
    placements: tuple[Placement, ...] = ()
    gangs: tuple[GangOutcome, ...] = ()
    more: tuple[Removed, ...] = ()


@dataclass(slots=True)
class _Fence:
    """The first node that fits and is not closed to the pod."""

    open: dict[str, Callable[[str], bool]] = field(default_factory=dict)
    """By pod."""

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The first candidate that fits, on a node that is open to the pod."""
        allowed = self.open.get(pod.pod.key)
        return next((c for c in candidates if (allowed is None or allowed(c.node.name)) and c.fits), None)


class Trials:
    """Tries sets of movers for one workload, all on one planner: after a try everything is as it was."""

    def __init__(self, cluster: Cluster, units: Sequence[Unit], movable: Movable, rules: Rules | None = None) -> None:
        """Prepares.

        Args:
            cluster: as it is now.
            units: the pods of the workload.
            movable: the running pods of this very cluster.
            rules: what attributes and labels say of wiring.
        """
        self._units = units
        self._movable = movable
        self._fence = _Fence()
        self._stuck: Mover | None = None
        self.planner = Planner(cluster, self._fence, rules=rules)
        """The state as it is now."""
        self.gangs = GangPlanner(self.planner)

    def workload(self, removed: Collection[str]) -> Success | Failure:
        """Whether the workload alone has a place when these movers are away."""
        with self._without([self._movable.movers[key] for key in removed]):
            placed = self._place_units()
            self._take_back(placed.placements)
            return placed

    def attempt(self, removed: Removed, leave: Collection[str] = ()) -> Success | Failure:
        """Places the workload and the movers.

        Args:
            removed: the movers.
            leave: the nodes that they leave to the workload.
        """
        movers = sorted(
            (self._movable.movers[key] for key in removed),
            key=lambda mover: (-mover.priority, -len(held_by(mover)), mover.key),
        )
        with self._without(movers):
            return self._attempt(movers, removed, leave)

    @contextmanager
    def _without(self, movers: Sequence[Mover]) -> Iterator[None]:
        """The state without movers."""
        for mover in movers:
            self.planner.lift(mover.running.pod, [used.claim for used in mover.planned.claims])
        try:
            yield
        finally:
            self._fence.open.clear()
            for mover in movers:
                self.planner.put_back(mover.running.pod, [used.claim for used in mover.running.planned.claims])

    def _take_back(self, placements: Iterable[Placement]) -> None:
        for placement in placements:
            if placement.placed:
                self.planner.remove(placement.pod)

    def _attempt(self, movers: Sequence[Mover], removed: Removed, leave: Collection[str]) -> Success | Failure:
        kept = self._kept_in(movers)
        first = self._place_units()
        if isinstance(first, Failure):
            return first
        with closing(self._settlements(movers, kept)) as settlements:
            settled = next(settlements, None)
            if settled is not None:
                self._take_back(first.placements)
                return self._success(first, movers, settled)
        stuck = self._stuck
        more = self._chained(stuck, removed, kept) if stuck is not None else ()
        self._take_back(first.placements)
        away = {mover.key: _both(kept.get(mover.key), lambda name: name not in leave) for mover in movers}
        with closing(self._settlements(movers, away)) as settlements:
            for settled in islice(settlements, _MOST_SETTLED if leave else 0):
                second = self._place_units()
                if isinstance(second, Success):
                    self._take_back(second.placements)
                    return self._success(second, movers, settled)
        return Failure(stuck, more=more)

    def _kept_in(self, movers: Iterable[Mover]) -> dict[str, Callable[[str], bool]]:
        """By mover of a gang that asks for domains: whether a node is in those that the gang is in."""
        kept: dict[str, Callable[[str], bool]] = {}
        for mover in movers:
            if GANG in mover.running.pod.metadata.annotations and mover.gang:
                # The pods of a gang ask for the same, and how many there are decides whether they may.
                members = [mover.running.planned] * self._movable.pods_of[mover.workload]
                required, tree = required_levels(members, self.gangs)
                if required:
                    kept[mover.key] = _same_domains(tree, required, mover.node)
        return kept

    def _success(self, placed: Success, movers: Sequence[Mover], settled: Sequence[Placement]) -> Success:
        """Movers that come back to the very place that they had do not move."""
        moves = [
            move
            for move in map(Move, movers, settled)
            if move.placement.node != move.mover.node or sorted(held_by(move.mover)) != sorted(move.devices)
        ]
        return dataclasses.replace(placed, moves=tuple(moves))

    def _chained(
        self, stuck: Mover, removed: Removed, kept: Mapping[str, Callable[[str], bool]]
    ) -> tuple[Removed, ...]:
        """The smallest sets of other movers without which the stuck one would have a place."""
        others = [mover for key, mover in self._movable.movers.items() if key not in removed]
        roles, _ = roles_of([stuck.planned])
        allowed = kept.get(stuck.key)
        found: list[Removed] = []
        try:
            removals = Removals(self.planner, roles, others)
            for name in self.planner.site.nodes:
                if allowed is None or allowed(name):
                    found += [one for option in removals.options(name) if any(option.vector) for one in option.sets]
        except PlacementRefusedError:
            return ()
        found.sort(key=lambda one: (len(one), sorted(one)))
        return tuple(dict.fromkeys(one for one in found if one))[:_MOST_CHAINED]

    def _place_units(self) -> Success | Failure:
        """Places all of the workload; takes nothing where a pod has no place, or a required level is not kept."""
        placed: list[Placement] = []
        outcomes: list[GangOutcome] = []
        for unit in self._units:
            placements, outcome = place_unit(self.planner, self.gangs, unit)
            if outcome is not None:
                outcomes.append(outcome)
            done = [one for one in placements if one.placed]
            placed += done
            level = _broken_level(unit, done, self.gangs) if len(done) == len(placements) else None
            if len(done) < len(placements) or level is not None:
                self._take_back(placed)
                if outcome is not None and level is not None:
                    reason = f"placed pod by pod it is in several domains of level {level}, which it requires one of"
                    outcomes[-1] = GangOutcome(outcome.name, outcome.pods, False, reasons=(reason,), proven=False)
                waiting = tuple(one for one in placements if not one.placed)
                return Failure(placements=waiting, gangs=tuple(outcomes))
        return Success(tuple(placed), tuple(outcomes), ())

    def _settlements(
        self, movers: Sequence[Mover], allowed: Mapping[str, Callable[[str], bool]]
    ) -> Generator[tuple[Placement, ...], None, None]:
        """Places for all movers, each time other nodes; taken until the next is asked for or the generator is closed.

        The first mover that ever finds no place is remembered as stuck.
        """
        placed: list[Placement] = []
        tried: list[set[str]] = [set()]
        self._stuck = None
        try:
            for _ in range(_MOST_PLACED + len(movers)):
                mover = movers[len(placed)]
                closed = tried[-1]
                self._fence.open[mover.key] = _both(allowed.get(mover.key), partial(_is_not_in, closed))
                placement = self.planner.place(mover.planned)
                if placement.placed:
                    closed.add(placement.node)
                    placed.append(placement)
                    if len(placed) < len(movers):
                        tried.append(set())
                        continue
                    yield tuple(placed)
                else:
                    self._stuck = self._stuck or mover
                    tried.pop()
                    if not placed:
                        return
                self.planner.remove(placed.pop().pod)
        finally:
            self._take_back(placed)


def _broken_level(unit: Unit, placements: Sequence[Placement], gangs: GangPlanner) -> str | None:
    """A level of which a gang requires one domain and that it is not in one of, which placing pod by pod can do."""
    if len(unit) == 1:
        return None
    required, tree = required_levels(unit, gangs)
    return next((level for level in required if len({tree.domain(one.node, level) for one in placements}) > 1), None)


def required_levels(unit: Unit, gangs: GangPlanner) -> tuple[list[str], Tree]:
    """The levels of which a gang needs one domain, as far as the cluster has them, and the tree they are in."""
    try:
        ask = ask_of(unit)
    except AskError:
        return [], gangs.tree()
    tree = gangs.tree(ask.levels)
    names = {level.label: level.name for level in tree.levels} | {level.name: level.name for level in tree.levels}
    return [names[one] for one in ask.required if one in names], tree


def _same_domains(tree: Tree, levels: Sequence[str], node: str) -> Callable[[str], bool]:
    return lambda name: all(tree.domain(name, level) == tree.domain(node, level) for level in levels)


def _is_not_in(closed: Collection[str], name: str) -> bool:
    return name not in closed


def _both(one: Callable[[str], bool] | None, other: Callable[[str], bool]) -> Callable[[str], bool]:
    return other if one is None else lambda name: one(name) and other(name)


def _order(objective: Objective) -> tuple[tuple[int, ...], int, int, int]:
    return objective.domains, objective.nodes, objective.rank, objective.cost
