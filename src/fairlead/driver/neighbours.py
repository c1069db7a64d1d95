"""Drivers of one node that find the same hardware: who leaves a device to whom, so that nobody shows it twice.

A driver names those that it gives way to (`Driver.gives_way_to`); what they publish of this node, it does not. What a
driver of the same process has found is known without delay, and nothing is published before it has looked once. Of
others the ResourceSlices of the node are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from fairlead.driver.api import Api, list_slices
from fairlead.driver.author import Pool
from fairlead.driver.coexistence import hardware_of


class Neighbours:
    """What the drivers of one process have found."""

    def __init__(self, hosted: Iterable[str] = ()) -> None:
        """Args:
        hosted: the names of the drivers.
        """
        self.hosted: Final = frozenset(hosted)
        self._found: dict[str, frozenset[str] | None] = {}
        self._followers: dict[str, tuple[Sequence[str], Callable[[], None]]] = {}

    def follow(self, driver: str, names: Sequence[str], changed: Callable[[], None]) -> None:
        """Has `changed` called for a driver whenever one of others has found something else."""
        self._followers[driver] = (names, changed)

    def say(self, driver: str, pools: Iterable[Pool] | None) -> None:
        """A driver has looked: its pools, or None where that failed and what it found before stays."""
        if pools is None:
            found = self._found.get(driver)
        else:
            found = frozenset(one for pool in pools for device in pool.devices for one in hardware_of(device))
        news = driver not in self._found or found != self._found[driver]
        self._found[driver] = found
        if news:
            for names, changed in self._followers.values():
                if driver in names:
                    changed()

    def looked(self, driver: str) -> bool:
        """Whether a driver has looked once, or is none of this process."""
        return driver in self._found or driver not in self.hosted

    def found(self, driver: str) -> frozenset[str] | None:
        """What a driver of this process has found; None where that is not known."""
        return self._found.get(driver)


async def read_taken(api: Api, node: str, names: Sequence[str], neighbours: Neighbours) -> dict[str, str]:
    """The hardware that some drivers show on a node, by UUID and PCI address, each with the driver's name.

    Args:
        api: the way to the API server.
        node: the node.
        names: of the drivers; the first counts where several show the same.
        neighbours: the drivers of this process.

    Raises:
        ApiError: it is not to be had.
        msgspec.MsgspecError: the answer makes no sense.
    """
    taken: dict[str, str] = {}
    for name in names:
        found: Iterable[str] | None = neighbours.found(name)
        if found is None:
            slices, _ = await list_slices(api, name, node)
            found = [one for item in slices for device in item.spec.devices for one in hardware_of(device)]
        taken = dict.fromkeys(found, name) | taken
    return taken


def ready(names: Sequence[str], taken: Mapping[str, str], neighbours: Neighbours) -> bool:
    """Whether what other drivers have is known: each has looked, or has slices from before."""
    return all(neighbours.looked(name) or name in taken.values() for name in names)
