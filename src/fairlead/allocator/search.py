"""The exact search: the first complete allocation in the documented order, or the proof that there is none.

The order is that of Kubernetes' allocator (policy `first-fit`): claims, requests and alternatives in order; for a
count of n the combinations of n devices in increasing order; the rest of the claims is part of the success of a
choice. What is found is the first solution of that order. Nothing here changes which one is first: choices are only
skipped when it is proved that nothing follows from them,

* by a bound (`bounds`): counting, matching and totals on what is left;
* because an equivalent state failed before (`equivalence`); or
* because a search in a better order found no completion (`completion`).

Reaching a device whose selector fails with an error ends the search with that error, as does a device that `All`
must take and a constraint forbids. So that errors stay what they are in the plain search, a branch is only cut by
what comes before the first request that could raise one: such a request, once reached, either succeeds or raises.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead.allocator.bounds import Bounds
from fairlead.allocator.demand import remaining
from fairlead.allocator.moves import Moves, Standing, State
from fairlead.allocator.precedence import Chosen
from fairlead.allocator.problem import Problem, over_limit
from fairlead.allocator.prover import Prover, horizons
from fairlead.allocator.request import MAX_RESULTS
from fairlead.allocator.slot import DEVICE, Fault, Slot, where


class FatalError(Exception):
    """The search reached something that ends it on every node."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class Pick(NamedTuple):
    """A device for a request."""

    claim: int
    request: int
    alternative: int
    number: int


class Frame:
    """One device to choose: the k-th of a request, or the first, where alternatives are still open."""

    __slots__ = ("alternative", "before", "candidates", "first", "floor", "key", "picked", "position", "state")

    def __init__(self, position: int, alternative: int, before: tuple[int, ...], state: State, key: object) -> None:
        self.position = position
        self.alternative = alternative
        self.before = before
        """The devices that the request has already."""
        self.state = state
        self.key = key
        self.floor: tuple[int, ...] = ()
        """Devices of the request before which none come; empty where that is not known."""
        self.first: Chosen | None = None
        """What the request is to have at least, where that is known."""
        self.candidates = 0
        self.picked: tuple[int, ...] = ()

    @property
    def kth(self) -> int:
        """How many devices the request has already."""
        return len(self.before)

    @property
    def below(self) -> int:
        """The devices before the first that may be chosen."""
        return (2 << self.before[-1]) - 1 if self.before else 0

    @property
    def devices(self) -> tuple[int, ...]:
        """All devices that the request has with those picked here."""
        return self.before + self.picked


