"""Tries a set of movers for real: the workload and every moved pod get a place by the planner, or the set is no plan.

The cluster is copied without the movers, their claims without devices. The workload is placed as `fairlead plan` would,
then the movers one after another, the important and the large ones first; one that finds no place makes the ones before
it try other nodes. Where that fails, the movers are placed first, away from the nodes that they leave to the workload.
A moved pod of a gang that asks for one domain of a level stays in the domain in which it runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fairlead.inventory import DeviceId
from fairlead.placement.cluster import Cluster
from fairlead.placement.defrag.devices import devices_of_claims, held_by
from fairlead.placement.defrag.movable import Movable, Mover, freed
from fairlead.placement.defrag.removals import Removals, Removed
from fairlead.placement.gangs import Objective
from fairlead.placement.groups import GANG, AskError, GangPlanner, ask_of
from fairlead.placement.groups.roles import roles_of
from fairlead.placement.outcome import GangOutcome
from fairlead.placement.plan import Placement
from fairlead.placement.planner import PlacementRefusedError, Planner
from fairlead.placement.planning import place_unit
from fairlead.placement.policy import Candidate
from fairlead.resource import PlannedPod
from fairlead.topology import Rules, Tree

_MOST_PLACED: Final = 60
"""Times that a mover is placed in one try, those that are taken back included."""
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
    """Tries sets of movers for one workload."""

    def __init__(self, cluster: Cluster, units: Sequence[Unit], movable: Movable, rules: Rules | None = None) -> None:
        """Prepares.

        Args:
            cluster: as it is now.
            units: the pods of the workload.
            movable: the running pods.
            rules: what attributes and labels say of wiring.
        """
        self._cluster = cluster
        self._units = units
        self._movable = movable
        self._rules = rules

    def planner(self, removed: Collection[str]) -> tuple[Planner, GangPlanner]:
        """The cluster without these movers."""
        return self._planner(removed, _Fence())

    def _planner(self, removed: Collection[str], fence: _Fence) -> tuple[Planner, GangPlanner]:
        claims = {key for one in removed for key in self._movable.movers[one].claims}
        copy = dataclasses.replace(
            self._cluster,
            pods=[pod for pod in self._cluster.pods if pod.key not in removed],
            claims=[freed(claim) if claim.key in claims else claim for claim in self._cluster.claims],
        )
        planner = Planner(copy, fence)
        return planner, GangPlanner(planner, self._rules)

    def workload(self, removed: Collection[str]) -> Success | Failure:
        """Whether the workload alone has a place when these movers are away."""
        planner, gangs = self.planner(removed)
        return _place_units(planner, gangs, self._units)

    def attempt(self, removed: Removed, leave: Collection[str] = ()) -> Success | Failure:
        """Places the workload and the movers.

        Args:
            removed: the movers.
            leave: the nodes that they leave to the workload.
        """
        fence = _Fence()
        planner, gangs = self._planner(removed, fence)
        movers = sorted(
            (self._movable.movers[key] for key in removed),
            key=lambda mover: (-mover.priority, -len(held_by(mover)), mover.key),
        )
        kept = self._kept_in(movers, gangs)
        first = _place_units(planner, gangs, self._units)
        if isinstance(first, Failure):
            return first
        settled = _settle(planner, fence, movers, kept)
        if not isinstance(settled, Mover):
            return self._success(first, movers, settled)
        more = self._chained(planner, settled, removed, kept)
        for placement in first.placements:
            planner.remove(placement.pod)
        away = {mover.key: _both(kept.get(mover.key), lambda name: name not in leave) for mover in movers}
        again = _settle(planner, fence, movers, away) if leave else settled
        if not isinstance(again, Mover):
            second = _place_units(planner, gangs, self._units)
            if isinstance(second, Success):
                return self._success(second, movers, again)
        return Failure(settled, more=more)

    def _kept_in(self, movers: Iterable[Mover], gangs: GangPlanner) -> dict[str, Callable[[str], bool]]:
        """By mover of a gang that asks for domains: whether a node is in those that the gang is in."""
        kept: dict[str, Callable[[str], bool]] = {}
        for mover in movers:
            if GANG in mover.running.pod.metadata.annotations and mover.gang:
                # The pods of a gang ask for the same, and how many there are decides whether they may.
                members = [mover.running.planned] * self._movable.pods_of[mover.workload]
                required, tree = required_levels(members, gangs)
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
        self, planner: Planner, stuck: Mover, removed: Removed, kept: Mapping[str, Callable[[str], bool]]
    ) -> tuple[Removed, ...]:
        """The smallest sets of other movers without which the stuck one would have a place."""
        others = [mover for key, mover in self._movable.movers.items() if key not in removed]
        roles, _ = roles_of([stuck.planned])
        allowed = kept.get(stuck.key)
        found: list[Removed] = []
        try:
            removals = Removals(planner, roles, others)
            for name in planner.nodes:
                if allowed is None or allowed(name):
                    found += [one for option in removals.options(name) if any(option.vector) for one in option.sets]
        except PlacementRefusedError:
            return ()
        found.sort(key=lambda one: (len(one), sorted(one)))
        return tuple(dict.fromkeys(one for one in found if one))[:_MOST_CHAINED]


def _place_units(planner: Planner, gangs: GangPlanner, units: Sequence[Unit]) -> Success | Failure:
    """Places all of the workload; takes nothing where a pod has no place, or a required level is not kept."""
    placed: list[Placement] = []
    outcomes: list[GangOutcome] = []
    for unit in units:
        placements, outcome = place_unit(planner, gangs, unit)
        if outcome is not None:
            outcomes.append(outcome)
        done = [one for one in placements if one.placed]
        placed += done
        if len(done) < len(placements) or not _keeps_levels(unit, done, gangs):
            for one in placed:
                planner.remove(one.pod)
            return Failure(placements=tuple(placements), gangs=tuple(outcomes))
    return Success(tuple(placed), tuple(outcomes), ())


def _keeps_levels(unit: Unit, placements: Sequence[Placement], gangs: GangPlanner) -> bool:
    """Whether a gang that was placed pod by pod is in one domain of each level that it requires."""
    if len(unit) == 1:
        return True
    required, tree = required_levels(unit, gangs)
    return all(len({tree.domain(one.node, level) for one in placements}) == 1 for level in required)


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


def _both(one: Callable[[str], bool] | None, other: Callable[[str], bool]) -> Callable[[str], bool]:
    return other if one is None else lambda name: one(name) and other(name)


def _settle(
    planner: Planner, fence: _Fence, movers: Sequence[Mover], allowed: Mapping[str, Callable[[str], bool]]
) -> list[Placement] | Mover:
    """A place for every mover; else, with nothing taken, the first one that found none."""
    placed: list[Placement] = []
    tried: list[set[str]] = [set()]
    stuck: Mover | None = None
    for _ in range(_MOST_PLACED):
        if len(placed) == len(movers):
            return placed
        mover = movers[len(placed)]
        closed = tried[-1]
        fence.open[mover.key] = _both(allowed.get(mover.key), lambda name, closed=closed: name not in closed)  # type: ignore[misc]
        placement = planner.place(mover.planned)
        if placement.placed:
            closed.add(placement.node)
            placed.append(placement)
            tried.append(set())
            continue
        stuck = stuck or mover
        if not placed:
            break
        tried.pop()
        planner.remove(placed.pop().pod)
    else:
        if len(placed) == len(movers):
            return placed
    for placement in placed:
        planner.remove(placement.pod)
    assert stuck is not None
    return stuck


def _order(objective: Objective) -> tuple[tuple[int, ...], int, int, int]:
    return objective.domains, objective.nodes, objective.rank, objective.cost
