"""The fewest moves after which a workload starts: candidates in the order of what they cost, tried until one holds.

A candidate is a set of movers. The first ones are those that the relaxation (`bound`) says make room; one that fails
because a moved pod finds no place is followed by itself with the movers that stand in the way of that pod. Where there
are few movers, all sets of a size are candidates. The order is: fewest moves, fewest disrupted workloads, lowest
priorities; of plans that are equal in that, the one that is best for the gang.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from typing import Final

from fairlead.placement.cluster import Cluster
from fairlead.placement.defrag.balance import Shortage, shortage
from fairlead.placement.defrag.bound import Bound
from fairlead.placement.defrag.budgets import Budget
from fairlead.placement.defrag.devices import roaming
from fairlead.placement.defrag.movable import Kept, Movable, Mover, movable, priority_of
from fairlead.placement.defrag.removals import Removals, Removed
from fairlead.placement.defrag.trial import Failure, Move, Success, Trials, Unit, required_levels
from fairlead.placement.groups.roles import roles_of
from fairlead.placement.outcome import GangOutcome
from fairlead.placement.plan import Placement
from fairlead.placement.task import PlacementRefusedError
from fairlead.topology import Rules

_MOST_TRIED: Final = 200
"""Candidates that are tried in a small cluster."""
_LEAST_TRIED: Final = 30
"""Candidates that are tried in a large one, where each takes longer."""
_NODES_TRIED: Final = 20_000
"""In between: candidates times nodes."""
_MOST_EQUAL: Final = 8
"""Candidates that are as good as the first that holds, and are tried for the gang's sake."""
_MOST_LISTED: Final = 2_000
"""Candidates of one size that the relaxation gives."""
_FEW: Final = 12
"""Movers up to which all sets are candidates."""

_Order = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Defragmentation:
    """What was found for a workload."""

    placements: Sequence[Placement]
    """Of the workload: where its pods go, or what keeps them from it as things are."""
    gangs: Sequence[GangOutcome]
    moves: Sequence[Move] | None
    """In the order in which new places were found; empty where the workload fits as it is, None for no plan."""
    at_least: int
    """No plan has fewer moves."""
    possible: bool
    """False where the workload would not even fit with all movable pods gone."""
    movable: Movable
    tried: int
    """How many sets of movers were tried."""
    without_movers: Sequence[GangOutcome] = ()
    """For no plan: what becomes of the gangs when all movable pods are gone."""
    stuck: Sequence[str] = ()
    """For no plan: movers that found no place in the tries."""
    over_budget: Sequence[Budget] = ()
    """For no plan: budgets that forbid a set of movers which makes room."""
    short: Shortage | None = None
    """For no plan: the proof that moving pods does not help, if it is as simple as that."""

    @property
    def proven(self) -> bool:
        """Whether no plan has fewer moves than this."""
        return self.moves is not None and len(self.moves) == self.at_least

    @property
    def kept(self) -> Sequence[Kept]:
        """The running pods that must not move."""
        return self.movable.kept

    @property
    def disrupted(self) -> list[str]:
        """The workloads of moved pods, each once."""
        return sorted({move.mover.workload for move in self.moves or ()})


