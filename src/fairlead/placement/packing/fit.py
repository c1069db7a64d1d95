"""What the claims of a pod ask of one kind of node: which devices, how many, and how much of each.

It is read from the allocator's own problem, so selectors, classes, tolerations and capacities count as they do there.
It is less than the problem: constraints between devices are not looked at, of alternatives only the first is, and two
requests are looked at one by one. Therefore "no" is certain here and "yes" is for the allocator to say, which gets
the proposed devices as a mask.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import NamedTuple

from fairlead.allocator import Problem
from fairlead.inventory import NodeView
from fairlead.placement.packing.left import UNIT, Free
from fairlead.resource import Quantity

ANY = -1
"""A mask that leaves the choice of devices to the allocator."""


class Devices(Enum):
    """Which devices of a node a policy looks at for a pod."""

    FIRST = "the first that fit, in the allocator's order"
    TIGHTEST = "those with the least left that still fit"
    EACH = "for one device, each that differs from the others; for several, the tightest"


class Part(NamedTuple):
    """Devices asked for alike: `wants` out of `mask`, each as far as `needs` says by device number."""

    wants: int
    mask: int
    needs: Mapping[int, int]


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

    def possible(self, free: Free) -> bool:
        """Whether every part by itself finds its devices; where this says no, so does the allocator."""
        return all(
            count <= sum(free[number] >= need for number, need in needs.items()) for count, _, needs in self.parts
        )

    def options(self, free: Free, devices: Devices) -> list[Option]:
        """Choices of devices, those with the least left first; none where the claims cannot fit.

        Args:
            free: what is left of each device.
            devices: which choices to look at.
        """
        parts = self.parts
        if not parts:
            return [Option(ANY, free)]
        if len(parts) == 1 and parts[0].wants == 1 and self.narrow:
            return self._single(free, devices)
        if not self.possible(free):
            return []
        if devices is Devices.FIRST or not self.narrow:
            order: Sequence[int] = range(len(free))
        else:
            order = sorted(range(len(free)), key=free.__getitem__)
        return [self._taken(free, order)]

    def _single(self, free: Free, devices: Devices) -> list[Option]:
        found: dict[tuple[int, Hashable], int] = {}
        needs = self.parts[0].needs
        least, tightest = UNIT + 1, -1
        for number, need in needs.items():
            have = free[number]
            if have < need:
                continue
            if devices is Devices.EACH:
                found.setdefault((have, self.alike[number]), number)
            elif devices is Devices.FIRST:
                return [_one(free, number, need)]
            elif have < least:
                least, tightest = have, number
        if devices is Devices.EACH:
            if len(found) == 1:
                number = next(iter(found.values()))
                return [_one(free, number, needs[number])]
            return [_one(free, n, needs[n]) for n in sorted(found.values(), key=lambda n: (free[n], n))]
        return [_one(free, tightest, needs[tightest])] if tightest >= 0 else []

    def drawn(self, free: Free, rng: Random) -> Option:
        """Devices drawn at random, every device that fits being as likely as the others."""
        if not self.parts:
            return Option(ANY, free)
        order = list(range(len(free)))
        rng.shuffle(order)
        return self._taken(free, order)

    def _taken(self, free: Free, order: Sequence[int]) -> Option:
        """The first devices of the order that suit; the allocator's choice where parts get into each other's way."""
        after = list(free)
        within = 0
        for missing, mask, needs in self.parts:
            for number in order:
                if not missing:
                    break
                if mask >> number & 1 and after[number] >= needs[number]:
                    after[number] -= needs[number]
                    within |= 1 << number
                    missing -= 1
            if missing:
                return Option(ANY, free)
        return Option(within if self.narrow else ANY, tuple(after))


def _one(free: Free, number: int, need: int) -> Option:
    return Option(1 << number, (*free[:number], free[number] - need, *free[number + 1 :]))


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
        count, mask = slot.count, slot.mask
        if len(slots) > 1:
            # Another alternative may want other devices, and fewer: what all of them want is at least this.
            count = min(other.count for other in slots)
            for other in slots:
                mask |= other.mask
        needs = {device: UNIT for device in range(view.size) if mask >> device & 1}
        for device in needs:
            if view.shared >> device & 1:
                amounts = [other.taken.get(device) for other in slots]
                needs[device] = min(
                    (_part_of(view, device, taken) for taken in amounts if taken is not None), default=0
                )
        if slot.unit.all_devices:
            count = 0 if mask & view.shared else count
        exclusive = not mask & view.shared
        key = (mask, tuple(needs.items())) if exclusive else number
        known = parts.get(key)
        parts[key] = Part(count + (known.wants if known is not None else 0), mask, needs)
    return tuple(part for part in parts.values() if part.wants)


def _part_of(view: NodeView, number: int, taken: Mapping[str, Quantity]) -> int:
    """The part of a shared device that a share takes: of the capacity of which it takes the greatest part."""
    most = 0
    for name, amount in taken.items():
        have = view.device(number).capacity[name].value.nano
        if have > 0:
            most = max(most, amount.nano * UNIT // have)
    return most
