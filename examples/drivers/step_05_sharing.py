"""Step 5: sharing. Many claims get a share of one card; each says how much of the memory it wants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, Driver, Edits, Pool, PreparedDevice
from fairlead.resource import CapacityRequestPolicy, CapacityRequestPolicyRange, Device, DeviceCapacity, Quantity

POLICY = CapacityRequestPolicy(
    default=Quantity.parse("1Gi"),
    valid_range=CapacityRequestPolicyRange(min=Quantity.parse("1Gi"), step=Quantity.parse("1Gi")),
)


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool([self.card(path) for path in sorted(self.folder.iterdir())])

    def card(self, path: Path) -> Device:
        memory = Quantity.parse(f"{path.read_text().strip()}Gi")
        return Device(
            name=path.name,
            allow_multiple_allocations=True,
            capacity={"memory": DeviceCapacity(memory, POLICY)},
        )

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            memory = device.consumed_capacity["memory"]
            yield device.prepared(Edits(env={"CARD": device.name, "CARD_MEMORY": str(memory)}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host; what is, must be named by `device.share_id`, for others have shares, too."""
