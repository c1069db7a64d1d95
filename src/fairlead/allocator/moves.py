"""What may be chosen in a state, and the state after a choice.

A state is a tuple of ints and is never changed; going back in a search is going back to an older one. Everything that
searches (`search`, `completion`), proves (`bounds`) or compares (`equivalence`) states does it through `Moves`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import NamedTuple

from fairlead.allocator.ledger import Block, FieldKey
from fairlead.allocator.problem import Problem
from fairlead.allocator.slot import Slot, agree
from fairlead.inventory import Occupancy

_USED_BITS = 8
_REMEMBERED = 20_000
"""Ledger states whose affordable devices are kept."""


class State(NamedTuple):
    """What has been chosen so far, as far as it matters for what follows."""

    taken: int
    """Devices chosen for themselves by any claim."""
    claim_taken: int
    """Those among them chosen by the current claim; admin access looks at these alone."""
    left: int
    """The ledger."""
    started: int
    """Shared devices with at least one share."""
    rules: tuple[int, ...]
    """The state of each rule."""
    used: int
    """How many devices each claim has, packed."""

    def used_by(self, claim: int) -> int:
        """How many devices are chosen for a claim."""
        return self.used >> claim * _USED_BITS & (1 << _USED_BITS) - 1


class Standing(NamedTuple):
    """What is taken on a node now, in the terms of a problem: all that a decision depends on beside the problem."""

    free: int
    payable: int
    left: int
    started: int
    overdrawn: int
    """Shared devices of which more is taken than they have."""
    groups: tuple[int, ...] = ()
    """The states with which the rules of compatibility groups start."""


def standing(problem: Problem, occupancy: Occupancy) -> Standing:
    """Puts what is taken in the terms of the problem."""
    overdrawn = 0
    left = 0
    if problem.ledger.fields or problem.capacities:
        amounts: dict[FieldKey, int] = {("counter", *key): amount for key, amount in occupancy.counters.items()}
        for key, total in problem.capacities.items():
            amount = amounts[key] = total - occupancy.consumed.get(key[1], _NOTHING).get(key[3], 0)
            if amount < 0:
                overdrawn |= 1 << key[1]
        left = problem.ledger.pack_left(amounts)
    payable = ~(overdrawn | (occupancy.exhausted & ~occupancy.started))
    groups = tuple([rule.begun(occupancy.groups.get(rule.key)) for rule in problem.group_rules])
    return Standing(~occupancy.held, payable, left, occupancy.started, overdrawn, groups)


_NOTHING: Mapping[str, int] = {}


class Moves:
    """The choices of one decision: a problem and what is taken now."""

    __slots__ = (
        "_drawing",
        "_fitting",
        "_fitting_in",
        "_initial",
        "_numbers",
        "_overdrawn",
        "fatal",
        "free",
        "guards",
        "left",
        "masks",
        "payable",
        "problem",
        "shared",
        "started",
    )

    def __init__(self, problem: Problem, standing: Standing) -> None:
        self.problem = problem
        self.left = standing.left
        self.guards = problem.ledger.guards
        self.free = standing.free
        """Devices that no claim holds for itself."""
        self.payable = standing.payable
        """All but the devices whose accounts are overdrawn before anything is chosen."""
        self.started = standing.started
        self._overdrawn = standing.overdrawn
        self.shared = problem.shared
        claimed = problem.rules[: len(problem.rules) - len(standing.groups)]
        self._initial = (*[rule.initial for rule in claimed], *standing.groups)
        self.masks = [slot.mask for slot in problem.slots]
        """What is left of each slot's candidates once it is known which can be part of a solution."""
        self._numbers: dict[int, tuple[int, ...]] = {}
        self._fitting: dict[tuple[int, int, int], int] = {}
        self._fitting_in: dict[tuple[int, int, int, int], int] = {}
        self._drawing: dict[int, list[tuple[Block, list[int]]]] = {}
        self.fatal = [slot.fatal and self._reaches_error(slot) for slot in problem.slots]
        """By slot, whether trying it can end the search with an error, with what is held now."""

    def start(self) -> State:
        """The state in which nothing is chosen."""
        return State(0, 0, self.left, self.started, self._initial, 0)

    def observes(self, slot: Slot) -> bool:
        """Whether the slot may reach devices that others have for themselves, so that the order of claims matters.

        That takes admin access to devices that serve only once. A share of a device is drawn from its capacity
        whoever else has one, in whatever order.
        """
        return slot.unit.admin_access and bool((self.masks[slot.number] | slot.error_mask) & ~self.shared)

    def _reaches_error(self, slot: Slot) -> bool:
        if slot.unit.admin_access:
            return True
        if slot.unit.all_devices:
            # It takes its devices in order, and gives up at the first that somebody holds.
            reached = list(takewhile(lambda number: self.free >> number & 1, self.numbers(slot)))
            plain = slot.late.keys().isdisjoint(reached) and slot.opening and agree(slot, reached)
            return bool(reached) and not plain
        late = 0
        for number in slot.late:
            late |= 1 << number
        return bool((slot.error_mask | late) & self.free)

    def numbers(self, slot: Slot) -> tuple[int, ...]:
        """With `All`: the devices to take, which leaves out shared ones that have no room now."""
        if not slot.all_mask & self.shared:
            return slot.all_numbers
        known = self._numbers.get(slot.number)
        if known is None:
            known = self._numbers[slot.number] = tuple(
                number
                for number in slot.all_numbers
                if not self.shared >> number & 1
                or (
                    not self._overdrawn >> number & 1
                    and (self.left - slot.more_need.get(number, 0)) & self.guards == self.guards
                )
            )
        return known

    def count(self, slot: Slot) -> int:
        """How many devices the slot takes."""
        return len(self.numbers(slot)) if slot.unit.all_devices else slot.unit.count

    def open_to(self, slot: Slot, state: State) -> int:
        """The slot's devices that can be taken, whatever constraints say and the ledger has left."""
        mask = self.masks[slot.number]
        if slot.unit.admin_access:
            # Observing takes capacity of shared devices, but no counters.
            return mask & ~(state.claim_taken & ~self.shared) & ~self._overdrawn
        mask &= self.free & ~state.taken & self.payable
        for number, rule in slot.groups:
            mask &= rule.accepted(state.rules[number])
        return mask

    def accepted(self, slot: Slot, state: State) -> int:
        """The devices that the slot's constraints accept; all where there are none."""
        mask = -1
        for number, rule in slot.constraints:
            mask &= rule.accepted(state.rules[number])
        return mask

    def candidates(self, slot: Slot, state: State) -> int:
        """The devices that may be chosen, if the ledger has what they need."""
        return self.open_to(slot, state) & self.accepted(slot, state)

    def need(self, slot: Slot, number: int, state: State) -> int:
        """What the device takes from the ledger."""
        if state.started >> number & 1:
            return slot.more_need.get(number, 0)
        return slot.first_need.get(number, 0)

    def fits(self, slot: Slot, number: int, state: State) -> bool:
        """Whether the ledger has what the device needs."""
        return (state.left - self.need(slot, number, state)) & self.guards == self.guards

    def affordable(self, slot: Slot, mask: int, state: State) -> int:
        """The devices among the mask that the ledger can pay for, one at a time."""
        if not slot.paying or not mask & slot.paying:
            return mask
        key = (slot.tariff, state.left, state.started)
        fitting = self._fitting.get(key)
        if fitting is None:
            if len(self._fitting) > _REMEMBERED:
                self._fitting.clear()
                self._fitting_in.clear()
            fitting = ~slot.paying
            for block, numbers in self._blocks_of(slot):
                fitting |= self._affordable_in(slot, block, numbers, state)
            self._fitting[key] = fitting
        return mask & fitting

    def _blocks_of(self, slot: Slot) -> list[tuple[Block, list[int]]]:
        """The blocks on which the slot's devices draw, each with those devices."""
        known = self._drawing.get(slot.tariff)
        if known is None:
            numbers: dict[int, tuple[Block, list[int]]] = {}
            for number in slot.first_need:
                block = self.problem.ledger.block_of[number]
                numbers.setdefault(block.shift, (block, []))[1].append(number)
            known = self._drawing[slot.tariff] = list(numbers.values())
        return known

    def _affordable_in(self, slot: Slot, block: Block, numbers: list[int], state: State) -> int:
        """Those of these devices of one block that the ledger can pay for; most choices leave most blocks alone."""
        left = state.left >> block.shift & (1 << block.width) - 1
        key = (slot.tariff, block.shift, left, state.started & block.devices)
        fitting = self._fitting_in.get(key)
        if fitting is None:
            fitting = 0
            for number in numbers:
                if self.fits(slot, number, state):
                    fitting |= 1 << number
            self._fitting_in[key] = fitting
        return fitting

    def take(self, slot: Slot, number: int, state: State) -> State:
        """The state with the device chosen."""
        bit = 1 << number
        rules = state.rules
        if slot.rules:
            changed = list(rules)
            for place, rule in slot.constraints:
                changed[place] = rule.after(rules[place], number)
            for place, rule in slot.groups:
                changed[place] = rule.after(rules[place], number)
            rules = tuple(changed)
        left = state.left - self.need(slot, number, state)
        used = state.used + (1 << slot.claim * _USED_BITS)
        if self.shared & bit:
            # Observing a device pays no counters, so the next share is still the first that does.
            started = state.started if slot.unit.admin_access else state.started | bit
            return State(state.taken, state.claim_taken, left, started, rules, used)
        return State(state.taken | bit, state.claim_taken | bit, left, state.started, rules, used)
