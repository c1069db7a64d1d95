"""Step 7: devices that come and go. The driver says when to look again; without that the kit looks every 5 minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from fairlead.driver import Claim, Driver, Edits, Pool, PreparedDevice
from fairlead.resource import Device

EVERY = 1.0
"""Seconds between two looks. Hardware that tells (netlink, inotify, an event file descriptor) needs no looking."""


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool([Device(name=path.name) for path in sorted(self.folder.iterdir())])

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        before = sorted(self.folder.glob("*"))
        changed()  # what came since the kit discovered is in no difference
        while not stop.wait(EVERY):
            now = sorted(self.folder.glob("*"))
            if now != before:
                before = now
                changed()

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            yield device.prepared(Edits(env={"CARD": device.name}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host. A card that has gone is still named here: it must not be an error."""
