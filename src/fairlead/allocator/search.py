"""The exact search: the first complete allocation in the documented order, or the proof that there is none.

The order is that of Kubernetes' allocator (policy `first-fit`): claims, requests and alternatives in order; for a
count of n the combinations of n devices in increasing order; the rest of the claims is part of the success of a
choice. What is found is the first solution of that order. Nothing here changes which one is first: choices are only
skipped when it is proved that nothing follows from them,

* by a bound (`bounds`): counting, matching and totals on what is left; or
* because an equivalent state failed before (`equivalence`).

Reaching a device whose selector fails with an error ends the search with that error, as does a device that `All`
must take and a constraint forbids. So that errors stay what they are in the plain search, a branch is only cut by
what comes before the first request that could raise one: such a request, once reached, either succeeds or raises.

A state is a tuple of ints and is never changed; backtracking is going back to an older one.
"""

from __future__ import annotations

from typing import NamedTuple

from fairlead.allocator.bounds import Bounds
from fairlead.allocator.equivalence import Equivalence
from fairlead.allocator.problem import Fault, Problem, Slot, over_limit, where
from fairlead.allocator.request import MAX_RESULTS
from fairlead.inventory import Occupancy


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


class State(NamedTuple):
    """What has been chosen so far, as far as it matters for what follows."""

    taken: int
    """Devices chosen for themselves by any claim."""
    claim_taken: int
    """Those among them chosen by the current claim."""
    left: int
    """The ledger."""
    started: int
    """Shared devices with at least one share."""
    rules: tuple[int, ...]
    """State of each rule of the current claim."""
    used: int
    """Devices chosen for the current claim."""


class Frame:
    """One device to choose: the k-th of a request, or the first, where alternatives are still open."""

    __slots__ = ("alternative", "below", "candidates", "key", "kth", "picked", "position", "state")

    def __init__(self, position: int, alternative: int, kth: int, state: State, below: int, key: object) -> None:
        self.position = position
        self.alternative = alternative
        self.kth = kth
        self.state = state
        self.below = below
        """The devices before the first that may be chosen."""
        self.key = key
        self.candidates = 0
        self.picked: tuple[int, ...] = ()


