"""Proofs that devices cannot be packed: exact bin packing over kinds of what is wanted, block by block.

Sums and sizes (`amounts`) miss what a few small shares waste in devices that large ones would have filled, and that
partitions only start at certain places. Here everything of one cost that the same devices serve is one kind, so what
remains to be packed is a few counts. Each block (a GPU with its partitions, a shared device) is a bin with a few ways
to fill it that leave no room for more, computed once for all blocks that look alike. Counts that failed with the bins
that are left are remembered for the whole decision; untouched bins come last, so most states have that end in common.

The packing knows no constraints, and lets one request's shares meet on a device as often as requests of their kind
could; demands that it cannot express are left out. So a no is a proof, and a yes is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import NamedTuple

from fairlead.allocator.demand import Choice, Demand
from fairlead.allocator.ledger import Block
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.request import MAX_RESULTS
from fairlead.allocator.slot import bits

_STEPS = 4_000
"""Fillings that are looked at in vain in one decision before nothing more is proved this way."""

_REWARD = 500
"""Steps that a proof gives back beside its own."""

_WAYS = 400
"""Ways to fill one bin that are looked at; with more of them nothing is proved."""

_MIXES = 64
"""Ways to choose among alternatives that are looked at; demands that would make more are left out."""

Kind = tuple[int, int]
"""Tariff and candidates: what differs in nothing else is of one kind."""

Counts = tuple[int, ...]
"""How many of each kind."""

Item = tuple[tuple[int, int], ...]
"""One thing in a bin that serves once: the kinds that it can serve, each with what that costs there."""


class Bin(NamedTuple):
    """A block as it matters for packing: equal ones are interchangeable."""

    left: int
    """What is left in its accounts."""
    fields: tuple[tuple[int, int], ...]
    """Width and place of each account."""
    items: tuple[Item, ...]


class _TooManyError(Exception):
    """The proof became too long to be worth it."""


class Packing:
    """The proofs for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._layouts: dict[int, tuple[tuple[int, int], ...]] = {}
        self._ways: dict[tuple[Bin, Counts], list[Counts]] = {}
        self._failed: set[object] = set()
        self._steps = 0

    def impossible(self, demands: list[Demand], state: State) -> tuple[int, ...]:
        """The requests that cannot be packed together; empty where no proof was found."""
        ledger = self._moves.problem.ledger
        if len(ledger.blocks) < 2 or self._steps > _STEPS:
            return ()
        kinds: dict[Kind, Choice] = {}
        everything = 0
        for demand in demands:
            for choice in demand.choices:
                kinds.setdefault(self._kind(choice), choice)
                everything |= choice.candidates
        if len(kinds) < 2:
            return ()
        before = self._steps
        packed, mixes = self._mixes(demands, list(kinds), state)
        repeats = tuple([sum([any(self._kind(c) == kind for c in d.choices) for d in packed]) for kind in kinds])
        most = tuple([max(counts) for counts in zip(*mixes, strict=True)]) if mixes else ()
        try:
            blocks = [block for block in ledger.blocks if block.devices & everything]
            bins = sorted([self._bin(block, list(kinds.values()), repeats, state) for block in blocks])
            ways = [self._fillings(one, most) for one in bins]
            if any(self._fits(mix, most, tuple(bins), ways) for mix in mixes):
                return ()
        except _TooManyError:
            return ()
        self._steps = max(0, before - _REWARD)
        return tuple([demand.position for demand in packed])

    def _kind(self, choice: Choice) -> Kind:
        return choice.slot.tariff, choice.candidates & self._moves.problem.ledger.in_blocks

    def _mixes(self, demands: list[Demand], kinds: list[Kind], state: State) -> tuple[list[Demand], list[Counts]]:
        """The demands to be packed, and what they can come to by kind, by choice of alternatives."""
        in_blocks = self._moves.problem.ledger.in_blocks
        claims = list(dict.fromkeys([demand.claim for demand in demands]))
        # A claim that has nearly all the devices it may have is left with the alternatives that want few.
        mixes = {(*[0] * len(kinds), *[state.used_by(claim) for claim in claims])}
        packed: list[Demand] = []
        for demand in sorted(demands, key=lambda demand: len(demand.choices)):
            total = len(kinds) + claims.index(demand.claim)
            options: set[Counts] = set()
            for choice in demand.choices:
                # What lies outside the bins costs nothing and may serve this demand first.
                inside = max(0, choice.count - (choice.candidates & ~in_blocks).bit_count())
                option = [0] * (len(kinds) + len(claims))
                option[kinds.index(self._kind(choice))] = inside
                option[total] = choice.count
                options.add(tuple(option))
            more = {tuple(map(add, mix, option)) for option in options for mix in mixes}
            self._steps += len(more) >> 3
            if len(more) <= _MIXES:
                packed.append(demand)
                mixes = {mix for mix in more if max(mix[len(kinds) :]) <= MAX_RESULTS}
        return packed, _smallest({mix[: len(kinds)] for mix in mixes})

    def _bin(self, block: Block, kinds: list[Choice], repeats: Counts, state: State) -> Bin:
        fields = self._layouts.get(block.shift)
        if fields is None:
            fields = tuple([(field.width, field.shift - block.shift) for field in block.fields])
            self._layouts[block.shift] = fields
        shared = self._moves.shared
        items: list[Item] = []
        for number in bits(block.devices):
            twice = shared >> number & 1
            serves: list[tuple[int, int]] = []
            for kind, choice in enumerate(kinds):
                if choice.candidates >> number & 1:
                    # A shared device may have been started by then.
                    needs = choice.slot.more_need if twice else choice.slot.first_need
                    serves.append((kind, needs.get(number, 0) >> block.shift))
            if twice:
                items += [((kind, need),) for kind, need in serves for _ in range(repeats[kind])]
            elif serves:
                items.append(tuple(serves))
        return Bin(state.left >> block.shift & (1 << block.width) - 1, fields, tuple(sorted(items)))

    def _fillings(self, one: Bin, most: Counts) -> list[Counts]:
        """What a bin can serve, by kind, up to what is wanted at most; without what another filling has as well."""
        known = self._ways.get((one, most))
        if known is not None:
            return known
        guards = sum([1 << place + width for width, place in one.fields])
        reached = {(one.left, (0,) * len(most))}
        for item in one.items:
            more = set(reached)
            for left, counts in reached:
                for kind, need in item:
                    if counts[kind] < most[kind] and (left - need) & guards == guards:
                        more.add((left - need, (*counts[:kind], counts[kind] + 1, *counts[kind + 1 :])))
            self._steps += len(more) >> 4
            if len(more) > _WAYS:
                raise _TooManyError
            reached = more
        made = self._ways[one, most] = _largest({counts for _, counts in reached})
        return made

    def _fits(self, counts: Counts, most: Counts, bins: tuple[Bin, ...], ways: list[list[Counts]]) -> bool:
        if not any(counts):
            return True
        if not bins:
            return False
        key = (counts, most, bins)
        if key in self._failed:
            return False
        if self._enough(counts, ways[-len(bins) :]):
            for filling in ways[-len(bins)]:
                self._steps += 1
                if self._steps > _STEPS:
                    raise _TooManyError
                rest = tuple([max(0, wanted - served) for wanted, served in zip(counts, filling, strict=True)])
                if self._fits(rest, most, bins[1:], ways):
                    return True
        self._failed.add(key)
        return False

    def _enough(self, counts: Counts, ways: list[list[Counts]]) -> bool:
        """Whether the bins have room for each kind by itself, and for all together."""
        total = sum([max([sum(map(min, filling, counts)) for filling in fillings]) for fillings in ways])
        if total < sum(counts):
            return False
        return all(
            sum([max([filling[kind] for filling in fillings]) for fillings in ways]) >= wanted
            for kind, wanted in enumerate(counts)
            if wanted
        )


def _largest(fillings: Iterable[Counts]) -> list[Counts]:
    """The fillings that no other one covers, those with most of the first kinds first."""
    kept: list[Counts] = []
    for one in sorted(fillings, key=lambda counts: (-sum(counts), counts)):
        if not any(_covers(other, one) for other in kept):
            kept.append(one)
    return sorted(kept, reverse=True)


def _smallest(mixes: Iterable[Counts]) -> list[Counts]:
    """The mixes that cover no other one: where one of them cannot be packed, what covers it cannot either."""
    kept: list[Counts] = []
    for one in sorted(mixes, key=lambda counts: (sum(counts), counts)):
        if not any(_covers(one, other) for other in kept):
            kept.append(one)
    return kept


def _covers(one: Counts, other: Counts) -> bool:
    return all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
