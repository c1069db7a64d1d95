"""The ways to fill one bin: a block of the ledger as it matters for packing.

A block is a GPU with its partitions, or a device that serves many. Only ways that leave no room for more are of
interest. They are computed once for all blocks that look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fairlead.allocator.ledger import Block
from fairlead.allocator.mixes import Counts, covers
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.slot import Slot, bits

_WAYS = 400
"""Ways to fill one bin that are looked at; with more of them nothing is proved."""

Item = tuple[tuple[int, int], ...]
"""One thing in a bin that serves once: the kinds that it can serve, each with what that costs there."""


class TooManyError(Exception):
    """The proof became too long to be worth it."""


class Bin(NamedTuple):
    """A block as it matters for packing: equal ones are interchangeable."""

    left: int
    """What is left in its accounts."""
    fields: tuple[tuple[int, int], ...]
    """Width and place of each account."""
    shares: Item
    """Where the block is one device that serves many: the kinds that it can serve, each with what a share costs."""
    items: tuple[Item, ...]
    """Other devices."""

    def fits(self, counts: Counts) -> bool:
        """Whether the accounts of the device that serves many have what so many shares cost."""
        for width, place in self.fields:
            field = (1 << width) - 1
            if sum([(need >> place & field) * counts[kind] for kind, need in self.shares]) > self.left >> place & field:
                return False
        return True


class Bins:
    """The bins of one decision and the ways to fill them."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._layouts: dict[int, tuple[tuple[int, int], ...]] = {}
        self._ways: dict[tuple[Bin, Counts], list[Counts]] = {}
        """Empty where there are too many."""
        self.work = 0
        """How much was looked at."""

    def make(self, block: Block, kinds: Sequence[tuple[Slot, int]], repeats: Counts, state: State) -> Bin:
        """A block as a bin.

        Args:
            block: the block.
            kinds: slot and candidates of each kind.
            repeats: by kind, how often a device that serves many can serve it.
            state: what is chosen.
        """
        fields = self._layouts.get(block.shift)
        if fields is None:
            fields = tuple([(field.width, field.shift - block.shift) for field in block.fields])
            self._layouts[block.shift] = fields
        shared = self._moves.shared
        single = not block.devices & block.devices - 1
        items: list[Item] = []
        shares: Item = ()
        for number in bits(block.devices):
            twice = shared >> number & 1
            serves: list[tuple[int, int]] = []
            for kind, (slot, candidates) in enumerate(kinds):
                if candidates >> number & 1:
                    # A shared device may have been started by then.
                    needs = slot.more_need if twice else slot.first_need
                    serves.append((kind, needs.get(number, 0) >> block.shift))
            if twice and single:
                shares = tuple(serves)
            elif twice:
                items += [((kind, need),) for kind, need in serves for _ in range(repeats[kind])]
            elif serves:
                items.append(tuple(serves))
        left = state.left >> block.shift & (1 << block.width) - 1
        return Bin(left, fields, shares, tuple(sorted(items)))

    def ways(self, one: Bin, most: Counts) -> list[Counts]:
        """What a bin can serve, by kind, up to what is wanted at most; without what another way has as well.

        Raises:
            TooManyError: there are too many ways.
        """
        known = self._ways.get((one, most))
        if known is None:
            self._ways[one, most] = []
            guards = sum([1 << place + width for width, place in one.fields])
            known = self._shared_ways(one, most, guards) if one.shares else self._item_ways(one, most, guards)
            self._ways[one, most] = known
        if not known:
            raise TooManyError
        return known

    def _shared_ways(self, one: Bin, most: Counts, guards: int) -> list[Counts]:
        begun = [(one.left, (0,) * len(most))]
        offered = [(kind, need) for kind, need in one.shares if most[kind]]
        for kind, need in offered:
            more = []
            for left, counts in begun:
                rest = left
                for count in range(most[kind] + 1):
                    more.append((rest, (*counts[:kind], count, *counts[kind + 1 :])))
                    rest -= need
                    if rest & guards != guards:
                        break
            self.work += len(more) >> 4
            if len(more) > 8 * _WAYS:
                raise TooManyError
            begun = more
        full = [
            counts
            for left, counts in begun
            if all(counts[kind] == most[kind] or (left - need) & guards != guards for kind, need in offered)
        ]
        if len(full) > _WAYS:
            raise TooManyError
        return sorted(full, reverse=True)

    def _item_ways(self, one: Bin, most: Counts, guards: int) -> list[Counts]:
        reached = {(one.left, (0,) * len(most))}
        for item in one.items:
            more = set(reached)
            for left, counts in reached:
                for kind, need in item:
                    if counts[kind] < most[kind] and (left - need) & guards == guards:
                        more.add((left - need, (*counts[:kind], counts[kind] + 1, *counts[kind + 1 :])))
            self.work += len(more) >> 4
            if len(more) > _WAYS:
                raise TooManyError
            reached = more
        return sorted(_largest({counts for _, counts in reached}), reverse=True)


def _largest(fillings: Iterable[Counts]) -> list[Counts]:
    """The fillings that no other one covers."""
    kept: list[Counts] = []
    for one in sorted(fillings, key=lambda counts: (-sum(counts), counts)):
        if not any(covers(other, one) for other in kept):
            kept.append(one)
    return kept
