"""Which of two requests, or claims, that could change places goes first.

Where two requests of a solution could have each what the other has, exchanging that gives another solution. The first
solution of the documented order therefore never gives the later one what would come before what the earlier one has, if
it had that instead. So such a choice need not be tried, nor anybody be asked whether something could come of it. The
same holds for two claims that ask for the same under constraints of the same kind.

This says which solution is not the first, not that there is none; so it serves the search in the documented order
alone. What that goes through before it reaches the first solution holds none at all, so what it remembers as a dead end
is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fairlead.allocator.moves import Moves
from fairlead.allocator.problem import ClaimProblem
from fairlead.allocator.request import MAX_RESULTS
from fairlead.allocator.slot import Slot

Chosen = tuple[int, tuple[int, ...]]
"""The alternative that a request has, and its devices in the order in which they were chosen."""


class _Rival(NamedTuple):
    """An earlier request that could have what a later one gets."""

    position: int
    alternative: int
    """What the alternative of the later one is among its own."""
    returning: frozenset[int]
    """Those of its own alternatives that the later one could have in turn."""


class _Kind(NamedTuple):
    """Equal for slots of which each could have what the other has."""

    devices: int
    what: tuple[object, ...]
    rules: tuple[object, ...]


class Precedence:
    """The requests and claims of one decision that could change places. Nothing in it may raise an error."""

    def __init__(self, moves: Moves) -> None:
        """Compares all requests and claims."""
        problem = moves.problem
        # How many devices it gets more or less matters to a claim that might get too many.
        tight = [
            sum(max(moves.count(slot) for slot in slots) for slots in claim.requests) > MAX_RESULTS
            for claim in problem.claims
        ]
        kinds = [[_kind(slot, moves.count(slot)) for slot in slots] for slots in problem.alternatives]
        self._rivals: list[list[list[_Rival]]] = []
        """By position and alternative."""
        earlier: dict[object, list[int]] = {}
        for position, ours in enumerate(kinds):
            claim = problem.positions[position][0]
            rivals: list[list[_Rival]] = []
            for kind in ours:
                rivals.append([])
                for other in earlier.get(kind, ()):
                    theirs = problem.positions[other][0]
                    free = theirs == claim or not (tight[claim] or tight[theirs])
                    returning = [
                        place
                        for place, one in enumerate(kinds[other])
                        if one in ours and (free or one.devices == kind.devices)
                    ]
                    if returning:
                        rivals[-1].append(_Rival(other, kinds[other].index(kind), frozenset(returning)))
            self._rivals.append(rivals)
            for kind in dict.fromkeys(ours):
                earlier.setdefault(kind, []).append(position)
        first: dict[object, int] = {}
        self._twins: list[int] = []
        """By position, the same request of the last claim before that asks for the same; -1 for none."""
        begin = 0
        for asking in problem.claims:
            build = _build(moves, asking)
            before = first.get(build, -1)
            first[build] = begin
            self._twins += [before + place if before >= 0 else -1 for place in range(len(asking.requests))]
            begin += len(asking.requests)
        self._begins = [position - problem.positions[position][1] for position in range(len(problem.positions))]

    def floor(self, position: int, alternative: int, chosen: Mapping[int, Chosen]) -> tuple[int, ...] | None:
        """The devices that the request must not go below with this alternative, where it can be of the first solution.

        Args:
            position: the request.
            alternative: one of its alternatives.
            chosen: what every request before has.

        Returns:
            As many as it takes, or none where any will do; None where the alternative is not to be tried.
        """
        floor: tuple[int, ...] = ()
        for rival, theirs, returning in self._rivals[position][alternative]:
            has, devices = chosen[rival]
            if has in returning:
                if theirs < has:
                    return None
                if theirs == has:
                    floor = max(floor, devices)
        twin = self._twins[position]
        if twin >= 0:
            begin = self._begins[position]
            if all(chosen[one] == chosen[one - position + twin] for one in range(begin, position)):
                has, devices = chosen[twin]
                if alternative < has:
                    return None
                if alternative == has:
                    floor = max(floor, devices)
        return floor


def _kind(slot: Slot, count: int) -> _Kind:
    if slot.unit.all_devices or slot.unit.admin_access:
        return _Kind(count, (slot.number,), slot.constraints)
    return _Kind(count, (slot.tariff, slot.mask, slot.groups), slot.constraints)


def _build(moves: Moves, claim: ClaimProblem) -> object:
    """Equal for claims of which each could have what the other has."""
    first = min([number for slots in claim.requests for slot in slots for number, _ in slot.constraints], default=0)
    return tuple(
        [
            tuple(
                [
                    _kind(slot, moves.count(slot))._replace(
                        rules=tuple([(number - first, rule.condition) for number, rule in slot.constraints])
                    )
                    for slot in slots
                ]
            )
            for slots in claim.requests
        ]
    )
