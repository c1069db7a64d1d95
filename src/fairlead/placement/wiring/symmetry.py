"""Places of a node that are interchangeable as wholes: PCIe roots with the same devices, say.

Exchanging two such places, device by device, changes neither what the allocator accepts nor what a set of devices is
worth: devices keep their make, and are as close to each other as before; what is taken, what requests accept and which
devices have equal values is the same afterwards. So of sets that differ by exchanges only one has to be looked at:
that in which an earlier place is used no less than a later one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final

from fairlead.allocator.slot import bits
from fairlead.placement.wiring.setting import Setting

_LEVELS: Final = ("switch", "root", "numa", "port")
_FACTS: Final = ("switch", "root", "numa", "nvlink", "port")

_NONE: Final = (None, "")

Cell = tuple[int, ...]
"""The devices of a place; those at the same position in two interchangeable cells change places."""


def interchangeable(
    setting: Setting, trait: Callable[[int], Hashable], values: Sequence[Sequence[Hashable]]
) -> list[list[Cell]]:
    """Lists of cells that are interchangeable with each other, two or more in each; all of one kind of place.

    Args:
        setting: the node.
        trait: what must be the same of two devices that change places.
        values: columns by device, of which it matters only which devices have equal values: of attributes that
            conditions compare, at most one for a device, or of what devices draw on.
    """
    columns: list[Sequence[Hashable]] = [
        *[[setting.value(fact, number) for number in range(setting.size)] for fact in _FACTS],
        [location.port.partition(".")[0] for location in setting.locations],
        *values,
    ]
    best: list[list[Cell]] = []
    for level in _LEVELS:
        orbits: list[list[Cell]] = []
        for group in setting.groups(level):
            cell = tuple(sorted(bits(group), key=lambda number: (str(trait(number)), number)))
            for orbit in orbits:
                if _exchange(orbit[0], cell, trait, columns, setting.size):
                    orbit.append(cell)
                    break
            else:
                orbits.append([cell])
        if _use(orbits) > _use(best):
            best = [orbit for orbit in orbits if len(orbit) > 1]
    return [sorted(orbit, key=min) for orbit in best]


def _use(orbits: Sequence[Sequence[Cell]]) -> int:
    """How many devices have others that stand for them."""
    return sum((len(orbit) - 1) * len(orbit[0]) for orbit in orbits)


def _exchange(
    one: Cell, other: Cell, trait: Callable[[int], Hashable], columns: Iterable[Sequence[Hashable]], size: int
) -> bool:
    """Whether nothing changes when the devices of two cells change places."""
    if len(one) != len(other) or any(trait(a) != trait(b) for a, b in zip(one, other, strict=True)):
        return False
    image = list(range(size))
    for a, b in zip(one, other, strict=True):
        image[a], image[b] = b, a
    return all(_renames(column, image) for column in columns)


def _renames(column: Sequence[Hashable], image: Sequence[int]) -> bool:
    """Whether an exchange of devices does no more than rename the values: what was equal is, what was not is not."""
    names: dict[Hashable, Hashable] = {}
    for number, moved in enumerate(image):
        before, after = column[number], column[moved]
        if (before in _NONE) != (after in _NONE) or names.setdefault(before, after) != after:
            return False
    return len(set(names.values())) == len(names)
