"""States that are the same for what follows, so that a dead end is explored once.

Devices are interchangeable when every remaining request and every rule treats them alike; then only how many of them
are left matters, not which. Devices that share ledger fields form a block; blocks of the same build are
interchangeable as wholes. A key names a state up to such exchanges: equal keys fail or succeed together, because
whether a completion exists does not depend on the order in which devices are tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairlead.allocator.ledger import Block
from fairlead.allocator.problem import bits

if TYPE_CHECKING:
    from fairlead.allocator.search import Search, State


class Equivalence:
    """Keys of states, and the keys of those that failed."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._failed: set[object] = set()
        self._classes: dict[int, list[int]] = {}
        self._blocks: dict[int, list[tuple[Block, int, tuple[int, ...]]]] = {}
        self._has_admin: list[bool] = [
            any(slot.unit.admin_access for slots in claim.requests for slot in slots) for claim in search.problem.claims
        ]

    def failed(self, key: object) -> bool:
        """Whether an equivalent state is known to have no solution."""
        return key in self._failed

    def remember(self, key: object) -> None:
        """Takes note that the state of the key has no solution."""
        self._failed.add(key)

    def key(self, position: int, alternative: int, kth: int, state: State, below: int) -> object:
        """What of the state matters from here on, up to exchanges of equal devices and blocks."""
        search = self._search
        if position not in self._classes:
            self._sort_out(position)
        taken = state.taken
        above = ~below
        parts: list[object] = [(mask & ~taken).bit_count() for mask in self._classes[position]]
        if kth:
            parts.extend((mask & ~taken & above).bit_count() for mask in self._classes[position])
        claim = search.positions[position][0]
        admin = self._has_admin[claim]
        if admin:
            parts.extend((mask & state.claim_taken).bit_count() for mask in self._classes[position])
        blocks = []
        for block, build, numbers in self._blocks[position]:
            have = (state.left >> block.shift) & ((1 << block.width) - 1)
            locals_ = tuple(
                taken >> n & 1
                | (state.started >> n & 1) << 1
                | (above >> n & 1 if kth else 0) << 2
                | (state.claim_taken >> n & 1 if admin else 0) << 3
                for n in numbers
            )
            blocks.append((build, have, locals_))
        blocks.sort()
        return (position, alternative, kth, tuple(parts), tuple(blocks), state.rules, state.used)

    def _sort_out(self, position: int) -> None:
        """Groups devices by how everything from this request on treats them."""
        search = self._search
        claim_number = search.positions[position][0]
        remaining = [slot for slots in search.slots[position:] for slot in slots]
        relevant = 0
        for slot in remaining:
            relevant |= slot.mask | slot.error_mask | slot.all_mask
        rules = [rule for claim in search.problem.claims[claim_number:] for rule in claim.rules]
        in_blocks = 0
        builds: dict[object, int] = {}
        blocks: list[tuple[Block, int, tuple[int, ...]]] = []
        for block in search.problem.ledger.blocks:
            in_blocks |= block.devices
            numbers = tuple(bits(block.devices & relevant))
            if not numbers:
                continue
            signature = (
                tuple((field.width, field.shift - block.shift) for field in block.fields),
                tuple(self._signature(number, remaining, rules, block.shift) for number in numbers),
            )
            blocks.append((block, builds.setdefault(signature, len(builds)), numbers))
        classes: dict[object, int] = {}
        for number in bits(relevant & ~in_blocks):
            signature = self._signature(number, remaining, rules, 0)
            classes[signature] = classes.get(signature, 0) | 1 << number
        self._classes[position] = list(classes.values())
        self._blocks[position] = blocks

    def _signature(self, number: int, remaining: list, rules: list, shift: int) -> tuple[object, ...]:  # type: ignore[type-arg]
        search = self._search
        held = search.free >> number & 1, search.payable >> number & 1, search.shared >> number & 1
        return (
            held,
            tuple(
                (
                    slot.mask >> number & 1,
                    slot.error_mask >> number & 1,
                    slot.all_mask >> number & 1,
                    slot.first_need.get(number, 0) >> shift,
                    slot.more_need.get(number, 0) >> shift,
                )
                for slot in remaining
            ),
            tuple((rule.index.present >> number & 1, rule.index.values_of[number]) for rule in rules),
        )