class Search:
    """One decision: a problem and what is taken now."""

    def __init__(self, problem: Problem, standing: Standing, first_branch_failed: bool = False) -> None:
        """Prepares the search.

        Args:
            problem: the claims.
            standing: what is taken.
            first_branch_failed: whether it is known that the first branch ends in a dead end.
        """
        self.problem = problem
        self._first_branch_failed = first_branch_failed
        self.moves = Moves(problem, standing)
        self.steps = 0
        """How many devices were tried; what the search cost."""
        self._prover: Prover | None = None
        self._asked = False
        """Whether it was asked how far back the first wrong step lies."""
        self._chosen: dict[int, Chosen] = {}
        """By position, what each request has that was satisfied."""

    def run(self) -> list[Pick] | None:
        """The first solution, or None where there is none.

        Raises:
            FatalError: the search reached an error before it found a solution.
        """
        self._check_limits()
        if not self.problem.positions:
            return []
        if not self._first_branch_failed:
            found = self._descend()
            if found is not None:
                return found
        bounds = Bounds(self.moves)
        horizon = horizons(self.moves)
        if horizon[0]:
            demands = remaining(self.moves, horizon[0], 0, -1, 0, self.moves.start(), 0)
            if bounds.shortfall(demands, self.moves.start()) is not None:
                return None
            for demand in demands:
                for slot in self.problem.alternatives[demand.position]:
                    self.moves.masks[slot.number] = 0
                for choice in demand.choices:
                    self.moves.masks[choice.slot.number] = choice.candidates
            found = self._descend()
            if found is not None:
                return found
        self._prover = Prover(self.moves, bounds, horizon)
        if horizon[0] and self._prover.completion.impossible_claim(demands, self.moves.start()):
            return None
        return self._descend()

    def _check_limits(self) -> None:
        for number, claim in enumerate(self.problem.claims):
            least = sum(min(self.moves.count(slot) for slot in slots) for slots in claim.requests)
            if least > MAX_RESULTS:
                raise FatalError(Fault(number, over_limit(least)))

    def _descend(self) -> list[Pick] | None:
        """Depth first; without a prover only as far as the first dead end."""
        stack: list[Frame] = []
        proving = self._prover is not None
        self._push(stack, 0, -1, (), self.moves.start())
        while stack:
            frame = stack[-1]
            step = self._next(frame)
            if step is None:
                stack.pop()
                if self._prover is None:
                    return None
                self._prover.remember(frame.key)
                if self._prover.impatient and not self._asked:
                    self._asked = True
                    self._look_back(stack, self._prover)
                continue
            slot = self.problem.alternatives[frame.position][frame.alternative]
            devices = frame.devices
            if not slot.unit.all_devices and len(devices) < slot.unit.count:
                pushed = self._push(stack, frame.position, frame.alternative, devices, step)
            elif frame.position + 1 == len(self.problem.positions):
                return self._picks(stack)
            else:
                if not self.problem.positions[frame.position + 1][1]:
                    step = step._replace(claim_taken=0)
                self._chosen[frame.position] = frame.alternative, devices
                pushed = self._push(stack, frame.position + 1, -1, (), step)
            if not pushed and not proving:
                return None
        return None

    def _look_back(self, stack: list[Frame], prover: Prover) -> None:
        """Goes back to the last request that may still lead somewhere; done once, when dead ends become many.

        Until then steps were taken without asking, and the one that went wrong may lie far back. What follows from a
        dead frame is dead as well, so the first of those is found by halving.
        """
        starts = [place for place, frame in enumerate(stack) if not frame.before]
        alive, dead = 0, len(starts)
        # Where there is no solution at all, that is often easiest to see at the beginning.
        middle = 0
        while alive < dead:
            frame = stack[starts[middle]]
            if prover.examine(frame.position, -1, 0, frame.state, 0)[1]:
                dead = middle
            else:
                alive = middle + 1
            middle = (alive + dead) // 2
        if alive:
            frame = stack[starts[alive - 1]]
            del stack[starts[alive - 1] :]
            self._push(stack, frame.position, -1, (), frame.state)
        else:
            stack.clear()

    def _push(self, stack: list[Frame], position: int, alternative: int, before: tuple[int, ...], state: State) -> bool:
        """Goes one level deeper, unless it is known that nothing can come of it."""
        frame = Frame(position, alternative, before, state, None)
        if self._prover is not None:
            frame.key, dead = self._prover.examine(position, alternative, len(before), state, frame.below)
            if dead:
                return False
        if alternative >= 0:
            floor = stack[-1].floor
            if floor[: len(before)] == before:
                frame.floor = floor
            frame.candidates = self._scan(frame)
        elif self._prover is not None:
            frame.first = self._prover.first_choice(position, state, self._chosen)
            if frame.first is not None:
                frame.alternative = frame.first[0] - 1
        stack.append(frame)
        return True

    def _scan(self, frame: Frame) -> int:
        """All devices at which the search stops: those that can be chosen and those that raise an error."""
        slot = self.problem.alternatives[frame.position][frame.alternative]
        mask = self.moves.candidates(slot, frame.state)
        if slot.error_mask:
            state = frame.state
            untaken = ~state.claim_taken if slot.unit.admin_access else self.moves.free & ~state.taken
            mask |= slot.error_mask & untaken
        if frame.floor:
            mask &= -1 << frame.floor[frame.kth]
        if mask and self._prover is not None and self._prover.precedence is not None:
            mask &= self._prover.precedence.allowed(frame.position, frame.alternative, frame.before, self._chosen)
        return mask & ~frame.below

    def _next(self, frame: Frame) -> State | None:
        """Chooses the frame's next device and returns the state after it; None when there is none left."""
        slots = self.problem.alternatives[frame.position]
        while True:
            if frame.alternative >= 0:
                slot = slots[frame.alternative]
                if slot.unit.all_devices:
                    if frame.candidates:
                        frame.candidates = 0
                        step = self._take_all(frame, slot)
                        if step is not None:
                            return step
                else:
                    step = self._take_next(frame, slot)
                    if step is not None:
                        return step
                    # The first branch may only leave an alternative that surely has no solution.
                    if (
                        self._prover is None
                        and frame.alternative + 1 < len(slots)
                        and self.moves.candidates(slot, frame.state).bit_count() >= slot.unit.count
                    ):
                        return None
                if frame.kth:
                    return None
            if frame.alternative + 1 == len(slots):
                return None
            frame.alternative += 1
            self._open_alternative(frame, len(slots) > 1)

    def _open_alternative(self, frame: Frame, several: bool) -> None:
        slot = self.problem.alternatives[frame.position][frame.alternative]
        frame.candidates = 0
        frame.picked = ()
        count = self.moves.count(slot)
        if not count or frame.state.used_by(slot.claim) + count > MAX_RESULTS:
            return
        if slot.unit.all_devices:
            frame.candidates = 1
            return
        if self._prover is not None and self._prover.precedence is not None:
            if not self._prover.precedence.allowed(frame.position, frame.alternative, (), self._chosen):
                return
            if frame.first is not None and frame.alternative == frame.first[0]:
                frame.floor = frame.first[1]
        if self._prover is not None and several:
            _, dead = self._prover.examine(frame.position, frame.alternative, 0, frame.state, 0)
            if dead:
                return
        frame.candidates = self._scan(frame)

    def _take_next(self, frame: Frame, slot: Slot) -> State | None:
        while frame.candidates:
            bit = frame.candidates & -frame.candidates
            frame.candidates ^= bit
            number = bit.bit_length() - 1
            self.steps += 1
            if slot.error_mask & bit:
                raise FatalError(Fault(slot.claim, slot.errors[number], number))
            if self.moves.fits(slot, number, frame.state):
                if number in slot.late:
                    raise FatalError(Fault(slot.claim, slot.late[number], number))
                frame.picked = (number,)
                return self.moves.take(slot, number, frame.state)
        return None

    def _take_all(self, frame: Frame, slot: Slot) -> State | None:
        numbers = self.moves.numbers(slot)
        self.steps += len(numbers)
        frame.picked = numbers
        return take_all(self.moves, slot, frame.state)

    def _picks(self, stack: list[Frame]) -> list[Pick]:
        return [
            Pick(*self.problem.positions[frame.position], frame.alternative, number)
            for frame in stack
            for number in frame.picked
        ]


def take_all(moves: Moves, slot: Slot, state: State) -> State | None:
    """The state with all devices of a slot chosen; None where one of them cannot be had.

    Raises:
        FatalError: a rule forbids one, and those before it can be had.
    """
    for number in moves.numbers(slot):
        bit = 1 << number
        if not moves.open_to(slot, state) & bit or not moves.fits(slot, number, state):
            return None
        if not moves.accepted(slot, state) & bit:
            text = f"{where(slot.unit)}: cannot add device {DEVICE} because a claim constraint would not be satisfied"
            raise FatalError(Fault(slot.claim, text, number))
        if number in slot.late:
            raise FatalError(Fault(slot.claim, slot.late[number], number))
        state = moves.take(slot, number, state)
    return state
