"""What the completions found so far have chosen, as the first thing to try in the next one.

From one question to the next the search has chosen a device or two, and most of a completion stays good. So a new one
is first looked for by keeping what can be kept and choosing anew for the few demands that lost what they had; and a
search from nothing looks at the old choices first (phase saving, in terms of constraint solvers; the former is a large
neighbourhood search, whose neighbourhoods are the demands of a rule, of a claim and of either half).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fairlead.allocator.demand import Choice, Demand
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.slot import Slot, bits

Step = tuple[int, Slot, int]
"""Position, slot and device of a choice."""


class Habits:
    """The old choices of one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._chosen: dict[int, dict[int, int]] = {}
        """By position and slot, the devices as a mask."""

    def adopt(self, path: Sequence[Step]) -> None:
        """Replaces the habits of all demands on the way; the others keep theirs."""
        fresh: dict[int, dict[int, int]] = {}
        for position, slot, number in path:
            devices = fresh.setdefault(position, {})
            devices[slot.number] = devices.get(slot.number, 0) | 1 << number
        self._chosen.update(fresh)

    def of(self, position: int, slot: Slot) -> int:
        """The devices that the slot had, as a mask."""
        chosen = self._chosen.get(position)
        return chosen.get(slot.number, 0) if chosen else 0

    def keep(self, demands: Sequence[Demand], loose: int, state: State) -> tuple[list[Step], list[Demand], State]:
        """Chooses what was chosen before, as far as that is possible.

        Args:
            demands: what remains.
            loose: the positions, as a mask, of demands for which all is to be chosen anew.
            state: what is chosen.

        Returns:
            The steps taken, the demands that are left, with the candidates that they have then, and the state.
        """
        moves = self._moves
        steps: list[Step] = []
        left: list[Demand] = []
        for demand in demands:
            taken = None if loose >> demand.position & 1 else self._repeat(demand, state, steps)
            if taken is None:
                left.append(demand)
            else:
                state = taken
        given = state.taken & ~moves.shared
        following = []
        for demand in left:
            choices = []
            for choice in demand.choices:
                mask = choice.candidates & ~given & moves.accepted(choice.slot, state)
                choices.append(Choice(choice.slot, moves.affordable(choice.slot, mask, state), choice.count))
            following.append(Demand(demand.position, demand.claim, choices))
        return steps, following, state

    def _repeat(self, demand: Demand, state: State, steps: list[Step]) -> State | None:
        moves = self._moves
        chosen = self._chosen.get(demand.position)
        if not chosen:
            return None
        for choice in demand.choices:
            slot = choice.slot
            devices = chosen.get(slot.number, 0) & choice.candidates
            if devices.bit_count() != choice.count:
                continue
            after = state
            for number in bits(devices):
                open_ = moves.accepted(slot, after) & ~(after.taken & ~moves.shared)
                if not open_ >> number & 1 or not moves.fits(slot, number, after):
                    break
                after = moves.take(slot, number, after)
            else:
                steps.extend([(demand.position, slot, number) for number in bits(devices)])
                return after
        return None


def neighbourhoods(demands: Sequence[Demand], lost: Sequence[Demand]) -> Iterator[int]:
    """Which demands to choose anew together with those that lost what they had, as masks of positions."""
    yield 0
    rules = {number for demand in lost for choice in demand.choices for number, _ in choice.slot.constraints}
    claims = {demand.claim for demand in lost}
    related = 0
    for demand in demands:
        if demand.claim in claims or any(n in rules for choice in demand.choices for n, _ in choice.slot.constraints):
            related |= 1 << demand.position
    yield related
    halves = [0, 0]
    for place, demand in enumerate(demands):
        halves[place & 1] |= 1 << demand.position
    for half in halves:
        yield related | half
