"""Bins in the order in which they are filled, with the kinds that need not be told apart in each.

Kinds of one tariff cost the same in a bin and differ only in the devices that serve them. Of two of them whose devices
in a bin are the same, let all devices of the first in later bins serve the second as well. Where a bin serves one of
the second while one of the first waits for a later bin, the two can change places: that changes nothing in what any
bin holds of the tariff. So only how many of the two a bin serves is to be tried, the first goes first, and a chain of
such kinds is one kind there. A device that serves many serves each demand once; so that the second may take any place,
it must be a kind of which a device may hold all that are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fairlead.allocator.bins import Bin, Item
from fairlead.allocator.mixes import Counts, Kind


class Course(NamedTuple):
    """One bin and how it is filled."""

    bin: Bin
    """The bin with a chain in place of each kind."""
    chains: tuple[tuple[int, ...], ...]
    """The kinds of each chain, those with fewer devices in later bins first."""

    def most(self, mix: Counts, repeats: Counts) -> Counts:
        """By chain, how many the bin may hold of it, whatever its accounts say.

        Args:
            mix: what is wanted.
            repeats: by kind, how many demands are of it.
        """
        limits = tuple(map(min, mix, repeats)) if self.bin.shares else mix
        return tuple([sum([limits[kind] for kind in chain]) for chain in self.chains])


class Route(NamedTuple):
    """All bins, for mixes of certain kinds, which are numbered anew: mixes that only names tell apart look the same."""

    kinds: tuple[int, ...]
    """The kinds in their new order."""
    courses: tuple[Course, ...]
    places: tuple[int, ...]
    """By course, the place of its bin."""


def route_of(
    bins: Sequence[Bin], devices: Sequence[int], kinds: Sequence[Kind], present: Sequence[int], free: int
) -> Route:
    """The bins in the order in which they are filled: those with most left come last.

    Args:
        bins: the bins.
        devices: the devices of each bin.
        kinds: the kinds.
        present: those among them that are wanted.
        free: the kinds, as a mask, of which a device that serves many may hold all that are wanted.
    """
    order = sorted(present, key=lambda kind: (kinds[kind][0], kinds[kind][1].bit_count(), kind))
    number = {kind: place for place, kind in enumerate(order)}
    renamed = sorted(
        [
            (Bin(one.left, one.fields, _renamed(one.shares, number), _all_renamed(one.items, number)), place)
            for place, one in enumerate(bins)
        ]
    )
    renamed = [entry for entry in renamed if entry[0].shares or entry[0].items]
    made: list[Course] = []
    later = 0
    for one, place in reversed(renamed):
        here = devices[place]
        chains: list[list[int]] = []
        for kind in sorted(range(len(order)), key=lambda kind: (kinds[order[kind]][1] & later).bit_count()):
            tariff, candidates, _ = kinds[order[kind]]
            if not candidates & here:
                continue
            for chain in chains:
                other_tariff, others, _ = kinds[order[chain[-1]]]
                if (
                    free >> order[kind] & 1
                    and other_tariff == tariff
                    and not (others ^ candidates) & here
                    and not others & later & ~candidates
                ):
                    chain.append(kind)
                    break
            else:
                chains.append([kind])
        chain_of = {kind: place for place, chain in enumerate(chains) for kind in chain}
        reduced = Bin(one.left, one.fields, _renamed(one.shares, chain_of), _all_renamed(one.items, chain_of))
        made.append(Course(reduced, tuple(map(tuple, chains))))
        later |= here
    return Route(tuple(order), tuple(made[::-1]), tuple([place for _, place in renamed]))


def _renamed(item: Item, names: Mapping[int, int]) -> Item:
    return tuple(sorted({(names[kind], need) for kind, need in item if kind in names}))


def _all_renamed(items: Sequence[Item], names: Mapping[int, int]) -> tuple[Item, ...]:
    return tuple(sorted(filter(None, [_renamed(item, names) for item in items])))
