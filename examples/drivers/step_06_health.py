"""Step 6: health. A card that says that it is broken gets a taint, and loses it some time after it is well again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, Driver, Edits, Health, Pool, PreparedDevice
from fairlead.resource import Device


class Cards(Driver):
    name = "cards.example.com"
    unhealthy_effect = "NoExecute"
    recover_after = 60.0

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool([Device(name=path.name) for path in sorted(self.folder.iterdir())])

    def health(self) -> Iterator[Health]:
        for path in sorted(self.folder.iterdir()):
            text = path.read_text().strip()
            yield Health(path.name, text != "broken", "the card says so" if text == "broken" else "")

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            yield device.prepared(Edits(env={"CARD": device.name}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host."""
