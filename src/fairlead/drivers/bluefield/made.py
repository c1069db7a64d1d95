"""What agents said that they made ready, and hold no more: a DPU that was installed anew under running pods.

The pod runs, its function is there, and nothing forwards its frames: neither side sees that alone. Known is what this
process had made, by the claim's UID; after a start of the driver nothing is, until the next claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.drivers.bluefield.heartbeat import Pulse


@dataclass(frozen=True, slots=True)
class Made:
    """What was made ready on a DPU for a claim."""

    slot: str
    claim: str
    """namespace/name, for people."""
    devices: tuple[str, ...]
    at: float
    """When it was there, in seconds of the driver's clock."""


class MadeReady:
    """What the agents of a node have made. Written by the driver's thread, read by the one that asks for health."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._made: dict[str, tuple[Made, ...]] = {}

    def add(self, uid: str, made: Made) -> None:
        """An agent has made this ready."""
        self._made[uid] = (*self._made.get(uid, ()), made)

    def remove(self, uid: str) -> None:
        """A claim is given back."""
        self._made.pop(uid, None)

    def forgotten(self, slot: str, pulse: Pulse) -> Sequence[Made]:
        """What the DPU holds no more, by what its agent said last; nothing while it is silent."""
        if pulse.problem or pulse.report is None:
            return ()
        known = pulse.report.claims
        return [
            made
            for uid, group in list(self._made.items())
            for made in group
            if made.slot == slot and uid not in known and pulse.asked > made.at
        ]