def defragment(
    cluster: Cluster,
    units: Sequence[Unit],
    *,
    max_moves: int | None = None,
    tries: int | None = None,
    rules: Rules | None = None,
) -> Defragmentation:
    """Plans the fewest moves of running pods that let a workload start; nothing is changed.

    Args:
        cluster: as it is now.
        units: the pods of the workload: each a pod alone, or the pods of a gang.
        max_moves: plans with more moves are not looked for.
        tries: how many sets of movers are tried; fewer in larger clusters, where nothing is given.
        rules: what attributes and labels say of wiring; the default ones, where none are given.
    """
    priority = min(priority_of(pod.pod) for unit in units for pod in unit)
    found = movable(cluster, priority)
    trials = Trials(cluster, units, found, rules)
    now = trials.workload(())
    if isinstance(now, Success):
        return Defragmentation(now.placements, now.gangs, (), 0, True, found, 0)
    try:
        bound, roamers = _relaxed(trials, units, found.movers.values())
        roles, _ = roles_of([pod for unit in units for pod in unit])
        short = shortage(trials.planner, roles, found.movers.values())
    except PlacementRefusedError:
        return Defragmentation(now.placements, now.gangs, None, 0, False, found, 0, now.gangs)
    if bound.least is None:
        alone = trials.workload(found.movers)
        return Defragmentation(now.placements, now.gangs, None, 0, False, found, 0, alone.gangs)
    if short is not None:
        return Defragmentation(now.placements, now.gangs, None, bound.least, True, found, 0, short=short)
    # The planner has said that it does not fit as it is, whatever the relaxation leaves out.
    if tries is None:
        tries = min(_MOST_TRIED, max(_LEAST_TRIED, _NODES_TRIED // max(1, len(cluster.nodes))))
    search = _Search(trials, found, bound, roamers, max(1, bound.least), tries)
    best = search.run(len(found.movers) if max_moves is None else min(max_moves, len(found.movers)))
    if best is None:
        alone = trials.workload(found.movers)
        possible = isinstance(alone, Success)
        return Defragmentation(
            now.placements,
            now.gangs,
            None,
            search.least,
            possible,
            found,
            search.tried,
            alone.gangs,
            search.stuck,
            search.over_budget,
        )
    at_least = min(search.least, len(best.moves))
    return Defragmentation(best.placements, best.gangs, best.moves, at_least, True, found, search.tried)


def _relaxed(trials: Trials, units: Sequence[Unit], movers: Iterable[Mover]) -> tuple[Bound, list[Mover]]:
    """The lower bound, and the movers that it leaves out."""
    planner, gangs = trials.planner, trials.gangs
    everyone = list(movers)
    roamers = roaming(planner, everyone)
    roles, _ = roles_of([pod for unit in units for pod in unit])
    removals = Removals(planner, roles, everyone, {claim for mover in roamers for claim in mover.claims})
    domains: dict[tuple[str, ...], list[str]] = {}
    if len(units) == 1 and len(units[0]) > 1:
        required, tree = required_levels(units[0], gangs)
        for name in planner.site.nodes:
            path = tuple(tree.domain(name, level) for level in required)
            if all(path):
                domains.setdefault(path, []).append(name)
    else:
        domains[()] = list(planner.site.nodes)
    return Bound(removals, domains.values()), roamers


class _Search:
    """One search; counts what it tries."""

    def __init__(
        self, trials: Trials, found: Movable, bound: Bound, roamers: Sequence[Mover], least: int, tries: int
    ) -> None:
        self._trials = trials
        self._movable = found
        self._bound = bound
        self._roamers = roamers
        self.least = least
        self._tries = tries
        self._numbers = count()
        self._seen: set[Removed] = set()
        self._waiting: list[tuple[_Order, int, Removed, frozenset[str]]] = []
        self._stuck: dict[str, None] = {}
        self._broken: dict[Budget, None] = {}
        self.tried = 0

    @property
    def stuck(self) -> tuple[str, ...]:
        """The movers that found no place."""
        return tuple(self._stuck)

    @property
    def over_budget(self) -> tuple[Budget, ...]:
        """The budgets that forbade a candidate."""
        return tuple(sorted(self._broken, key=lambda budget: budget.name))

    def run(self, most: int) -> Success | None:
        """The best plan of at most so many moves that was found."""
        for size in range(self.least, most + 1):
            for removed, nodes in self._candidates(size):
                self._add(removed, nodes)
            best = self._try(size, most)
            if best is not None or self.tried >= self._tries:
                return best
        return None

    def _candidates(self, size: int) -> Iterator[tuple[Removed, frozenset[str]]]:
        for _, one in zip(range(_MOST_LISTED), self._bound.sets(size), strict=False):
            yield one
        movers = self._movable.movers
        if len(movers) <= _FEW:
            for chosen in combinations(movers, size):
                removed = frozenset(chosen)
                if self._bound.may_hold(removed):
                    yield removed, frozenset(movers[key].node for key in chosen)

    def _add(self, removed: Removed, nodes: frozenset[str]) -> None:
        if removed in self._seen:
            return
        self._seen.add(removed)
        broken = self._movable.budgets.broken(removed)
        self._broken.update(dict.fromkeys(broken))
        if not broken:
            heapq.heappush(self._waiting, (self._order(removed), next(self._numbers), removed, nodes))

    def _order(self, removed: Iterable[str]) -> _Order:
        movers = [self._movable.movers[key] for key in removed]
        priorities = sorted((mover.priority for mover in movers), reverse=True)
        return len(movers), len({mover.workload for mover in movers}), tuple(priorities)

    def _try(self, size: int, most: int) -> Success | None:
        """Tries the candidates of up to this size; with one that holds, those that are as good as it."""
        best: tuple[_Order, Success] | None = None
        equal = 0
        while self._waiting and self._waiting[0][0][0] <= size and self.tried < self._tries:
            order, _, removed, nodes = heapq.heappop(self._waiting)
            if best is not None and (order > best[0] or equal == _MOST_EQUAL):
                break
            equal += best is not None
            self.tried += 1
            result = self._trials.attempt(removed, nodes)
            if isinstance(result, Failure):
                self._follow(removed, nodes, result, most)
                continue
            actual = self._order(move.mover.key for move in result.moves)
            if best is None or (actual, result.objectives) < (best[0], best[1].objectives):
                best = (actual, result)
        return best[1] if best is not None else None

    def _follow(self, removed: Removed, nodes: frozenset[str], failure: Failure, most: int) -> None:
        """Adds what could mend a failure."""
        more: Iterable[Removed] = failure.more
        if failure.stuck is not None:
            self._stuck[failure.stuck.key] = None
        else:
            # The relaxation is silent about what is in the way: it may be a device that several nodes reach.
            more = [frozenset((mover.key,)) for mover in self._roamers] or map(
                frozenset, combinations(list(self._movable.movers)[:_MOST_LISTED], 1)
            )
        for extra in more:
            if len(removed | extra) <= most:
                self._add(removed | extra, nodes)
