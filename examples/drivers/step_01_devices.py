"""Step 1: devices. The hardware is a folder with a file for each card, which says how many GiB of memory it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, Driver, Pool, PreparedDevice
from fairlead.resource import Device, DeviceAttribute, DeviceCapacity, Quantity


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool([self.card(path) for path in sorted(self.folder.iterdir())])

    def card(self, path: Path) -> Device:
        return Device(
            name=path.name,
            attributes={"model": DeviceAttribute(string="X100")},
            capacity={"memory": DeviceCapacity(Quantity.parse(f"{path.read_text().strip()}Gi"))},
        )

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            yield device.prepared()

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host."""
