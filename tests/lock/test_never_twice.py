"""Stories of a server, its watch and the lock, in any order: no device is ever given twice, and none is lost.

The server stores a write in place of the version that it was made for or not at all, as etcd does. Between the answer
of the lock and the storing anything may happen: other writes, deletions, a new lock that knows nothing of the old.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lock_objects import ask, claim, index

from builders import slice_
from fairlead.controller import Event, Gone, Listed, Seen
from fairlead.controller.lock import Index
from fairlead.resource import ResourceClaim

DEVICES = ["gpu-0", "gpu-1", "gpu-2"]
CLAIMS = ["a", "b", "c", "d"]
SLICES = [slice_(" ".join(DEVICES))]


class InFlight(NamedTuple):
    """A write between the lock and the storage."""

    name: str
    base: int
    devices: tuple[str, ...]


@dataclass
class World:
    """The server, and the lock that answers now."""

    revision: int = 10
    stored: dict[str, ResourceClaim] = field(default_factory=dict)
    before: dict[str, ResourceClaim] = field(default_factory=dict)
    """The version before the stored one, which a cache may still have."""
    log: list[Event] = field(default_factory=list)
    seen: int = 0
    """How many events of the log the watch has shown."""
    flying: list[InFlight] = field(default_factory=list)
    lock: Index = field(default_factory=lambda: index(SLICES))

    def store(self, name: str, *devices: str) -> ResourceClaim:
        self.revision += 1
        if name in self.stored:
            self.before[name] = self.stored[name]
        item = self.stored[name] = claim(name, self.revision, *devices)
        self.log.append(Seen("ResourceClaim", item))
        self.check()
        return item

    def check(self) -> None:
        held = [device for name in self.stored for device in self.devices(name)]
        assert len(held) == len(set(held)), f"given twice: {held}"

    def devices(self, name: str) -> list[str]:
        allocation = self.stored[name].status.allocation
        return [one.device for one in allocation.devices.results] if allocation else []

    # What may happen

    def create(self, name: str, number: int) -> None:
        if name not in self.stored:
            self.store(name)

    def delete(self, name: str, number: int) -> None:
        if name in self.stored:
            self.revision += 1
            last = claim(name, self.revision, *self.devices(name))
            del self.stored[name]
            self.before.pop(name, None)
            self.log.append(Gone("ResourceClaim", last))

    def write(self, name: str, number: int, dry_run: bool = False) -> None:
        """Somebody gives a claim devices, perhaps on a version that a cache has and the storage no more."""
        source = self.before if number % 5 == 0 and name in self.before else self.stored
        if name not in source or source[name].status.allocation is not None:
            return
        wanted = [device for bit, device in enumerate(DEVICES) if (number % 7 + 1) >> bit & 1]
        old = source[name]
        if ask(self.lock, old, claim(name, 0, *wanted), dry_run=dry_run).allowed and not dry_run:
            self.flying.append(InFlight(name, int(old.metadata.resource_version), tuple(wanted)))

    def dry_run(self, name: str, number: int) -> None:
        self.write(name, number, dry_run=True)

    def land(self, name: str, number: int) -> None:
        if self.flying:
            one = self.flying.pop(number % len(self.flying))
            known = self.stored.get(one.name)
            if known is not None and int(known.metadata.resource_version) == one.base:
                self.store(one.name, *one.devices)

    def lose(self, name: str, number: int) -> None:
        if self.flying:
            self.flying.pop(number % len(self.flying))

    def release(self, name: str, number: int) -> None:
        if name in self.stored and self.devices(name):
            now = claim(name, 0)
            assert ask(self.lock, self.stored[name], now).allowed
            self.store(name)

    def reserve(self, name: str, number: int) -> None:
        """A write that takes nothing more."""
        if name in self.stored:
            now = claim(name, 0, *self.devices(name), pods=["p"])
            assert ask(self.lock, self.stored[name], now).allowed
            self.store(name, *self.devices(name))

    def show(self, name: str, number: int) -> None:
        for event in self.log[self.seen : self.seen + number % 4 + 1]:
            self.lock.handle(event)
            self.seen += 1

    def show_again(self, name: str, number: int) -> None:
        if self.seen:
            self.lock.handle(self.log[self.seen - 1])

    def relist(self, name: str, number: int) -> None:
        self.lock.handle(Listed("ResourceClaim", list(self.stored.values()), self.revision))
        self.seen = len(self.log)

    def settle(self, name: str, number: int) -> None:
        for key, base in self.lock.overdue(1.0):
            self.touch(key, base)

    def touch(self, key: str, base: int) -> None:
        name = key.partition("/")[2]
        if name in self.stored:
            self.lock.answered(self.store(name, *self.devices(name)), 0.0)
        else:
            self.lock.settled(key, base)

    def take_over(self, name: str, number: int) -> None:
        """A new lock, that has never heard of what the one before let pass; writes land while it begins."""
        listed = list(self.stored.values())
        self.lock = index(SLICES, listed, self.revision)
        self.seen = len(self.log)
        for key in self.lock.unallocated():
            if number & 1:
                self.land(name, number)
            if number & 2:
                self.show(name, number)
            known = self.lock.claim(key)
            self.touch(key, int(known.metadata.resource_version) if known is not None else 0)
            number >>= 1


STEPS = {
    "create": 2, "delete": 1, "write": 6, "dry_run": 1, "land": 4, "lose": 1, "release": 2, "reserve": 1,
    "show": 3, "show_again": 1, "relist": 1, "settle": 1, "take_over": 1,
}  # fmt: skip
"""What may happen, and how often."""


@settings(max_examples=1500, deadline=None)
@given(st.integers(0, 2**32))
def test_no_device_is_given_twice_and_none_is_lost(seed: int) -> None:
    chance = random.Random(seed)
    world = World()
    for name in CLAIMS:
        world.create(name, 0)
    for what in chance.choices(list(STEPS), list(STEPS.values()), k=60):
        getattr(world, what)(chance.choice(CLAIMS), chance.randrange(64))
    # Whatever was on its way is gone now, and the watch catches up: what nobody holds can be had.
    world.flying.clear()
    world.settle("a", 0)
    while world.seen < len(world.log):
        world.show("a", 3)
    assert not world.lock.waiting
    held = {device: name for name in world.stored for device in world.devices(name)}
    for device in DEVICES:
        world.revision += 1
        answer = ask(world.lock, claim("x", world.revision), claim("x", 0, device), dry_run=True)
        assert answer.allowed == (device not in held), device


def test_a_take_over_that_writes_nothing_would_give_a_device_twice() -> None:
    world = World()
    for name in CLAIMS:
        world.create(name, 0)
    world.write("a", 6)
    world.lock = index(SLICES, list(world.stored.values()), world.revision)
    world.write("b", 6)
    world.land("a", 0)
    with pytest.raises(AssertionError, match="given twice"):
        world.land("b", 0)
