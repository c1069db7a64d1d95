"""An estimate of what a set of devices can move, with what limits it.

All figures are upper bounds from data sheets, in GB/s (10^9 bytes) and one direction. `inf` means that nothing has
to move: fewer than two GPUs talk to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What a set of devices can move, in GB/s."""

    ring: float
    """The slowest hop of the best ring over the GPUs; `inf` below two GPUs."""
    all_reduce: float
    """Bus bandwidth of an all-reduce over the GPUs; `inf` below two GPUs."""
    network: float
    """What the GPUs can move out of the node through the NICs of the set."""
    parts: tuple[str, ...]
    """What limits it, in words: `gpu-0 - gpu-1: nvlink 450 GB/s (source)`."""
