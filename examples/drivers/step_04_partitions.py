"""Step 4: partitions. A card can be given out whole, or as two halves; counters keep both from happening at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, Driver, Edits, Pool, PreparedDevice
from fairlead.resource import Counter, CounterSet, Device, DeviceAttribute, DeviceCounterConsumption, Quantity

ENGINES = 8


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        cards = sorted(path.name for path in self.folder.iterdir())
        devices = []
        for card in cards:
            devices.append(self.device(card, card, "whole", ENGINES))
            devices += [self.device(f"{card}-{half}", card, "half", ENGINES // 2) for half in ("a", "b")]
        return Pool(
            devices,
            counters=[CounterSet(name=card, counters=engines(ENGINES)) for card in cards],
            parts={f"{card}-{half}": card for card in cards for half in ("a", "b")},
        )

    def device(self, name: str, card: str, kind: str, count: int) -> Device:
        return Device(
            name=name,
            attributes={"kind": DeviceAttribute(string=kind)},
            consumes_counters=[DeviceCounterConsumption(counter_set=card, counters=engines(count))],
        )

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            yield device.prepared(Edits(env={"CARD": device.name}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host."""


def engines(count: int) -> dict[str, Counter]:
    return {"engines": Counter(Quantity.parse(str(count)))}
