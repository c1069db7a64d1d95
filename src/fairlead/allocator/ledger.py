"""Counters and shared capacity as fields of one int.

A ledger lays out every counter and every shared capacity that the candidates of a problem can use as bit fields, each
with a guard bit above it. What is left is one int with all guard bits set, a device's need is one int, and
`(left - need) & guards == guards` says that no field falls below zero: one subtraction for all fields, and a state
that is a value: nothing is reserved, so nothing can be forgotten to be given back.

Fields are kept in units of the greatest common divisor of all needs on them, which loses nothing: sums of needs are
multiples of it. Devices that share a field, directly or through others, form a block with adjacent fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import gcd

FieldKey = tuple[str, int, str, str]
"""("counter", pool number, set, counter) or ("capacity", device number, "", name)."""


AccountName = tuple[str, int, str]
"""Kind, pool (0 for capacities) and name of fields that are added up; all counters of a pool have no name."""


@dataclass(frozen=True, slots=True)
class LedgerField:
    """One account: `unit` in 10^-9, `width` in bits without the guard bit."""

    key: FieldKey
    unit: int
    shift: int
    width: int

    def amount(self, packed: int) -> int:
        """The field's value in a packed int, in units."""
        return (packed >> self.shift) & ((1 << self.width) - 1)


@dataclass(frozen=True, slots=True)
class Block:
    """Devices that compete for the same fields; `shift` and `width` span the fields with their guard bits."""

    devices: int
    fields: tuple[LedgerField, ...]
    shift: int
    width: int


class Ledger:
    """The layout, and what goes into it. Build it from all needs before packing any."""

    __slots__ = ("accounts", "block_of", "blocks", "fields", "guards", "in_blocks")

    def __init__(self, needs: Iterable[tuple[int, Mapping[FieldKey, int]]], totals: Mapping[FieldKey, int]) -> None:
        """Lays out fields.

        Args:
            needs: device number and need, in 10^-9, of every candidate (a device may come several times).
            totals: the most that can be left of each field, in 10^-9.
        """
        units: dict[FieldKey, int] = {}
        devices_of: dict[FieldKey, int] = {}
        block_of: dict[FieldKey, int] = {}
        blocks: list[set[FieldKey]] = []
        for device, need in needs:
            joined = {block_of[key] for key in need if key in block_of}
            target = min(joined, default=len(blocks))
            if target == len(blocks):
                blocks.append(set())
            for key, amount in need.items():
                units[key] = gcd(units.get(key, 0), amount)
                devices_of[key] = devices_of.get(key, 0) | 1 << device
                blocks[target].add(key)
                block_of[key] = target
            for other in joined - {target}:
                for key in blocks[other]:
                    block_of[key] = target
                blocks[target] |= blocks[other]
                blocks[other] = set()
        self.fields: dict[FieldKey, LedgerField] = {}
        self.blocks: list[Block] = []
        self.guards = 0
        shift = 0
        for block in filter(None, blocks):
            start, devices, members = shift, 0, []
            for key in sorted(block):
                width = (totals[key] // units[key]).bit_length()
                member = LedgerField(key, units[key], shift, width)
                members.append(member)
                self.fields[key] = member
                self.guards |= 1 << (shift + width)
                devices |= devices_of[key]
                shift += width + 1
            self.blocks.append(Block(devices, tuple(members), start, shift - start))
        self.in_blocks = 0
        """Devices that draw on any field."""
        self.block_of: dict[int, Block] = {}
        """The block of each of them."""
        for made in self.blocks:
            self.in_blocks |= made.devices
            for device in range(made.devices.bit_length()):
                if made.devices >> device & 1:
                    self.block_of[device] = made
        self.accounts: dict[AccountName, list[tuple[LedgerField, int]]] = {}
        """The fields of each account, with what one unit of a field counts."""
        for member in self.fields.values():
            kind, number, _, name = member.key
            pool = number if kind == "counter" else 0
            self.accounts.setdefault((kind, pool, name), []).append((member, member.unit))
            if kind == "counter":
                self.accounts.setdefault((kind, pool, ""), []).append((member, 1))

    def pack_need(self, need: Mapping[FieldKey, int]) -> int:
        """A device's need as an int; every amount fits its field because it is at most the total."""
        packed = 0
        for key, amount in need.items():
            member = self.fields[key]
            packed |= amount // member.unit << member.shift
        return packed

    def pack_left(self, left: Mapping[FieldKey, int]) -> int:
        """What is left, with all guard bits set; what is overdrawn counts as nothing left."""
        packed = self.guards
        for key, member in self.fields.items():
            amount = min(max(left[key], 0) // member.unit, (1 << member.width) - 1)
            packed |= amount << member.shift
        return packed
