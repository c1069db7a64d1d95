"""Whether what is wanted can be packed: exact bin packing over kinds of what is wanted, block by block.

Sums and sizes (`amounts`) miss what a few small shares waste in devices that large ones would have filled, that
partitions only start at certain places, and that demands under one rule must all find room under one value. Here what
remains is a few counts for each choice of alternatives and values (`mixes`), and each block is a bin with a few ways to
fill it (`bins`).

The packing knows no rules but those, and looks at one rule of a demand; demands that it cannot express are left out. So
a no is a proof, and a yes is not: it is a good place to look for a completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fairlead.allocator.appraisal import hopeless, promising
from fairlead.allocator.bins import Bins, TooManyError
from fairlead.allocator.courses import Route, route_of
from fairlead.allocator.demand import Demand
from fairlead.allocator.filling import Filler, weights_of
from fairlead.allocator.ledger import Block
from fairlead.allocator.mixes import Counts, Kind, Mixes, covers
from fairlead.allocator.moves import Moves, State
from fairlead.allocator.plans import units_of
from fairlead.allocator.slot import Slot

_STEPS = 1_000
"""Fillings that are looked at in vain in one decision before nothing more is proved this way at every step."""

_REWARD = 500
"""Steps that a proof gives back beside its own."""

_OVERHEAD = 40
"""Steps that looking costs beside those taken."""

_MIXES = 64
"""Ways to choose among alternatives and values that are looked at at every step."""

_MOST_MIXES = 2_048
"""And those that are looked at when much depends on it."""


_FEW_REFUTED = 32
"""Mixes without room with which others are compared."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Room for one mix."""

    mixes: Mixes
    mix: Counts
    kinds: Sequence[Kind]
    fillings: Sequence[tuple[Block, Counts]]
    """What goes into blocks, by kind."""


class Packing:
    """The proofs for one decision."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._slots: dict[int, Slot] = {}
        for slot in moves.problem.slots:
            self._slots.setdefault(slot.tariff, slot)
        self._bins = Bins(moves)
        self._filler = Filler(self._bins)
        self._spent = 0

    def impossible(self, demands: list[Demand], state: State) -> tuple[int, ...]:
        """The requests that cannot be packed together; empty where no proof was found, without much effort."""
        if len(self._moves.problem.ledger.blocks) < 2 or self._spent > _STEPS:
            return ()
        mixes, found = self._look(demands, state, _MIXES, _STEPS - self._spent)
        if found is not None or not mixes.packed:
            self._spent += self._filler.steps + _OVERHEAD
            return ()
        self._spent = max(0, self._spent - _REWARD)
        return tuple([demand.position for unit in mixes.packed for demand in unit.demands])

    def look(self, demands: list[Demand], state: State, effort: int) -> Packed | Literal[True] | None:
        """Where the demands find room; None where they do not, and True where that was not found out.

        Args:
            demands: what is to be packed.
            state: what is chosen.
            effort: how many steps may be taken.
        """
        return self._look(demands, state, _MOST_MIXES, effort)[1]

    def _look(
        self, demands: list[Demand], state: State, most: int, effort: int
    ) -> tuple[Mixes, Packed | Literal[True] | None]:
        moves = self._moves
        ledger = moves.problem.ledger
        mixes = Mixes(units_of(moves.problem.rules, demands, state), ledger.in_blocks, moves.shared, state)
        self._filler.begin(effort, mixes.work >> 2)
        if len(mixes.kinds) < 2:
            return mixes, True
        everything = 0
        for _, candidates, _ in mixes.kinds:
            everything |= candidates
        kinds = [(self._slots[tariff], candidates) for tariff, candidates, _ in mixes.kinds]
        blocks = [block for block in ledger.blocks if block.devices & everything]
        bins = [self._bins.make(block, kinds, mixes.repeats, state) for block in blocks]
        devices = [block.devices for block in blocks]
        if hopeless(mixes, bins, devices, self._filler, most == _MOST_MIXES):
            return mixes, None
        mixes.gather(most)
        self._filler.begin(effort, mixes.work >> 2)
        routes: dict[tuple[tuple[int, ...], int], tuple[Route, list[int], list[Counts], list[Counts]]] = {}
        refuted: list[Counts] = []
        undecided = False
        for mix in promising(mixes, bins, devices, self._filler):
            if any(covers(mix, other) for other in refuted):
                continue
            present = tuple([kind for kind, count in enumerate(mix) if count])
            repeats = mixes.demands(mix)
            free = sum([1 << kind for kind in present if repeats[kind] >= mix[kind]])
            if (present, free) not in routes:
                route = route_of(bins, devices, mixes.kinds, present, free)
                weights = weights_of(len(present), route.courses)
                routes[present, free] = route, self._filler.ends(route.courses), weights, []
            route, ends, weights, learned = routes[present, free]
            wanted = tuple([mix[kind] for kind in route.kinds])
            try:
                fillings = self._filler.fill(
                    wanted, route.courses, ends, weights, tuple([repeats[kind] for kind in route.kinds]), learned
                )
            except TooManyError:
                if self._filler.steps > effort:
                    return mixes, True
                undecided = True
                continue
            if fillings is not None:
                filled = list(zip([blocks[place] for place in route.places], fillings, strict=False))
                return mixes, Packed(mixes, mix, [mixes.kinds[kind] for kind in route.kinds], filled)
            if len(refuted) < _FEW_REFUTED:
                refuted.append(mix)
        return mixes, True if undecided else None
