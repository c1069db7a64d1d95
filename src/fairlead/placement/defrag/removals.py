"""For each node: the fewest pods whose removal makes room for so many pods of a workload.

This is a relaxation, so what it says is a lower bound: where the removed pods go, what other nodes hold, levels, rails,
claims that pods share and inter-pod affinity are left out. A node is asked by way of the allocator, with the claims of
the removed pods left out of what is taken, and by CPU, memory, ports and the like.

A mover that holds devices which other nodes reach too would count on several nodes. Such devices are taken to be free
here, at no price, so the bound stays a bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product
from math import comb
from typing import Final

from fairlead.allocator import Wanted, decide, standing
from fairlead.inventory import NodeView, Occupancy
from fairlead.placement.defrag.movable import Mover
from fairlead.placement.groups.roles import PodRole, keep_apart
from fairlead.placement.node import NodeState, PodNeeds
from fairlead.placement.planner import Planner
from fairlead.resource import ResourceClaim

Vector = tuple[int, ...]
"""Pods by role."""
Removed = frozenset[str]
"""Movers, `namespace/name`."""

_MOST_TRIED: Final = 300
"""Sets of movers that the allocator is asked about for one number of pods on one node."""
_MOST_SORTED: Final = 3_000
"""Sets of one size that are put in order before they are tried."""
_MOST_KEPT: Final = 24
"""Sets of the least size that are kept for one number of pods on one node."""
_MOST_STATES: Final = 2_000
"""Vectors of pods up to which roles are looked at together."""


@dataclass(frozen=True, slots=True)
class Option:
    """What a node holds after a removal."""

    vector: Vector
    size: int
    """No removal of fewer movers is enough."""
    sets: tuple[Removed, ...]
    """Removals that are enough, the preferred first; of `size` movers, or of more where the search was cut short."""


class Removals:
    """The options of nodes, in the present state of a planner."""

    def __init__(
        self,
        planner: Planner,
        roles: Sequence[PodRole],
        movers: Iterable[Mover],
        away: Collection[str] = (),
    ) -> None:
        """Prepares the roles.

        Args:
            planner: the state; nothing in it is changed.
            roles: the pods that need room, alike within a role.
            movers: the pods that could go.
            away: claims of movers that are taken to hold nothing, see `roaming`.

        Raises:
            PlacementRefusedError: a claim of the roles cannot be allocated on any node.
        """
        self._planner = planner
        self.roles = _together(roles)
        """The roles that are looked at: all, unless there are too many vectors of pods; then the largest."""
        self._apart = keep_apart(self.roles)
        self._away = frozenset(away)
        self._movers: dict[str, list[Mover]] = {}
        self._by_key: dict[str, Mover] = {}
        self._needs: dict[str, PodNeeds] = {}
        for mover in movers:
            self._movers.setdefault(mover.node, []).append(mover)
            self._by_key[mover.key] = mover
            self._needs[mover.key] = PodNeeds.of(mover.running.pod)
        self._static = [replace(role.needs, amounts=(), ports=frozenset()) for role in self.roles]
        self._nodes: dict[str, _OneNode | None] = {}

    @property
    def need(self) -> Vector:
        """All pods of the roles."""
        return tuple(len(role.pods) for role in self.roles)

    def options(self, name: str) -> tuple[Option, ...]:
        """What a node can hold: for each number of removed movers the most pods; none where it never holds any."""
        one = self._one(name)
        return one.options() if one is not None else ()

    def preference(self, removed: Removed) -> tuple[list[int], list[str]]:
        """The priorities of movers, the highest first, and their workloads."""
        movers = [self._by_key[key] for key in removed]
        return sorted((each.priority for each in movers), reverse=True), sorted({each.workload for each in movers})

    def most(self, name: str, removed: Collection[str]) -> int:
        """The most pods of one role that a node holds after a removal; for a single role only."""
        one = self._one(name)
        return one.most(frozenset(removed)) if one is not None else 0

    def _one(self, name: str) -> _OneNode | None:
        if name not in self._nodes:
            self._nodes[name] = self._look(name)
        return self._nodes[name]

    def _look(self, name: str) -> _OneNode | None:
        planner = self._planner
        node = planner.site.nodes[name]
        allowed = [node.refuses(needs, frozenset()) is None for needs in self._static]
        view = planner.view(name)
        if not any(allowed) or view is None:
            return None
        wanted = [
            [planner.wanted(claim) for claim in self._claims(role, node)] if allowed[number] else []
            for number, role in enumerate(self.roles)
        ]
        movers = sorted(self._movers.get(name, ()), key=lambda each: (each.priority, each.workload, each.key))
        return _OneNode(self, node, view, allowed, wanted, movers)

    def _claims(self, role: PodRole, node: NodeState) -> list[ResourceClaim]:
        """The claims that need devices on the node; those that a device plugin might serve are left out."""
        served = {
            used.claim.key for used in role.first.claims if any(node.advertises(resource) for resource in used.extended)
        }
        return [
            claim
            for claim in role.claims
            if self._planner.claims.present(claim).status.allocation is None and claim.key not in served
        ]

    def _room(self, node: NodeState, vector: Vector, removed: Removed) -> bool:
        """Whether the pods fit by CPU, memory, ports and the like, and may be together."""
        chosen = [(role, count) for role, count in zip(self.roles, vector, strict=True) if count]
        for number, count in enumerate(vector):
            if count > 1 and (self._apart[number][number] or self.roles[number].needs.ports):
                return False
            if count and any(vector[other] and self._apart[number][other] for other in range(number)):
                return False
        ports = set(node.ports).difference(*(self._needs[mover].ports for mover in removed))
        if any(not ports.isdisjoint(role.needs.ports) for role, _ in chosen):
            return False
        if not node.allocatable or self._planner.devices_cost_resources:
            return True
        wanted: dict[str, int] = {}
        through = {name for role, _ in chosen for used in role.first.claims for name in used.extended}
        for role, count in chosen:
            for name, amount in role.needs.amounts:
                wanted[name] = wanted.get(name, 0) + count * amount
        for mover in removed:
            for name, amount in self._needs[mover].amounts:
                if name in wanted:
                    wanted[name] -= amount
        for name, amount in wanted.items():
            have = node.allocatable.get(name)
            if have is None and name in ("cpu", "memory", "ephemeral-storage", "pods"):
                continue
            if not have and name in through:
                continue
            if node.used.get(name, 0) + amount > (have or 0):
                return False
        return True


class _OneNode:
    """One node, and the movers on it."""

    def __init__(
        self,
        removals: Removals,
        node: NodeState,
        view: NodeView,
        allowed: Sequence[bool],
        wanted: Sequence[Sequence[Wanted]],
        movers: Sequence[Mover],
    ) -> None:
        self._removals = removals
        self._node = node
        self._view = view
        self._allowed = allowed
        self._wanted = wanted
        self._movers = movers
        self._by_key = {mover.key: mover for mover in movers}
        self._all = frozenset(self._by_key)
        self._known: dict[tuple[Vector, Removed], bool] = {}
        self._taken: dict[Removed, Occupancy] = {}
        self._options: tuple[Option, ...] | None = None
        claims = [claim for each in wanted for claim in each]
        self._asked = self._shared = 0
        if claims:
            problem = removals._planner.site.allocator.problem(view, tuple([claim.shape for claim in claims]))
            self._shared = problem.shared
            for slot in problem.slots:
                self._asked |= slot.mask | slot.all_mask
        self._least = [sum(claim.shape.least for claim in each) for each in wanted]
        held = self._occupancy(frozenset()).held & self._asked
        self._free = self._asked & ~held
        self._gives = {
            mover.key: held & ~self._occupancy(frozenset((mover.key,))).held if claims else 0 for mover in movers
        }
        """By mover: the devices in question that it would set free."""

    def most(self, removed: Removed) -> int:
        """The most pods that fit."""
        removed &= self._all
        count = 0
        while count < len(self._removals.roles[0].pods) and self._fits((count + 1,), removed):
            count += 1
        return count

    def options(self) -> tuple[Option, ...]:
        """For each number of removed movers, the vectors of which no larger one fits."""
        if self._options is None:
            found: dict[Vector, Option] = {}
            for vector in self._vectors():
                if not any(vector):
                    found[vector] = Option(vector, 0, (frozenset(),))
                    continue
                smaller = [_less(vector, at) for at, count in enumerate(vector) if count]
                if all(one in found for one in smaller) and self._fits(vector, self._all):
                    found[vector] = self._least_removal(vector, max(found[one].size for one in smaller))
            useful = [
                one
                for one in found.values()
                if not any(
                    other is not one and other.size <= one.size and _within(one.vector, other.vector)
                    for other in found.values()
                )
            ]
            useful.sort(key=lambda one: (one.size, one.vector))
            self._options = tuple(useful) if any(any(one.vector) for one in useful) else ()
        return self._options

    def _vectors(self) -> Iterator[Vector]:
        """All vectors, each after the smaller ones; a single role ends with the first number that cannot fit."""
        most = [
            len(role.pods) if allowed else 0 for role, allowed in zip(self._removals.roles, self._allowed, strict=True)
        ]
        if len(most) > 1:
            yield from product(*[range(count + 1) for count in most])
            return
        for count in range(most[0] + 1):
            if count and not self._fits((count,), self._all):
                return
            yield (count,)

    def _least_removal(self, vector: Vector, at_least: int) -> Option:
        at_least = max(at_least, self._needed(vector))
        left = _MOST_TRIED
        for size in range(at_least, len(self._movers) + 1):
            sets: list[Removed] = []
            for removed in self._of_size(size):
                if not self._may_fit(vector, removed):
                    continue
                left -= 1
                if self._fits(vector, removed):
                    sets.append(removed)
                if left <= 0 or len(sets) == _MOST_KEPT:
                    break
            if sets:
                return Option(vector, size, tuple(sets))
            if left <= 0:
                return Option(vector, size, (self._greedy(vector),))
        return Option(vector, len(self._movers), (self._all,))

    def _needed(self, vector: Vector) -> int:
        """A number of movers that is needed by the number of devices alone."""
        missing = self._devices(vector) - self._free.bit_count()
        if self._asked & self._shared or missing <= 0:
            return 0
        gains = sorted((mask.bit_count() for mask in self._gives.values()), reverse=True)
        for number, gain in enumerate(gains, 1):
            missing -= gain
            if missing <= 0:
                return number
        return len(gains)

    def _devices(self, vector: Vector) -> int:
        return sum(count * least for count, least in zip(vector, self._least, strict=True))

    def _of_size(self, size: int) -> Iterable[Removed]:
        keys = [mover.key for mover in self._movers]
        if comb(len(keys), size) > _MOST_SORTED:
            return map(frozenset, islice(combinations(keys, size), 100 * _MOST_SORTED))
        return sorted(map(frozenset, combinations(keys, size)), key=self._order)

    def _order(self, removed: Removed) -> tuple[int, list[int], list[str]]:
        movers = [self._by_key[key] for key in removed]
        return (
            len({mover.workload for mover in movers}),
            sorted((mover.priority for mover in movers), reverse=True),
            sorted(removed),
        )

    def _may_fit(self, vector: Vector, removed: Removed) -> bool:
        if self._asked & self._shared:
            return True
        free = self._free
        for key in removed:
            free |= self._gives[key]
        return free.bit_count() >= self._devices(vector)

    def _greedy(self, vector: Vector) -> Removed:
        """A removal that is enough, and of which no mover can stay; those of high priority stay first."""
        removed = set(self._all)
        for mover in sorted(self._movers, key=lambda each: (-each.priority, each.key)):
            if self._fits(vector, frozenset(removed - {mover.key})):
                removed.discard(mover.key)
        return frozenset(removed)

    def _fits(self, vector: Vector, removed: Removed) -> bool:
        if not any(vector):
            return True
        key = (vector, removed)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._decide(vector, removed)
        return known

    def _decide(self, vector: Vector, removed: Removed) -> bool:
        removals = self._removals
        if not removals._room(self._node, vector, removed):
            return False
        wanted = [
            claim for claims, count in zip(self._wanted, vector, strict=True) for _ in range(count) for claim in claims
        ]
        if not wanted:
            return True
        if not self._may_fit(vector, removed):
            return False
        problem = removals._planner.site.allocator.problem(self._view, tuple([claim.shape for claim in wanted]))
        return decide(problem, self._view, standing(problem, self._occupancy(removed)), wanted).fits

    def _occupancy(self, removed: Removed) -> Occupancy:
        known = self._taken.get(removed)
        if known is None:
            claims = self._removals._away.union(*(self._by_key[key].claims for key in removed))
            known = self._taken[removed] = self._view.occupancy_without(claims) if claims else self._view.occupancy
        return known


def _together(roles: Sequence[PodRole]) -> list[PodRole]:
    """The largest roles whose vectors are few enough; at least one."""
    kept: list[PodRole] = []
    states = 1
    for role in sorted(roles, key=lambda each: -len(each.pods) * (1 + len(each.claims))):
        states *= len(role.pods) + 1
        if kept and states > _MOST_STATES:
            break
        kept.append(role)
    return kept


def _less(vector: Vector, at: int) -> Vector:
    return (*vector[:at], vector[at] - 1, *vector[at + 1 :])


def _within(small: Vector, large: Vector) -> bool:
    return all(one <= other for one, other in zip(small, large, strict=True))
