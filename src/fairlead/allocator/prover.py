"""Tells the search in the documented order whether anything can come of a state, with the cheapest proof first.

Until dead ends become many only bounds are looked at, and what failed before. From then on it is asked whether what
remains can be completed (`completion`). A completion that was found shows that each state on the way to it is alive, so
nothing is asked about those. Where a request has something in it, what comes before that in the documented order is
asked about alternative by alternative, and device by device only within the alternative that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fairlead.allocator.bounds import Bounds
from fairlead.allocator.completion import Completion
from fairlead.allocator.demand import Choice, Demand, remaining
from fairlead.allocator.equivalence import Equivalence
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.precedence import Chosen, Precedence
from fairlead.allocator.slot import Slot, bits

_PATIENCE = 12
"""Dead ends after which it pays to ask for a completion before each step."""


class Prover:
    """Tells whether anything can come of a state, with the cheapest proof first."""

    def __init__(self, moves: Moves, bounds: Bounds, horizon: list[int]) -> None:
        self._moves = moves
        self._bounds = bounds
        self._horizon = horizon
        self._equivalence = Equivalence(moves)
        self.completion = Completion(moves, bounds, self._equivalence)
        self._failed: set[object] = set()
        self._dead_ends = 0
        self._expected: set[tuple[int, int, int, State]] = set()
        """Position, alternative, how many are chosen, state: what is known to lead to a solution."""
        self._solution: dict[tuple[int, State], Chosen] = {}
        """By position and state before it, what the request has there."""
        self._total = len(moves.problem.positions)
        self._certain = horizon[0] == len(moves.problem.positions) and not any(
            moves.observes(slot) for slot in moves.problem.slots
        )
        """Whether a completion is a solution."""
        self.precedence = Precedence(moves) if self._certain else None
        """Which choices are not those of the first solution, where nothing can raise an error."""
        self._taking: dict[int, Slot] = {}
        """By slot that takes all devices, one that takes some of them, whatever constraints say."""

    def remember(self, key: object) -> None:
        """Takes note that nothing came of the state of this key."""
        if key is not None:
            self._failed.add(key)
        self._dead_ends += 1

    @property
    def impatient(self) -> bool:
        """Whether dead ends have become many."""
        return self._dead_ends > _PATIENCE

    def examine(self, position: int, alternative: int, kth: int, state: State, below: int) -> tuple[object, bool]:
        """The key of the state, and whether it is known that nothing comes of it, neither solution nor error."""
        if self._certain and (position, alternative, kth, state) in self._expected:
            return None, False
        moves = self._moves
        total = len(moves.problem.positions)
        everything = remaining(moves, total, position, alternative, kth, state, below)
        restricted = 1 << position if below else 0
        slots = moves.problem.alternatives[position]
        tried = slots if alternative < 0 else slots[alternative : alternative + 1]
        fatal = any(moves.fatal[slot.number] for slot in tried)
        key = (alternative, below if fatal else 0, self._equivalence.key(everything, state, restricted))
        if key in self._failed:
            return key, True
        if fatal:
            return key, False
        horizon = self._horizon[position + 1]
        demands = everything[: horizon - position]
        if horizon < total and (all_first := self._all_first(horizon, state, demands)) is not None:
            demands.append(all_first)
            restricted |= 1 << horizon
        if self._bounds.shortfall(demands, state) is not None or (
            self.impatient and not self.completion.possible(demands, state, restricted, self._certain)
        ):
            self.remember(key)
            return key, True
        if self.impatient:
            self._expect(position, alternative, kth, state)
        return key, False

    def _expect(self, position: int, alternative: int, kth: int, state: State) -> None:
        """Takes note of the states on the way to the completion that was found, as far as it is known."""
        moves = self._moves
        problem = moves.problem
        self._expected.clear()
        self._solution.clear()
        self._expected.add((position, alternative, kth, state))
        while position < len(problem.positions):
            for place, slot in enumerate(problem.alternatives[position]):
                devices = self.completion.found.get((position, slot.number))
                if devices and alternative in (-1, place) and len(devices) == slot.unit.count - kth:
                    break
            else:
                return
            devices.sort()
            if not kth:
                self._solution[position, state] = place, tuple(devices)
            self._expected.add((position, place, kth, state))
            for number in devices:
                state = moves.take(slot, number, state)
                kth += 1
                self._expected.add((position, place, kth, state))
            position, alternative, kth = position + 1, -1, 0
            if position < len(problem.positions) and not problem.positions[position][1]:
                state = state._replace(claim_taken=0)
            self._expected.add((position, -1, 0, state))

    def first_choice(self, position: int, state: State, chosen: Mapping[int, Chosen]) -> Chosen | None:
        """The first choice for a request that has a completion; None where that was not found out.

        Args:
            position: the request.
            state: what is chosen.
            chosen: what every request before has.
        """
        best = self._solution.get((position, state))
        if best is None or self.precedence is None:
            return None
        while True:
            for demands, at, restricted, lower in self._earlier(position, state, best, chosen, self.precedence):
                if self._bounds.shortfall(demands, at) is not None:
                    continue
                if self.completion.possible(demands, at, restricted, True):
                    place, devices = lower
                    if devices:
                        slot = self._moves.problem.alternatives[position][place].number
                        self.completion.found.setdefault((position, slot), []).extend(devices)
                    self._expect(position, -1, 0, state)
                    better = self._solution.get((position, state))
                    if better is None or better >= best:
                        return None
                    best = better
                    break
            else:
                return best

    def _earlier(
        self, position: int, state: State, best: Chosen, chosen: Mapping[int, Chosen], precedence: Precedence
    ) -> Iterator[tuple[list[Demand], State, int, Chosen]]:
        """Questions for what comes before a choice: what remains, state, restricted positions, what the request has."""
        moves = self._moves
        total = self._total
        slots = moves.problem.alternatives[position]
        last, devices = best
        single = len(devices) == 1
        claim = moves.problem.positions[position][0]
        first = remaining(moves, position + 1, position, -1, 0, state, 0)[0]
        choices = []
        for place, choice in enumerate(first.choices[: last + single]):
            first_devices = choice.candidates & precedence.allowed(position, place, (), chosen)
            if place == last:
                first_devices &= (1 << devices[0]) - 1
            choice.candidates &= first_devices if choice.count == 1 else -(first_devices & -first_devices)
            if first_devices:
                choices.append(choice)
        for choice in choices:
            others = remaining(moves, total, position, -1, 0, state, 0)[1:]
            yield [Demand(position, claim, [choice]), *others], state, 1 << position, (last, ())
        slot = slots[last]
        if single or slot.unit.all_devices:
            return
        for kth, number in enumerate(devices):
            below = (2 << devices[kth - 1]) - 1 if kth else 0
            first = remaining(moves, position + 1, position, last, kth, state, below)[0]
            here = first.choices[0].candidates & (1 << number) - 1
            here &= precedence.allowed(position, last, devices[:kth], chosen)
            for lower in bits(here):
                if moves.fits(slot, lower, state):
                    at = moves.take(slot, lower, state)
                    if kth + 1 < len(devices):
                        demands = remaining(moves, total, position, last, kth + 1, at, (2 << lower) - 1)
                    elif position + 1 < total:
                        fresh = at if moves.problem.positions[position + 1][1] else at._replace(claim_taken=0)
                        demands = remaining(moves, total, position + 1, -1, 0, fresh, 0)
                    else:
                        demands = []
                    yield demands, at, 1 << position, (last, (*devices[:kth], lower))
            state = moves.take(slot, number, state)

    def _all_first(self, position: int, state: State, before: Sequence[Demand]) -> Demand | None:
        """What a request for all devices needs to come to an error at all, where that is the next that may raise one.

        It takes its devices in order and gives up without an error at the first that somebody has or that has no
        room; a constraint looks at a device after that. So the devices must be there and payable up to the first that
        a constraint could still forbid when their turn comes.
        """
        moves = self._moves
        slots = moves.problem.alternatives[position]
        slot = slots[0]
        if len(slots) > 1 or not slot.unit.all_devices:
            return None
        settled = -1
        for number, rule in slot.constraints:
            values = state.rules[number]
            # Once a match is down to one value, that is the value; nothing else is sure to stay accepted.
            if not rule.distinct and values < 0:
                values = _sure_value(number, [demand for demand in before if demand.claim == slot.claim])
            settled &= 0 if rule.distinct or values < 0 or values & values - 1 else rule.accepted(values)
        needed = 0
        for number in moves.numbers(slot):
            # What other requests take may be observed, so only for shares of a device it is sure that they compete.
            if not slot.unit.admin_access or moves.shared >> number & 1:
                needed |= 1 << number
            if not settled >> number & 1 or number in slot.late:
                break
        if not needed:
            return None
        if slot.number not in self._taking:
            unit = replace(slot.unit, all_devices=False, admin_access=False)
            self._taking[slot.number] = replace(slot, unit=unit, rules=(), constraints=(), groups=())
        mask = moves.affordable(slot, moves.open_to(slot, state) & needed, state)
        return Demand(position, slot.claim, [Choice(self._taking[slot.number], mask, needed.bit_count())])


def _sure_value(rule: int, demands: Sequence[Demand]) -> int:
    """The value, as a mask, that a match will have once the demands are met; -1 where that is not sure."""
    for demand in demands:
        values = 0
        for choice in demand.choices:
            index = dict(choice.slot.constraints)[rule].index if rule in choice.slot.rules else None
            if index is None or index.valueless & choice.candidates:
                break
            for number in bits(choice.candidates):
                values |= index.values_of[number]
        else:
            if values and not values & values - 1:
                return values
    return -1


def horizons(moves: Moves) -> list[int]:
    """By position: the first request from there on that may raise an error; one entry more than there are positions."""
    problem = moves.problem
    count = len(problem.positions)
    horizon = [count] * (count + 1)
    for position in range(count - 1, -1, -1):
        fatal = any(moves.fatal[slot.number] for slot in problem.alternatives[position])
        horizon[position] = position if fatal else horizon[position + 1]
    return horizon
