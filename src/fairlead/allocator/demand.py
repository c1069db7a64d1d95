"""What remains to be satisfied in a state: one demand for each open request."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.allocator.moves import Moves, State
from fairlead.allocator.slot import Slot


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A proof that demands cannot be met: `kind` is count, match, distinct, groups, together, amount or limit."""

    kind: str
    requests: tuple[int, ...]
    """Positions of the requests that cannot be satisfied together."""
    wanted: int = 0
    available: int = 0
    attribute: str = ""
    """For match, distinct and groups: what the rule is about."""
    account: str = ""
    """For amounts: the counter or capacity that is short; empty where it is the number of devices."""


class Choice:
    """One slot that a demand may use: its candidates, narrowed as proofs go on."""

    __slots__ = ("candidates", "count", "slot")

    def __init__(self, slot: Slot, candidates: int, count: int) -> None:
        self.slot = slot
        self.candidates = candidates
        self.count = count

    @property
    def possible(self) -> bool:
        """Whether it has enough candidates by itself."""
        return self.candidates.bit_count() >= self.count


class Demand:
    """A remaining request with the choices that are still possible."""

    __slots__ = ("choices", "claim", "position")

    def __init__(self, position: int, claim: int, choices: list[Choice]) -> None:
        self.position = position
        self.claim = claim
        self.choices = choices

    def narrow(self) -> bool:
        """Drops choices that have become impossible; False when none is left."""
        self.choices = [choice for choice in self.choices if choice.possible]
        return bool(self.choices)

    def least(self) -> int:
        """The fewest devices that any choice takes."""
        if len(self.choices) == 1:
            return self.choices[0].count
        return min(choice.count for choice in self.choices)

    def candidates(self) -> int:
        """The devices that any choice could take."""
        if len(self.choices) == 1:
            return self.choices[0].candidates
        mask = 0
        for choice in self.choices:
            mask |= choice.candidates
        return mask

    def observes(self, shared: int) -> bool:
        """Whether it may be satisfied by devices that others have for themselves (admin access).

        Where only shared devices are left to it, it takes shares of those like any other.

        Args:
            shared: the devices that can be given several times.
        """
        return any(choice.slot.unit.admin_access and choice.candidates & ~shared for choice in self.choices)


def choice(moves: Moves, slot: Slot, state: State, chosen: int = 0, below: int = 0) -> Choice:
    """The slot as a choice.

    Args:
        moves: the decision.
        slot: the slot.
        state: what is chosen.
        chosen: how many of its devices are chosen already.
        below: devices that may not be chosen any more.
    """
    mask = moves.affordable(slot, moves.candidates(slot, state) & ~below, state)
    if not slot.unit.all_devices:
        return Choice(slot, mask, slot.unit.count - chosen)
    wanted = moves.numbers(slot)
    taking = 0
    for number in wanted:
        taking |= 1 << number
    # No device at all fails too, as if one were missing.
    return Choice(slot, mask & taking, len(wanted) or 1)


def remaining(
    moves: Moves, horizon: int, position: int, alternative: int, chosen: int, state: State, below: int
) -> list[Demand]:
    """The open requests from a position up to (not including) the horizon.

    Args:
        moves: the decision.
        horizon: the first position that is not looked at.
        position: the request to be satisfied next.
        alternative: the alternative of it that is being tried; -1 for any.
        chosen: how many of its devices are chosen already.
        state: what is chosen.
        below: devices of the current request that may not be chosen any more.
    """
    problem = moves.problem
    slots = problem.alternatives[position]
    if alternative >= 0:
        slots = slots[alternative : alternative + 1]
    claim = problem.positions[position][0]
    demands = [Demand(position, claim, [choice(moves, slot, state, chosen, below) for slot in slots])]
    # What the current claim has taken does not concern admin access of later claims.
    fresh = state._replace(claim_taken=0)
    for later in range(position + 1, horizon):
        at = state if problem.positions[later][0] == claim else fresh
        choices = [choice(moves, slot, at) for slot in problem.alternatives[later]]
        demands.append(Demand(later, problem.positions[later][0], choices))
    return demands
