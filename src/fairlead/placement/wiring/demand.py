"""What the claims of a pod take on a node, as sets of devices that may be tried.

A demand sees the slots of a problem that give devices away: observers take nothing, so what they look at is no choice.
Requests for all devices take what they take; the rest is a number of devices out of candidates. Devices are
interchangeable when their places and every slot and rule treat them alike; then only how many of them are taken is a
choice, and the lowest numbers stand for all.

Every condition here is necessary, none is sufficient: the allocator decides.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from fairlead.allocator import GroupRule, Pick, Problem, Slot, Standing
from fairlead.allocator.rules import Rule
from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView
from fairlead.placement.wiring.setting import Setting
from fairlead.placement.wiring.symmetry import Cell, interchangeable

_MOST_TYPES: Final = 6
"""Kinds of slots up to which all of their unions are looked at."""


@dataclass(frozen=True, slots=True)
class Class:
    """Interchangeable devices, ascending, and which kinds of slots they can serve (a mask)."""

    numbers: tuple[int, ...]
    serves: int

    def first(self, count: int) -> int:
        """The lowest of the devices, as a mask."""
        return sum(1 << number for number in self.numbers[:count])


class Demand:
    """The devices that claims take, on a node as it is now."""

    def __init__(
        self, problem: Problem, taken: Standing, picks: Sequence[Pick], view: NodeView, setting: Setting, unique: bool
    ) -> None:
        """Looks at every candidate once.

        Args:
            problem: one without alternatives.
            taken: what is taken.
            picks: a solution, from which it is seen what requests for all devices take.
            view: the node.
            setting: its wiring.
            unique: whether no device may stand for another, because more than the allocator decides.
        """
        self._problem = problem
        self._taken = taken
        free = taken.free & taken.payable & (1 << view.size) - 1
        self.forced = 0
        """The devices of requests for all."""
        for pick in picks:
            unit = problem.claims[pick.claim].requests[pick.request][0].unit
            if unit.all_devices and not unit.admin_access:
                self.forced |= 1 << pick.number
        free &= ~(self.forced & ~problem.shared)
        counted = [slot for slot in problem.slots if _counted(slot)]
        masks = [slot.mask & free for slot in counted]
        self.total = sum(slot.unit.count for slot in counted)
        """How many devices are taken beside those."""
        self.candidates = 0
        for mask in masks:
            self.candidates |= mask
        self.sharing = bool(self.candidates & problem.shared)
        """Whether one device can serve several requests."""
        self.least = max([slot.unit.count for slot in counted], default=0) if self.sharing else self.total
        """How many different devices are enough."""
        self._types: dict[int, int] = {}
        for slot, mask in zip(counted, masks, strict=True):
            self._types[mask] = self._types.get(mask, 0) + slot.unit.count
        self._rooms = self._unions()
        self._rules = _rules(problem, counted)
        unique = unique or any(slot.error_mask or slot.late for slot in problem.slots)
        self._seen = list(dict.fromkeys([*problem.rules, *(r for slot in problem.slots for _, r in slot.constraints)]))
        """All rules, as slots see them."""
        self.classes = self._classes(view, setting, unique)
        self.cells = [] if unique else self._cells(view, setting)
        """Lists of places that are interchangeable as wholes."""
        self.members = tuple(
            [problem.positions[place] for place, slots in enumerate(problem.alternatives) if _counted(slots[0])]
        )
        """Claim and request of the requests that take a number of devices."""

    def room(self, counts: Sequence[tuple[int, int]]) -> bool:
        """Whether so many devices that serve these kinds of slots can all be of use (Hall's condition)."""
        if self.sharing:
            return True
        return all(
            sum([count for serves, count in counts if not serves & ~union]) <= room for union, room in self._rooms
        )

    def open(self, devices: int) -> bool:
        """Whether each kind of slot by itself finds enough devices among these."""
        return self.sharing or all((mask & devices).bit_count() >= count for mask, count in self._types.items())

    def plausible(self, devices: int) -> bool:
        """Whether nothing that is easily seen forbids to take exactly these devices."""
        if not self.open(devices):
            return False
        for rule in self._rules:
            if rule.distinct:
                values = {rule.values_of[number] for number in bits(devices & rule.members)} - {0}
                if len(values) + bool(devices & rule.valueless) < rule.count:
                    return False
            elif not devices & rule.valueless and not any(
                all((mask & devices & value).bit_count() >= count for mask, count in rule.needs) for value in rule.masks
            ):
                return False
        return self.affordable(devices)

    def fixed(self, kind: int) -> int | None:
        """How many devices of a kind (a mask) are taken whatever the choice; None where that is open."""
        if self.sharing:
            return None
        count = (self.forced & kind).bit_count()
        for mask, needed in self._types.items():
            if mask & kind:
                if mask & ~kind:
                    return None
                count += needed
        return count

    def affordable(self, devices: int) -> bool:
        """Whether nothing that is easily seen of counters forbids to take these devices."""
        guards = self._problem.ledger.guards
        if not guards or devices & self._problem.shared:
            return True
        left = self._taken.left
        for number in bits(devices & self._problem.ledger.in_blocks):
            needs = [slot.first_need[number] for slot in self._problem.slots if number in slot.first_need]
            if not needs:
                continue
            left -= min(needs)
            if left & guards != guards:
                return len(set(needs)) > 1
        return True

    def _unions(self) -> list[tuple[int, int]]:
        """Sets of kinds of slots, each with how many devices it takes."""
        counts = list(self._types.values())
        sizes: Iterator[int] | Sequence[int] = range(1, len(counts) + 1)
        if len(counts) > _MOST_TYPES:
            sizes = (1, len(counts))
        return [
            (sum(1 << kind for kind in chosen), sum(counts[kind] for kind in chosen))
            for size in sizes
            for chosen in combinations(range(len(counts)), size)
        ]

    def _classes(self, view: NodeView, setting: Setting, unique: bool) -> tuple[Class, ...]:
        groups: dict[Hashable, list[int]] = {}
        serving: dict[Hashable, int] = {}
        for number in bits(self.candidates):
            serves = sum(1 << kind for kind, mask in enumerate(self._types) if mask >> number & 1)
            shared = self._problem.shared >> number & 1
            signature: Hashable = (
                setting.position(number),
                number if unique or shared else -1,
                self._standing(view, number),
                tuple([rule.index.values_of[number] for rule in self._seen]),
            )
            groups.setdefault(signature, []).append(number)
            serving[signature] = serves
        return tuple([Class(tuple(numbers), serving[signature]) for signature, numbers in groups.items()])

    def _standing(self, view: NodeView, number: int, alone: bool = True) -> Hashable:
        """How requests, rules and what is taken treat a device, values of attributes aside.

        Args:
            view: the node.
            number: of the device.
            alone: whether what it needs of counters counts by the counters themselves.
        """
        problem, taken = self._problem, self._taken
        return (
            tuple(
                [
                    (
                        slot.mask >> number & 1,
                        slot.first_need.get(number, 0) if alone else number in slot.first_need,
                        slot.more_need.get(number, 0),
                    )
                    for slot in problem.slots
                ]
            ),
            tuple(
                [
                    (rule.index.present >> number & 1, rule.index.valueless >> number & 1, _begun(rule, number))
                    for rule in self._seen
                ]
            ),
            tuple(
                [
                    mask >> number & 1
                    for mask in (problem.shared, taken.free, taken.payable, taken.started, view.on_node)
                ]
            ),
            _consumption(view, number) if alone else None,
        )

    def _cells(self, view: NodeView, setting: Setting) -> list[list[Cell]]:
        if any(rule.index.multiple for rule in self._seen):
            return []

        accounts = [_account(view, number) for number in range(view.size)]

        def trait(number: int) -> Hashable:
            here = setting.locations[number]
            known = accounts[number]
            standing = self._standing(view, number, alone=known is None)
            return (here.kind, here.model, here.rdma, here.part, standing, known and known[1])

        traits = [trait(number) for number in range(view.size)]
        columns: list[Sequence[Hashable]] = [
            [rule.index.values_of[number] for number in range(view.size)] for rule in self._seen
        ]
        columns.append([known and known[0] for known in accounts])
        return interchangeable(setting, traits.__getitem__, columns)


def _begun(rule: Rule, number: int) -> int:
    """Which of a device's values a rule starts with: those of devices that others have; such values have names."""
    return rule.index.values_of[number] & rule.initial if rule.initial not in (0, -1) else 0


def _counted(slot: Slot) -> bool:
    """Whether it gives a number of devices away."""
    return not slot.unit.admin_access and not slot.unit.all_devices


def _account(view: NodeView, number: int) -> tuple[Hashable, Hashable] | None:
    """The counter set of a device that draws on one; and what it takes of it, with what is left there."""
    consumed = view.device(number).consumes_counters
    if len(consumed) != 1 or view.shared >> number & 1:
        return None
    (one,) = consumed
    place = (view.pool_number(number), one.counter_set)
    left = sorted((key[2], amount) for key, amount in view.occupancy.counters.items() if key[:2] == place)
    takes = sorted((name, counter.value.nano) for name, counter in one.counters.items())
    return place, (tuple(takes), tuple(left))


def _consumption(view: NodeView, number: int) -> Hashable:
    pool = view.pool_number(number)
    return tuple(
        [
            (pool, one.counter_set, name, counter.value.nano)
            for one in view.device(number).consumes_counters
            for name, counter in sorted(one.counters.items())
        ]
    )


@dataclass(frozen=True, slots=True)
class _Condition:
    """A rule as far as it can be looked at without knowing who gets which device."""

    distinct: bool
    needs: list[tuple[int, int]]
    """Candidates and count of each request that it is about."""
    members: int
    count: int
    masks: Sequence[int]
    """By value, the devices that have it."""
    values_of: Sequence[int]
    valueless: int


def _rules(problem: Problem, counted: Sequence[Slot]) -> list[_Condition]:
    found: list[_Condition] = []
    for number, rule in enumerate(problem.rules):
        ours = [slot for slot in counted if number in slot.rules]
        # What is in use decides about compatibility groups, and a request that computes values sees others.
        if not ours or isinstance(rule, GroupRule) or any(number in slot.looks for slot in ours):
            continue
        needs = [(slot.mask, slot.unit.count) for slot in ours]
        members = 0
        for mask, _ in needs:
            members |= mask
        count = sum(count for _, count in needs)
        index = rule.index
        found.append(_Condition(rule.distinct, needs, members, count, index.masks, index.values_of, index.valueless))
    return found
