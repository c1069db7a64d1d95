"""Step 3: configuration. Users choose how a card works, in the claim or in the class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from fairlead.driver import Claim, Config, Driver, Edits, Pool, PreparedDevice
from fairlead.resource import Device


class CardConfig(Config, frozen=True):
    api_version: ClassVar[str] = "cards.example.com/v1"
    mode: Literal["normal", "fast"] = "normal"
    clock_mhz: int = 1000


class Cards(Driver):
    name = "cards.example.com"
    configs = (CardConfig,)

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool([Device(name=path.name) for path in sorted(self.folder.iterdir())])

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            config = device.config(CardConfig) or CardConfig()
            yield device.prepared(Edits(env={"CARD_MODE": config.mode, "CARD_CLOCK": str(config.clock_mhz)}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host."""
