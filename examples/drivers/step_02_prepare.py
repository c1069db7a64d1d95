"""Step 2: preparing. A card that is in use is marked in a folder, and the container gets its device node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, DeviceNode, Driver, Edits, Mount, Pool, PreparedDevice, PrepareError
from fairlead.resource import Device


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)
        self.in_use = Path(f"{folder}-in-use")

    def discover(self) -> Pool:
        return Pool([Device(name=path.name) for path in sorted(self.folder.iterdir())])

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        self.in_use.mkdir(exist_ok=True)
        for device in claim.devices:
            if not (self.folder / device.name).exists():
                raise PrepareError(f"{device.name}: does not answer")
            (self.in_use / device.name).write_text(claim.uid)
            yield device.prepared(
                Edits(
                    env={f"CARD_{device.request.upper()}": device.name},
                    device_nodes=[DeviceNode(path=f"/dev/cards/{device.name}", host_path="/dev/null")],
                    mounts=[
                        Mount(
                            host_path=str(self.folder / device.name),
                            container_path=f"/run/cards/{device.name}",
                            options=["ro", "bind"],
                        )
                    ],
                )
            )

    def unprepare(self, claim: Claim) -> None:
        for device in claim.devices:
            (self.in_use / device.name).unlink(missing_ok=True)
