"""What the claims of a pod ask of one kind of node: which devices, how many, and how much of each.

It is read from the allocator's own problem, so selectors, classes, tolerations and capacities count as they do there.
It is less than the problem: constraints between devices are not looked at, of alternatives only what all of them want,
and two requests are looked at one by one. Therefore "no" is certain here and "yes" is for the allocator to say, which
gets the proposed devices as a mask.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import NamedTuple

from fairlead.allocator import Problem
from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView
from fairlead.placement.packing.left import UNIT, Capacities, Free, Left
from fairlead.resource import Quantity

ANY = -1
"""A mask that leaves the choice of devices to the allocator."""


class Devices(Enum):
    """Which devices of a node a policy looks at for a pod."""

    FIRST = "the first that fit, in the allocator's order"
    TIGHTEST = "those with the least left that still fit"
    EACH = "for one device, each that differs from the others; for several, the tightest"


class Part(NamedTuple):
    """Devices asked for alike: `wants` out of `mask`.

    `needs` has the part of each device that is asked for; `of_each` the parts of each capacity of those devices that
    are shared and have several.
    """

    wants: int
    mask: int
    needs: Mapping[int, int]
    of_each: Capacities

    def rest(self, left: Left, number: int) -> int:
        """What would be left of a device that has not been asked for anything else; below 0 where it has too little."""
        have = left.capacities.get(number)
        if have is None or number not in self.of_each:
            return left.free[number] - self.needs[number]
        return min([amount - need for amount, need in zip(have, self.of_each[number], strict=True)])


class Option(NamedTuple):
    """Devices that may serve the claims, and what is left of all devices with them gone."""

    within: int
    after: Free


@dataclass(frozen=True, slots=True)
class Fit:
    """What claims ask of the nodes of a kind."""

    parts: tuple[Part, ...]
    alike: tuple[Hashable, ...] = ()
    """By device number; equal for devices that differ in nothing but what is left of them."""
    narrow: bool = True
    """Whether the devices may be named: not where constraints or alternatives have a say in which go together."""

    def possible(self, left: Left) -> bool:
        """Whether every part by itself finds its devices; where this says no, so does the allocator."""
        return all(part.wants <= sum(part.rest(left, number) >= 0 for number in part.needs) for part in self.parts)

    def options(self, left: Left, devices: Devices) -> list[Option]:
        """Choices of devices, those with the least left first; none where the claims cannot fit.

        Args:
            left: what is left of the node.
            devices: which choices to look at.
        """
        if not self.parts:
            return [Option(ANY, left.free)]
        if len(self.parts) == 1 and self.parts[0].wants == 1 and self.narrow:
            return self._single(left, devices)
        if not self.possible(left):
            return []
        free = left.free
        if devices is Devices.FIRST or not self.narrow:
            order: Sequence[int] = range(len(free))
        else:
            order = sorted(range(len(free)), key=free.__getitem__)
        return [self._taken(left, order)]

    def _single(self, left: Left, devices: Devices) -> list[Option]:
        part = self.parts[0]
        free, capacities = left.free, left.capacities
        found: dict[tuple[int, Hashable], int] = {}
        for number, need in part.needs.items():
            have = free[number]
            if have < need if number not in capacities else part.rest(left, number) < 0:
                continue
            if devices is Devices.FIRST:
                return [_one(left, part, number)]
            # Devices with several capacities are told apart: as much may be left of the one, and not of the other.
            found.setdefault((have, self.alike[number] if number not in capacities else -number), number)
        if len(found) > 1:
            numbers = sorted(found.values(), key=lambda number: (free[number], number))
            return [_one(left, part, number) for number in (numbers if devices is Devices.EACH else numbers[:1])]
        return [_one(left, part, number) for number in found.values()]

    def drawn(self, left: Left, rng: Random) -> Option:
        """Devices drawn at random, every device that fits being as likely as the others."""
        if not self.parts:
            return Option(ANY, left.free)
        order = list(range(len(left.free)))
        rng.shuffle(order)
        return self._taken(left, order)

    def _taken(self, left: Left, order: Sequence[int]) -> Option:
        """The first devices of the order that suit; the allocator's choice where parts get into each other's way."""
        after = list(left.free)
        within = 0
        for part in self.parts:
            missing = part.wants
            for number in order:
                if not missing:
                    break
                if not part.mask >> number & 1:
                    continue
                shared_already = within >> number & 1
                rest = after[number] - part.needs[number] if shared_already else part.rest(left, number)
                if rest < 0:
                    continue
                after[number] = rest
                within |= 1 << number
                missing -= 1
            if missing:
                return Option(ANY, left.free)
        return Option(within if self.narrow else ANY, tuple(after))


def _one(left: Left, part: Part, number: int) -> Option:
    free = left.free
    return Option(1 << number, (*free[:number], part.rest(left, number), *free[number + 1 :]))


def parts_of(problem: Problem, view: NodeView) -> tuple[Part, ...] | None:
    """What a problem asks for, or None where it cannot be met on such nodes whatever is free.

    Args:
        problem: the claims on a kind of node.
        view: a node of that kind.
    """
    if problem.fault is not None:
        return None
    parts: dict[Hashable, Part] = {}
    for number, slots in enumerate(problem.alternatives):
        slot = slots[0]
        if slot.unit.admin_access:
            continue
        mask = 0
        for other in slots:
            mask |= other.mask
        # Another alternative may want fewer devices, and of all shared devices only those with room count.
        wants = min(0 if other.unit.all_devices and other.mask & view.shared else other.count for other in slots)
        needs: dict[int, int] = {}
        of_each: dict[int, tuple[int, ...]] = {}
        for device in bits(mask):
            if not view.shared >> device & 1:
                needs[device] = UNIT
                continue
            shares = [_share(view, device, other.taken[device]) for other in slots if device in other.taken]
            least = tuple(map(min, *shares)) if len(shares) > 1 else shares[0]
            needs[device] = max(least, default=0)
            if len(least) > 1:
                of_each[device] = least
        exclusive = not mask & view.shared
        key = (mask, "exclusive") if exclusive else number
        known = parts.get(key)
        parts[key] = Part(wants + (known.wants if known is not None else 0), mask, needs, of_each)
    return tuple(part for part in parts.values() if part.wants)


def _share(view: NodeView, number: int, taken: Mapping[str, Quantity]) -> tuple[int, ...]:
    """The part of each capacity that a share of a device takes, in the order of its capacities."""
    return tuple(
        taken[name].nano * UNIT // (capacity.value.nano or 1) if name in taken else 0
        for name, capacity in view.device(number).capacity.items()
    )
