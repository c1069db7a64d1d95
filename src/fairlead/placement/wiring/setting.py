"""The devices of one node as policies see them: kinds, groups that share a place, and who is close to whom.

A setting depends on slices and wiring rules alone. What is taken comes in as masks: device i is bit i, as in the
node's view. Two nodes of equal `likeness` have the same wiring, device by device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Final

from fairlead.allocator.slot import bits
from fairlead.inventory import NodeView, SliceRecord
from fairlead.topology import Location, Rules, Wiring, reads_of, wire

COMPUTE: Final = ("gpu", "accelerator")
"""Kinds of devices that talk with each other."""
NETWORK: Final = ("nic", "dpu")
"""Kinds of devices through which they talk with other nodes."""
PLACES: Final = ("nvlink", "numa", "root", "switch")
"""Facts of a location that name a place which several devices share."""
_MOST_COMPARED: Final = 64
"""Compute devices up to which it is worth finding out which of them are interchangeable among themselves."""


_KEPT: Final = 10_000
"""Settings that are kept for nodes to come."""


def _card(location: Location) -> str:
    """The physical card of a device: its address without the function."""
    return location.port.partition(".")[0]


class Setting:
    """One node's devices with their wiring."""

    def __init__(self, names: Sequence[str], wiring: Wiring) -> None:
        """Groups the devices.

        Args:
            names: of the devices, by number.
            wiring: of the same devices.
        """
        self.names = tuple(names)
        self.wiring = wiring
        self.locations: tuple[Location, ...] = wiring.locations
        self.size = len(self.locations)
        self.compute = self._of_kind(COMPUTE)
        self.network = self._of_kind(NETWORK)
        self.places: dict[str, tuple[int, ...]] = {place: self.groups(place) for place in PLACES}
        """By fact: the sets of devices that share one value of it, in order of their first device."""
        self._together = Counter(fact for location in self.locations for fact in (_card(location), location.port))
        """How many devices share a card, or a port of one."""
        self.units = self._units()
        """Sets of compute devices, each of them one physical device with all its partitions."""
        self.kin = self._kin()
        """By device: equal for compute devices that are interchangeable where only compute devices matter."""
        self._near: dict[tuple[int, int], int] = {}
        self._limits: dict[int, tuple[str, ...]] = {}
        self.kind = 0
        """Equal for settings of equal likeness, among those of one inventory."""

    @classmethod
    def of(cls, view: NodeView, rules: Rules) -> Setting:
        """The setting of a node, made once for all nodes of which the rules read the same."""
        key = ("wiring", id(rules))
        known = view.problems.get(key)
        if known is None:
            known = view.problems[key] = cls._like(view, rules), rules  # with the rules, so that no others get their id
        assert isinstance(known, tuple)
        made: Setting = known[0]
        return made

    @classmethod
    def _like(cls, view: NodeView, rules: Rules) -> Setting:
        kept = view.common.setdefault(("wiring", id(rules)), _Settings(rules))
        assert isinstance(kept, _Settings)
        names = tuple([device.name for record, _, _ in view.parts for device in record.devices])
        content = [
            (record.slice.spec.driver, record.content.columns(kept.reads(record))) for record, _, _ in view.parts
        ]
        key = (names, *content)
        known = kept.settings.get(key)
        if known is None:
            devices = [(record.slice.spec.driver, device) for record, _, _ in view.parts for device in record.devices]
            if len(kept.settings) >= _KEPT:
                kept.settings.clear()
            known = kept.settings[key] = cls(names, wire(devices, rules))
            known.kind = kept.kinds.setdefault(known.likeness, len(kept.kinds))
        return known

    @cached_property
    def likeness(self) -> Hashable:
        """Equal for nodes that are wired alike, device by device; addresses and names of places may differ."""
        numbered: dict[tuple[str, object], int] = {}
        return tuple(
            [
                (
                    location.kind,
                    location.model,
                    location.rdma,
                    location.part,
                    *[
                        fact and numbered.setdefault((name, fact), len(numbered))
                        for name, fact in (
                            ("switch", location.switch),
                            ("root", location.root),
                            ("numa", "" if location.numa is None else str(location.numa)),
                            ("nvlink", location.nvlink),
                            ("card", _card(location)),
                            ("port", location.port),
                        )
                    ],
                )
                for location in self.locations
            ]
        )

    def position(self, number: int) -> Hashable:
        """Equal for devices that are in the same places and of the same make: nothing tells them apart in a score."""
        location = self.locations[number]
        card, port = _card(location), location.port
        # Rails matter between nodes only; an address matters where it says which devices are of one card or port.
        card = card if self._together[card] > 1 else ""
        port = port if self._together[port] > 1 else ""
        return card, replace(location, bus="", rail=None, port=port)

    def value(self, fact: str, number: int) -> str | int | None:
        """One fact of a device; None where it is not known."""
        value: str | int | None = getattr(self.locations[number], fact)
        return None if value == "" else value

    def noun(self, devices: int) -> str:
        """What the compute devices among some are called."""
        kinds = {self.locations[number].kind for number in bits(devices & self.compute)}
        if len(kinds) != 1:
            return "device"
        return "GPU" if kinds == {"gpu"} else "accelerator"

    def limits(self, devices: int) -> tuple[str, ...]:
        """What limits the bandwidth of a set that was chosen, in words."""
        known = self._limits.get(devices)
        if known is None:
            known = self._limits[devices] = self.wiring.bandwidth(bits(devices)).parts
        return known

    def near(self, number: int, rank: int) -> int:
        """The network devices that are linked to a device at this rank or better."""
        known = self._near.get((number, rank))
        if known is None:
            known = 0
            for other in bits(self.network & ~(1 << number)):
                if self.wiring.link(number, other).rank <= rank:
                    known |= 1 << other
            self._near[number, rank] = known
        return known

    def _of_kind(self, kinds: Sequence[str]) -> int:
        return sum(1 << number for number, location in enumerate(self.locations) if location.kind in kinds)

    def groups(self, place: str) -> tuple[int, ...]:
        """The sets of devices that share one value of a fact, in order of their first device."""
        groups: dict[str | int, int] = {}
        for number in range(self.size):
            value = self.value(place, number)
            if value is not None:
                groups[value] = groups.get(value, 0) | 1 << number
        return tuple(groups.values())

    def _units(self) -> tuple[int, ...]:
        units: dict[object, int] = {}
        for number in bits(self.compute):
            unit: object = self.locations[number].port or number
            units[unit] = units.get(unit, 0) | 1 << number
        return tuple(units.values())

    def _kin(self) -> Mapping[int, int]:
        numbers = bits(self.compute)
        if len(numbers) > _MOST_COMPARED:
            return {number: number for number in numbers}
        links = {}
        for one, other in combinations(numbers, 2):
            link = self.wiring.link(one, other)
            links[one, other] = links[other, one] = (link.rank, link.gbytes)
        kin: dict[int, int] = {}
        for number in numbers:
            for first in dict.fromkeys(kin.values()):
                if self._alike(first, number, numbers, links):
                    kin[number] = first
                    break
            else:
                kin[number] = number
        return kin

    def _alike(
        self, one: int, other: int, numbers: Sequence[int], links: Mapping[tuple[int, int], tuple[int, float]]
    ) -> bool:
        mine, theirs = self.locations[one], self.locations[other]
        return (mine.kind, mine.model, mine.part) == (theirs.kind, theirs.model, theirs.part) and all(
            links[one, third] == links[other, third] for third in numbers if third not in (one, other)
        )


class _Settings:
    """The settings of one inventory under one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        """Kept, so that no others get their id."""
        self.settings: dict[Hashable, Setting] = {}
        """By names of devices and the values that rules read."""
        self.kinds: dict[Hashable, int] = {}
        """A number for every likeness."""
        self._reads: dict[str, tuple[str, ...]] = {}

    def reads(self, record: SliceRecord) -> tuple[str, ...]:
        """The attributes that rules read of a slice, in every spelling."""
        driver = record.slice.spec.driver
        known = self._reads.get(driver)
        if known is None:
            known = self._reads[driver] = tuple(sorted(reads_of(self.rules, driver)))
        return known
