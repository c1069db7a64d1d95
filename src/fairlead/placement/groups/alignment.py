"""What all pods of a gang have in common: the rails of their GPUs, and values of attributes.

An alignment is one such choice. In the terms of a node it is a mask: the devices that the gang's pods may be given
there. A device that could serve a request under a gang-wide match, and has another value, is given to no pod of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from fairlead.inventory import NodeView
from fairlead.placement.groups.ask import MatchAsked
from fairlead.topology import Wiring

Rails = frozenset[int]
Value = tuple[str, int | str | bool]
"""Type and value of an attribute."""

MOST_VALUES = 64
"""Combinations of values that are looked at."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """One choice for all pods."""

    rails: Rails | None = None
    """None: without regard to rails."""
    values: tuple[Value, ...] = ()
    """One for each gang-wide match."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A gang-wide match on one node: who is concerned, and the values that there are."""

    attribute: str
    concerned: int
    """Devices that could serve one of its requests."""


def values_of(view: NodeView, one: Matched) -> dict[Value, int]:
    """The devices that are concerned, by value."""
    index = view.attribute(one.attribute)
    found = {value: mask & one.concerned for value, mask in zip(index.values, index.masks, strict=True)}
    return {value: mask for value, mask in found.items() if mask}


def combinations_of(
    matches: Sequence[MatchAsked], nodes: Iterable[tuple[NodeView, Sequence[Matched]]]
) -> list[tuple[Value, ...]]:
    """The combinations of values that any node has, in order of appearance; at most `MOST_VALUES`."""
    found: list[dict[Value, None]] = [{} for _ in matches]
    for view, matched in nodes:
        for place, one in enumerate(matched):
            found[place].update(dict.fromkeys(values_of(view, one)))
    return [chosen for _, chosen in zip(range(MOST_VALUES), product(*found), strict=False)]


def within(alignment: Alignment, view: NodeView, wiring: Wiring, matched: Sequence[Matched]) -> int:
    """The devices of a node that pods may be given."""
    mask = -1
    if alignment.rails is not None:
        mask = 0
        for number, place in enumerate(wiring.locations):
            if place.rail in alignment.rails or (place.rail is None and place.kind != "gpu"):
                mask |= 1 << number
    for one, value in zip(matched, alignment.values, strict=True):
        mask &= ~one.concerned | values_of(view, one).get(value, 0)
    return mask
