"""Which of two requests, or claims, that could change places goes first.

Where two requests of a solution could have each what the other has, exchanging that gives another solution. The first
solution of the documented order therefore never gives the later one what would come before what the earlier one has, if
it had that instead. So such a choice need not be tried, nor anybody be asked whether something could come of it. The
same holds for single devices of requests that differ in nothing but their counts, and for two claims that ask for the
same under constraints of the same kind.

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

_MOST = 16
"""Earlier requests with which one is compared, the last ones; to compare fewer only rules out less."""

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
    """Equal for slots of which each could have what the other has; but for the number, for single devices."""

    what: tuple[object, ...]
    rules: tuple[object, ...]
    devices: int


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
        self._counts = [[kind.devices for kind in ours] for ours in kinds]
        self._rivals: list[list[list[_Rival]]] = []
        """By position and alternative."""
        self._peers: list[list[list[tuple[int, frozenset[int]]]]] = []
        """By position and alternative, earlier requests with those of their alternatives that may get any of the same
        devices under the same rules."""
        earlier: dict[object, list[int]] = {}
        for position, ours in enumerate(kinds):
            claim = problem.positions[position][0]
            rivals: list[list[_Rival]] = []
            peers: list[list[tuple[int, frozenset[int]]]] = []
            for kind in ours:
                rivals.append([])
                for other in earlier.get(kind, ())[-_MOST:]:
                    theirs = problem.positions[other][0]
                    free = theirs == claim or not (tight[claim] or tight[theirs])
                    returning = [
                        place
                        for place, one in enumerate(kinds[other])
                        if one in ours and (free or one.devices == kind.devices)
                    ]
                    if returning:
                        rivals[-1].append(_Rival(other, kinds[other].index(kind), frozenset(returning)))
                alike = kind[:2]
                peers.append(
                    [
                        (other, frozenset([place for place, one in enumerate(kinds[other]) if one[:2] == alike]))
                        for other in earlier.get(alike, ())[-_MOST:]
                    ]
                )
            self._rivals.append(rivals)
            self._peers.append(peers)
            for key in dict.fromkeys([*ours, *[kind[:2] for kind in ours]]):
                earlier.setdefault(key, []).append(position)
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

    def allowed(self, position: int, alternative: int, before: tuple[int, ...], chosen: Mapping[int, Chosen]) -> int:
        """The devices, as a mask, of which the request can get the next one in the first solution.

        Args:
            position: the request.
            alternative: one of its alternatives.
            before: the devices that it has already.
            chosen: what every request before has.
        """
        mask = -1
        for rival, theirs, returning in self._rivals[position][alternative]:
            has, devices = chosen[rival]
            if theirs < has and has in returning:
                return 0
        missing = self._counts[position][alternative] - len(before)
        for peer, alternatives in self._peers[position][alternative]:
            has, devices = chosen[peer]
            if has in alternatives:
                mask &= _exchangeable(devices, before, missing)
        twin = self._twins[position]
        if twin >= 0:
            begin = self._begins[position]
            if all(chosen[one] == chosen[one - position + twin] for one in range(begin, position)):
                has, devices = chosen[twin]
                if alternative < has:
                    return 0
                if alternative == has and devices[: len(before)] == before:
                    mask &= -1 << devices[len(before)]
        return mask


def _exchangeable(theirs: tuple[int, ...], before: tuple[int, ...], missing: int) -> int:
    """The devices of which a request may get the next one after another that could have any of them has chosen.

    If it has one that the other lacks, it must have all later ones of the other too: the other would have come to that
    one first, in exchange for one that only it has.

    Args:
        theirs: what the other has, ascending.
        before: the devices that the request has already, ascending.
        missing: how many devices it is to get, at least one.
    """
    mask = -1
    if missing <= len(theirs):
        # Whatever comes before these would need all of them to follow.
        mask = -1 << theirs[-missing]
        for number in theirs:
            mask |= 1 << number
    own = [number for number in before if number not in theirs]
    if own:
        following = [number for number in theirs if number > before[-1]]
        if following:
            mask &= (2 << following[0]) - 1
    return mask


def _kind(slot: Slot, count: int) -> _Kind:
    if slot.unit.all_devices:
        return _Kind((slot.number,), slot.constraints, count)
    return _Kind((slot.tariff, slot.mask, slot.groups, slot.unit.admin_access), slot.constraints, count)


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
