"""From room for everything that is wanted (`packing`) to devices for each demand: a first try at a completion.

What a tariff has of each block is dealt out to those first that have least choice, from the blocks that have most left,
since a demand wants different devices. Nothing here has to succeed: what is dealt is tried by `completion`.
"""

from __future__ import annotations

from fairlead.allocator.demand import Demand
from fairlead.allocator.habits import Step
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.packing import Packed
from fairlead.allocator.plans import Option
from fairlead.allocator.slot import Slot, bits


def deal(packed: Packed, moves: Moves, state: State) -> list[Step]:
    """Devices for the demands that were packed, as far as they can be dealt out."""
    return _Deal(packed, moves, state).steps()


class _Deal:
    def __init__(self, packed: Packed, moves: Moves, state: State) -> None:
        self._packed = packed
        self._mixes = packed.mixes
        self._moves = moves
        self._left = state.left
        self._taken = state.taken & ~moves.shared
        self._room: dict[int, dict[int, int]] = {}
        """By tariff and devices of a block, how many of them are still to be dealt out."""
        for block, filling in packed.fillings:
            for (tariff, _, _), count in zip(packed.kinds, filling, strict=True):
                room = self._room.setdefault(tariff, {})
                room[block.devices] = room.get(block.devices, 0) + count

    def steps(self) -> list[Step]:
        inside = self._mixes.inside
        choices = self._mixes.choices(self._packed.mix)
        steps: list[Step] = []
        for demand, option in sorted(choices, key=lambda choice: (choice[1][1].bit_count(), -inside(choice[1]))):
            slot = _slot(demand, option)
            for number in bits(self._devices(slot, option)):
                steps.append((demand.position, slot, number))
        return steps

    def _devices(self, slot: Slot, option: Option) -> int:
        _, candidates, count = option
        chosen = 0
        for number in bits(candidates & ~self._mixes.in_blocks & ~self._taken)[: count - self._mixes.inside(option)]:
            chosen |= 1 << number
        if chosen.bit_count() < count:
            room = self._room.get(option[0], {})
            for devices in sorted(room, key=room.__getitem__, reverse=True):
                here = devices & candidates & ~self._taken & ~chosen
                while room[devices] > 0 and here and chosen.bit_count() < count:
                    bit = here & -here
                    here ^= bit
                    need = self._need(slot, bit.bit_length() - 1)
                    if (self._left - need) & self._moves.guards == self._moves.guards:
                        self._left -= need
                        room[devices] -= 1
                        chosen |= bit
                        if devices & devices - 1 == 0:
                            break
        self._taken |= chosen & ~self._moves.shared
        return chosen

    def _need(self, slot: Slot, number: int) -> int:
        needs = slot.more_need if self._moves.shared >> number & 1 else slot.first_need
        return needs.get(number, 0)


def _slot(demand: Demand, option: Option) -> Slot:
    tariff, candidates, count = option
    return next(
        choice.slot
        for choice in demand.choices
        if choice.slot.tariff == tariff and choice.count == count and not candidates & ~choice.candidates
    )
