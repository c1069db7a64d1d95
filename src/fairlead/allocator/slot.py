"""One way to satisfy a request on one kind of node: the devices that could serve it, whatever is taken.

A slot holds the candidates as a mask, the CEL errors that reaching a device would raise, and which constraints apply.
What ends an allocation with an error is a `Fault` or, where it is plain before any search, a `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fairlead.allocator.capacity import CapacityError, consumption
from fairlead.allocator.request import CLAIM, Unit
from fairlead.allocator.rules import Rule
from fairlead.inventory import NodeView
from fairlead.resource import Device, Quantity


class Fault(NamedTuple):
    """What ends an allocation with an error.

    `CLAIM` and `DEVICE` in the text stand for the names of the claim and the device, which are given as numbers:
    problems are shared by claims of one shape and by nodes with the same hardware.
    """

    claim: int
    text: str
    device: int = -1


DEVICE = "\1"
"""Stands for the name of the device in the text of a `Fault`."""


class RefusedError(ValueError):
    """A claim that cannot be allocated on this kind of node: the text as in `Fault`, and the device it is about."""

    def __init__(self, text: str, device: int = -1) -> None:
        super().__init__(text)
        self.device = device


@dataclass(slots=True, eq=False)
class Slot:
    """One way to satisfy a request, on this node."""

    unit: Unit
    mask: int
    """Devices that may serve it, whatever is taken."""
    errors: Mapping[int, str]
    """By device, the error that reaching it raises."""
    error_mask: int
    all_numbers: tuple[int, ...]
    """With `All`: exactly the devices to take."""
    first_need: dict[int, int]
    """By device, what it needs from the ledger; a shared device before its first share."""
    more_need: dict[int, int]
    """By shared device, what one more share needs."""
    taken: dict[int, dict[str, Quantity]]
    """By shared device, what a share takes of each capacity."""

    all_mask: int
    """The same as a mask."""
    unsuited: int = 0
    """Devices that pass everything else but cannot have the capacity that is asked for."""
    unaffordable: int = 0
    """Devices that need more than their counter sets have at all."""
    paying: int = 0
    """The devices that need something from the ledger."""
    tariff: int = 0
    """Equal for slots whose devices all have the same needs."""
    number: int = 0
    """Its place among all slots of the problem."""
    claim: int = 0
    """The number of its claim."""
    rules: tuple[int, ...] = ()
    """The rules that apply, by their place among all rules of the problem."""
    constraints: tuple[tuple[int, Rule], ...] = ()
    """Those among them that the claim asks for, each as it looks to this slot."""
    groups: tuple[tuple[int, Rule], ...] = ()
    """Those among them that come from compatibility groups; observing is free of them."""

    opening: bool = False
    """Of the first request of its claim: its constraints have not seen a device before."""
    agreeing: bool = False
    """With `All`, for the first request of a claim: its constraints accept all the devices, in whatever number."""
    late: Mapping[int, str] = field(default_factory=dict)
    """By device, the error that a constraint raises that looks at it, once nothing else keeps the device away."""
    looks: dict[int, Rule] = field(default_factory=dict)
    """Constraints of the claim that look different to this slot than to others."""

    @property
    def count(self) -> int:
        """How many devices it takes; with `All`, shared devices without room will not be among them."""
        return len(self.all_numbers) if self.unit.all_devices else self.unit.count

    @property
    def fatal(self) -> bool:
        """Whether trying it can end the search with an error."""
        return bool(self.error_mask or self.late) or (
            self.unit.all_devices and bool(self.unit.constraints) and not self.agreeing
        )


def agree(slot: Slot, numbers: Sequence[int]) -> bool:
    """Whether the slot's constraints accept the devices one after another, beginning with none."""
    for _, rule in slot.constraints:
        state = rule.initial
        for number in numbers:
            if not rule.accepted(state) >> number & 1:
                return False
            state = rule.after(state, number)
    return True


def bits(mask: int) -> list[int]:
    """The numbers of the set bits, ascending."""
    numbers = []
    while mask:
        low = mask & -mask
        mask ^= low
        numbers.append(low.bit_length() - 1)
    return numbers


def where(unit: Unit) -> str:
    """How errors begin that concern one request."""
    return f"claim {CLAIM}, request {unit.name.rpartition('/')[2]}"


def slot_like(view: NodeView, unit: Unit, known: dict[object, Slot]) -> Slot:
    """The slot, made from one of the same selectors, tolerations and amounts where there is one."""
    amounts = tuple([(name, str(amount)) for name, amount in unit.capacity.items()])
    key = (unit.selectors, unit.broken, unit.tolerations, amounts, unit.all_devices)
    like = known.get(key)
    if like is None:
        slot = _slot(view, unit)
        if not slot.errors:
            # Errors name the request, so slots that have some are not shared.
            known[key] = slot
        return slot
    return replace(like, unit=unit, first_need={}, more_need={}, looks={})


def _slot(view: NodeView, unit: Unit) -> Slot:
    if unit.all_devices:
        for pool in view.pools:
            if pool.incomplete:
                raise RefusedError(
                    f"{where(unit)}: asks for all devices, but resource pool {pool.name} is currently being updated"
                )
            if pool.invalid:
                raise RefusedError(
                    f"{where(unit)}: asks for all devices, but resource pool {pool.name} is currently invalid"
                )
    features = view.features
    matches = view.matches(unit.selectors)
    visible = (1 << view.size) - 1
    if not features.device_binding_and_status:
        visible &= ~view.binding
    errors = {
        number: f"{unit.origins[position]} on device {DEVICE}: CEL runtime error: {text}"
        for number, (position, text) in matches.errors.items()
        if visible >> number & 1
    }
    mask = matches.mask & visible
    if unit.broken:
        text = f"{unit.origins[len(unit.selectors)]}: {unit.broken}"
        errors.update(dict.fromkeys(bits(mask), text))
        mask = 0
    mask &= view.on_node
    taken: dict[int, dict[str, Quantity]] = {}
    unsuited = 0
    if features.consumable_capacity:
        for number in bits(mask):
            device = view.device(number)
            if not device.capacity and not unit.capacity:
                if view.shared >> number & 1:
                    taken[number] = {}
                continue
            shared = view.shared >> number & 1
            if not shared and not unit.capacity and _always_suits(device):
                continue
            driver = view.record(number).slice.spec.driver
            try:
                amounts = consumption(driver, device, unit.capacity, features.fractional_capacity_range)
            except CapacityError as error:
                mask &= ~(1 << number)
                errors[number] = f"{where(unit)}: checking capacity for device {DEVICE}: {error}"
                continue
            if amounts is None:
                mask &= ~(1 << number)
                unsuited |= 1 << number
            elif shared:
                taken[number] = amounts
    all_numbers: tuple[int, ...] = ()
    all_mask = 0
    if unit.all_devices:
        if errors:
            raise RefusedError(errors[min(errors)], min(errors))
        all_numbers = tuple(bits(mask))
        all_mask = mask
    if not features.partitionable_devices:
        mask &= ~view.counting
    mask &= ~view.skipping
    if features.device_taints:
        mask &= view.tolerated(unit.tolerations)
    error_mask = 0
    for number in errors:
        error_mask |= 1 << number
    return Slot(unit, mask, errors, error_mask, all_numbers, {}, {}, taken, all_mask, unsuited)


def _always_suits(device: Device) -> bool:
    """Whether the device's capacities let it serve every request that does not name any."""
    return all(capacity.request_policy is None and capacity.value.nano >= 0 for capacity in device.capacity.values())
