"""How good it is to put a pod on a node: one formula for each policy, over the same three figures.

`gain` is by how much fragmentation falls (`fragmentation.Fragmentation`, in devices; mostly negative). `cpu` and
`devices` are what is left afterwards of the node's CPU and devices, as parts of what the greatest node of the cluster
has; a node that does not say how much CPU it has counts as 0. The greatest score wins; of equal ones, the first node
of the order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from fairlead.placement.packing.fit import Devices

CPU_WEIGHT: Final = 0.03
DEVICE_WEIGHT: Final = 0.06
"""Of `pack`: what a whole greatest node that stays free costs, in devices of fragmentation."""


class Outcome(NamedTuple):
    """What putting a pod on a node, with certain devices, would lead to."""

    gain: float
    cpu: float
    devices: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """A node policy: its formula, the devices that it looks at, and what it is good for."""

    name: str
    aim: str
    """What it optimises, in words."""
    formula: str
    devices: Devices
    value: Callable[[Outcome], float]
    measured: bool = False
    """Whether it looks at fragmentation."""
    drawn: bool = False
    """Whether the node and its devices are drawn by lot among all that fit, whatever the value."""


def _first_fit(_: Outcome) -> float:
    return 0.0


def _best_fit(outcome: Outcome) -> float:
    return int(100 * (1 - 0.5 * outcome.cpu - 0.5 * outcome.devices))


def _fgd(outcome: Outcome) -> float:
    return int(100 / (1 + math.exp(-outcome.gain)))


def _pack(outcome: Outcome) -> float:
    return outcome.gain - CPU_WEIGHT * outcome.cpu - DEVICE_WEIGHT * outcome.devices


SCORINGS: Final = {
    scoring.name: scoring
    for scoring in (
        Scoring("first-fit", "the first node that fits", "0", Devices.FIRST, _first_fit),
        Scoring("random", "any node that fits, drawn by lot", "-", Devices.FIRST, _first_fit, drawn=True),
        Scoring(
            "best-fit",
            "the node of which the least CPU and devices are left",
            "int(100 * (1 - cpu/2 - devices/2))",
            Devices.TIGHTEST,
            _best_fit,
        ),
        Scoring(
            "fgd",
            "the least growth of fragmentation, rounded as published",
            "int(100 * sigmoid(gain))",
            Devices.EACH,
            _fgd,
            measured=True,
        ),
        Scoring(
            "pack",
            "the least growth of fragmentation; where little is between nodes, the fullest of them",
            f"gain - {CPU_WEIGHT} * cpu - {DEVICE_WEIGHT} * devices",
            Devices.EACH,
            _pack,
            measured=True,
        ),
    )
}
"""By name, the simplest first."""
