"""Step 8: devices on a fabric. They are in no node; every node of rack r1 reaches them, one at a time.

The folder stands for the fabric's manager, so each node must see the same one: put a call to its API in the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fairlead.driver import Claim, Driver, Edits, Pool, PreparedDevice
from fairlead.resource import Device, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm

RACK = NodeSelectorRequirement(key="example.com/rack", operator="In", values=["r1"])


class Cards(Driver):
    name = "cards.example.com"

    def __init__(self, folder: str = "/var/lib/cards") -> None:
        self.folder = Path(folder)

    def discover(self) -> Pool:
        return Pool(
            [Device(name=path.name, binds_to_node=True) for path in sorted(self.folder.iterdir())],
            name="r1-fabric",
            reach=NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=[RACK])]),
        )

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        for device in claim.devices:
            yield device.prepared(Edits(env={"CARD": device.name}))

    def unprepare(self, claim: Claim) -> None:
        """Nothing was changed on the host. With a real fabric: detach from this node, and from no other."""