class Search:
    """One decision: a problem and what is taken now."""

    def __init__(self, problem: Problem, occupancy: Occupancy) -> None:
        self.problem = problem
        self.left = problem.left(occupancy)
        self.guards = problem.ledger.guards
        self.free = ~occupancy.held
        """Devices that no claim holds for itself."""
        self.payable = ~(problem.overdrawn | (occupancy.exhausted & ~occupancy.started))
        self.started = occupancy.started
        self.shared = problem.view.shared
        self.positions = problem.positions
        self.slots = problem.alternatives
        self.masks = [slot.mask for slot in problem.slots]
        """What is left of each slot's candidates once it is known which can be part of a solution."""
        self.steps = 0
        """How many devices were tried; what the search cost."""
        self._bounds: Bounds | None = None
        self._equivalence: Equivalence | None = None

    def run(self) -> list[Pick] | None:
        """The first solution, or None where there is none.

        Raises:
            FatalError: the search reached an error before it found a solution.
        """
        self._check_limits()
        found, picks = self._descend(False)
        if found:
            return picks
        self._bounds = Bounds(self)
        shortfall, narrowed = self._bounds.examine(0, -1, 0, self.start(), 0)
        if shortfall is not None:
            return None
        if narrowed:
            for number, mask in narrowed.items():
                self.masks[number] = mask
            found, picks = self._descend(False)
            if found:
                return picks
        self._equivalence = Equivalence(self)
        found, picks = self._descend(True)
        return picks if found else None

    def start(self) -> State:
        """The state in which nothing is chosen."""
        return self.at_request(0, State(0, 0, self.left, self.started, (), 0))

    def numbers(self, slot: Slot) -> tuple[int, ...]:
        """With `All`: the devices to take, which leaves out shared ones that have no room now."""
        if not slot.all_mask & self.shared:
            return slot.all_numbers
        return tuple(
            number
            for number in slot.all_numbers
            if not self.shared >> number & 1
            or (
                not self.problem.overdrawn >> number & 1
                and (self.left - slot.more_need.get(number, 0)) & self.guards == self.guards
            )
        )

    def count(self, slot: Slot) -> int:
        """How many devices the slot takes."""
        return len(self.numbers(slot)) if slot.unit.all_devices else slot.unit.count

    def open_to(self, slot: Slot, state: State) -> int:
        """The slot's devices that are not taken and that its claim's rules accept, whatever they cost."""
        mask = self.masks[slot.number]
        if slot.unit.admin_access:
            mask &= ~(state.claim_taken & ~self.shared)
        else:
            mask &= self.free & ~state.taken
        return mask

    def accepted(self, position: int, slot: Slot, rules: tuple[int, ...]) -> int:
        """The devices that the rules for this slot accept; all where there are none."""
        mask = -1
        if slot.unit.constraints:
            claim = self.problem.claims[self.positions[position][0]]
            for number in slot.unit.constraints:
                mask &= claim.rules[number].accepted(rules[number])
        return mask

    def need(self, slot: Slot, number: int, started: int) -> int:
        """What the device takes from the ledger."""
        if started >> number & 1:
            return slot.more_need.get(number, 0)
        return slot.first_need.get(number, 0)

    def fits(self, slot: Slot, number: int, state: State) -> bool:
        """Whether the ledger has what the device needs."""
        return (state.left - self.need(slot, number, state.started)) & self.guards == self.guards

    def take(self, position: int, slot: Slot, number: int, state: State) -> State:
        """The state with the device chosen."""
        bit = 1 << number
        rules = state.rules
        if slot.unit.constraints:
            claim = self.problem.claims[self.positions[position][0]]
            changed = list(rules)
            for constraint in slot.unit.constraints:
                changed[constraint] = claim.rules[constraint].after(rules[constraint], number)
            rules = tuple(changed)
        left = state.left - self.need(slot, number, state.started)
        if self.shared & bit:
            # Observing a device pays no counters, so the next share is still the first that does.
            started = state.started if slot.unit.admin_access else state.started | bit
            return State(state.taken, state.claim_taken, left, started, rules, state.used + 1)
        return State(state.taken | bit, state.claim_taken | bit, left, state.started, rules, state.used + 1)

    def at_request(self, position: int, state: State) -> State:
        """The state with which a request starts: a new claim starts without rules and with nothing used."""
        claim, request = self.positions[position]
        return state if request else self.at_claim(claim, state)

    def at_claim(self, claim: int, state: State) -> State:
        """The state with which a claim starts."""
        return State(state.taken, 0, state.left, state.started, self.problem.initial_rules[claim], 0)

    def _check_limits(self) -> None:
        for number, claim in enumerate(self.problem.claims):
            least = sum(min(self.count(slot) for slot in slots) for slots in claim.requests)
            if least > MAX_RESULTS:
                raise FatalError(Fault(number, over_limit(least)))

    def _descend(self, bounded: bool) -> tuple[bool, list[Pick]]:
        """Depth first; without bounds only as far as the first dead end."""
        stack: list[Frame] = []
        if not self.positions:
            return True, []
        if not self._push(stack, 0, -1, 0, self.start(), 0, bounded):
            return False, []
        while stack:
            frame = stack[-1]
            step = self._next(frame, bounded)
            if step is None:
                stack.pop()
                if not bounded:
                    return False, []
                assert self._equivalence is not None
                self._equivalence.remember(frame.key)
                continue
            slot = self.slots[frame.position][frame.alternative]
            kth = frame.kth + len(frame.picked)
            if not slot.unit.all_devices and kth < slot.unit.count:
                below = (2 << frame.picked[-1]) - 1
                pushed = self._push(stack, frame.position, frame.alternative, kth, step, below, bounded)
            elif frame.position + 1 == len(self.slots):
                return True, self._picks(stack)
            else:
                after = self.at_request(frame.position + 1, step)
                pushed = self._push(stack, frame.position + 1, -1, 0, after, 0, bounded)
            if not pushed and not bounded:
                return False, []
        return False, []

    def _push(
        self,
        stack: list[Frame],
        position: int,
        alternative: int,
        kth: int,
        state: State,
        below: int,
        bounded: bool,
    ) -> bool:
        """Goes one level deeper, unless it is known that nothing can come of it."""
        key: object = None
        if bounded:
            assert self._equivalence is not None
            assert self._bounds is not None
            key = self._equivalence.key(position, alternative, kth, state, below)
            if self._equivalence.failed(key):
                return False
            if self._bounds.dead(position, alternative, kth, state, below):
                self._equivalence.remember(key)
                return False
        frame = Frame(position, alternative, kth, state, below, key)
        if alternative >= 0:
            frame.candidates = self._scan(frame)
        stack.append(frame)
        return True

    def _scan(self, frame: Frame) -> int:
        """All devices at which the search stops: those that can be chosen and those that raise an error."""
        slot = self.slots[frame.position][frame.alternative]
        mask = self.open_to(slot, frame.state) & self.payable
        mask &= self.accepted(frame.position, slot, frame.state.rules)
        if slot.error_mask:
            state = frame.state
            untaken = ~state.claim_taken if slot.unit.admin_access else self.free & ~state.taken
            mask |= slot.error_mask & untaken
        return mask & ~frame.below

    def _next(self, frame: Frame, bounded: bool) -> State | None:
        """Chooses the frame's next device and returns the state after it; None when there is none left."""
        while True:
            if frame.alternative >= 0:
                slot = self.slots[frame.position][frame.alternative]
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
                if frame.kth:
                    return None
                if not bounded and frame.alternative + 1 < len(self.slots[frame.position]):
                    # The first branch may only leave an alternative that surely has no solution.
                    open_ = self.open_to(slot, frame.state) & self.accepted(frame.position, slot, frame.state.rules)
                    if open_.bit_count() >= self.count(slot) and not slot.unit.all_devices:
                        return None
            if frame.alternative + 1 == len(self.slots[frame.position]):
                return None
            frame.alternative += 1
            self._open_alternative(frame, bounded)

    def _open_alternative(self, frame: Frame, bounded: bool) -> None:
        slot = self.slots[frame.position][frame.alternative]
        frame.candidates = 0
        frame.picked = ()
        if slot.unit.all_devices:
            count = self.count(slot)
            if count and frame.state.used + count <= MAX_RESULTS:
                frame.candidates = 1
            return
        if frame.state.used + slot.unit.count > MAX_RESULTS:
            return
        if bounded and len(self.slots[frame.position]) > 1:
            assert self._bounds is not None
            if self._bounds.dead(frame.position, frame.alternative, 0, frame.state, 0):
                return
        frame.candidates = self._scan(frame)

    def _take_next(self, frame: Frame, slot: Slot) -> State | None:
        while frame.candidates:
            bit = frame.candidates & -frame.candidates
            frame.candidates ^= bit
            number = bit.bit_length() - 1
            self.steps += 1
            if slot.error_mask & bit:
                raise FatalError(Fault(self.positions[frame.position][0], slot.errors[number]))
            if self.fits(slot, number, frame.state):
                frame.picked = (number,)
                return self.take(frame.position, slot, number, frame.state)
        return None

    def _take_all(self, frame: Frame, slot: Slot) -> State | None:
        state = frame.state
        numbers = self.numbers(slot)
        for number in numbers:
            self.steps += 1
            bit = 1 << number
            if not self.open_to(slot, state) & self.payable & bit or not self.fits(slot, number, state):
                return None
            if not self.accepted(frame.position, slot, state.rules) & bit:
                raise FatalError(
                    Fault(
                        self.positions[frame.position][0],
                        f"{where(slot.unit)}: cannot add device {self.problem.view.device_id(number)} "
                        "because a claim constraint would not be satisfied",
                    )
                )
            state = self.take(frame.position, slot, number, state)
        frame.picked = numbers
        return state

    def _picks(self, stack: list[Frame]) -> list[Pick]:
        return [
            Pick(*self.positions[frame.position], frame.alternative, number)
            for frame in stack
            for number in frame.picked
        ]
