"""Alternatives that another one makes needless.

An alternative is needless where another wants no more devices, finds each of its candidates among its own under the
same rules, and pays no more for any of them: every completion with the first is then one with the other. That says
nothing about which completion comes first in the documented order, so it serves only those who ask whether there is
one.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.allocator.demand import Choice
from fairlead.allocator.moves import Moves
from fairlead.allocator.slot import Slot


class Dominance:
    """Which slots cost no more than which others, for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._no_dearer: dict[tuple[int, int], int] = {}

    def needed(self, choices: Sequence[Choice]) -> list[Choice]:
        """The alternatives without those that another makes needless."""
        if len(choices) == 1:
            return list(choices)
        kept: list[Choice] = []
        for one in sorted(choices, key=lambda choice: choice.count):
            if any(self._replaces(other, one) for other in kept):
                continue
            kept = [other for other in kept if not self._replaces(one, other)]
            kept.append(one)
        return kept

    def _replaces(self, other: Choice, one: Choice) -> bool:
        mine, theirs = one.slot, other.slot
        return (
            not theirs.unit.all_devices
            and not mine.unit.all_devices
            and other.count <= one.count
            and not one.candidates & ~other.candidates
            and (theirs.constraints, theirs.groups) == (mine.constraints, mine.groups)
            and theirs.unit.admin_access == mine.unit.admin_access
            and (theirs.tariff == mine.tariff or not one.candidates & ~self._cheap(theirs, mine))
        )

    def _cheap(self, slot: Slot, than: Slot) -> int:
        """The devices that cost the one slot no more of anything than they cost the other."""
        known = self._no_dearer.get((slot.tariff, than.tariff))
        if known is None:
            guards = self._moves.guards
            dearer = 0
            for number in slot.first_need:
                for own, other in ((slot.first_need, than.first_need), (slot.more_need, than.more_need)):
                    if (other.get(number, 0) | guards) - own.get(number, 0) & guards != guards:
                        dearer |= 1 << number
            known = self._no_dearer[slot.tariff, than.tariff] = ~dearer
        return known
