"""The topology file (`topo.json`): which cards are close to each other, and what they have.

For each card the file says its peers by level (`peers_0`: the nearest) with their distance. From these come groups:
the group of a card at a level holds the cards that are as near to it as that level or nearer. A group is called by the
least address in it, and is told only if all of its members see the same group, so that equal names always mean near.

Numbers may be written as texts, as IBM's own files do. An entry that cannot be read is named, and the others count.

Source: pkg/topology/types/pcitopo of ibm-aiu/dra-driver-spyre, and the files of its tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from fairlead.hardware import Files, Problems

_level = re.compile("peers_([0-9])")
_size = re.compile(r"([0-9]+)\s*([KMGT])i?B?", re.IGNORECASE)
_POWERS: Final = {"K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True, slots=True)
class Level:
    """What lies around a card up to one level of its peers."""

    group: str
    """The least address of the cards in it; empty where they do not agree."""
    distance: int | None
    """The greatest distance to a peer of this level; None where the card has none there."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the file says of one function."""

    numa: int | None = None
    link_speed: str = ""
    levels: tuple[Level, ...] = ()
    memory: int | None = None
    """Bytes."""
    facts: Mapping[str, str | bool] = field(default_factory=dict)
    """Attributes by the names that IBM's driver gives them."""


class _Entry(msgspec.Struct, frozen=True):
    numanode: int | None = None
    linkspeed: str = ""
    peers: dict[str, dict[str, int]] = {}
    metadata: dict[str, dict[str, Any]] | None = None


class _File(msgspec.Struct, frozen=True):
    devices: dict[str, msgspec.Raw] = {}
    spyre_vf_devices: dict[str, msgspec.Raw] = {}


def read_layout(files: Files, path: str, problems: Problems) -> dict[str, Place]:
    """What the file says, by PCI address.

    Args:
        files: where the file is.
        path: of the file, which is there.
        problems: gets a line for each entry that cannot be used.
    """
    with problems.of("topology file"):
        data = files.read(files.real(path))
        try:
            found = msgspec.json.decode(data, type=_File)
        except msgspec.MsgspecError as error:
            problems.append(f"{path}: {error}: cards have no peers")
            return {}
        entries: dict[str, _Entry] = {}
        for address, raw in {**found.spyre_vf_devices, **found.devices}.items():
            try:
                entries[address.lower()] = msgspec.convert(msgspec.json.decode(raw), _Entry, strict=False)
            except msgspec.MsgspecError as error:
                problems.append(f"{path}: {address}: {error}")
        return _places(path, entries, problems)
    return {}


def _places(path: str, entries: Mapping[str, _Entry], problems: Problems) -> dict[str, Place]:
    peers = {address: _peers(entry) for address, entry in entries.items()}
    count = 1 + max((level for one in peers.values() for level in one), default=-1)
    around = {address: [_around(address, one, level) for level in range(count)] for address, one in peers.items()}
    places = {}
    for address, entry in entries.items():
        levels = []
        for level, members in enumerate(around[address]):
            agreed = all(around[one][level] == members for one in members if one in around)
            if not agreed:
                problems.append(f"{path}: {address}: peers_{level}: its peers do not see the same peers: has no group")
            distance = max(peers[address].get(level, {}).values(), default=None)
            levels.append(Level(min(members) if agreed else "", distance))
        metadata = {name.lower(): value for name, value in (entry.metadata or {}).items()}
        memory = metadata.get("memory", {})
        places[address] = Place(
            entry.numanode if entry.numanode is not None and entry.numanode >= 0 else None,
            entry.linkspeed,
            tuple(levels),
            _bytes(path, address, memory.get("Size"), problems),
            _facts(metadata.get("clocks", {}), memory),
        )
    return places


def _peers(entry: _Entry) -> dict[int, dict[str, int]]:
    found = {int(match[1]): of for name, of in entry.peers.items() if (match := _level.fullmatch(name)) and of}
    return {level: {address.lower(): distance for address, distance in of.items()} for level, of in found.items()}


def _around(address: str, peers: Mapping[int, Iterable[str]], level: int) -> frozenset[str]:
    return frozenset([address, *(one for number, of in peers.items() if number <= level for one in of)])


def _bytes(path: str, address: str, size: Any, problems: Problems) -> int | None:
    if size is None:
        return None
    match = _size.fullmatch(str(size).strip())
    if match is None:
        problems.append(f"{path}: {address}: metadata.Memory.Size: {size!r} is no size such as 128 GB")
        return None
    return int(match[1]) << _POWERS[match[2].upper()]


def _facts(clocks: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, str | bool]:
    found: dict[str, str | bool] = {}
    for name, value in {
        "clockRPD": clocks.get("RPD"),
        "clockSOC": clocks.get("SOC"),
        "memoryFrequency": memory.get("Freq"),
        "memoryVendor": memory.get("Make"),
        "memorySpeed": memory.get("Speed"),
    }.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            found[name] = str(value)
    if isinstance(boostable := memory.get("Boostable"), bool):
        found["memoryBoostable"] = boostable
    return found
