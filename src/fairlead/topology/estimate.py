"""What a set of devices of one node can move: between its GPUs, and out through its NICs.

Between GPUs a ring moves as much as its slowest hop carries. A fabric where every pair has a link of its own (`mesh`)
is better used all at once: each GPU exchanges a share with every other, so the bus bandwidth is the sum of the links
of one GPU. Figures are those of data sheets, so what is measured is lower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING

from fairlead.topology.bandwidth import Bandwidth
from fairlead.topology.network import network
from fairlead.topology.ring import best_ring

if TYPE_CHECKING:
    from fairlead.topology.wiring import Link, Wiring


def estimate(wiring: Wiring, devices: Iterable[int]) -> Bandwidth:
    """The bandwidth of a set of devices of one node."""
    chosen = sorted(set(devices))
    gpus = [device for device in chosen if wiring.locations[device].kind == "gpu"]
    out = network(wiring, chosen)
    if len(gpus) < 2:
        return Bandwidth(inf, inf, out.gbytes, out.parts)
    weights = [[0.0 if a == b else wiring.link(a, b).gbytes for b in gpus] for a in gpus]
    ring = best_ring(weights)
    direct = _direct(wiring, gpus)
    all_reduce = max(ring, direct)
    parts = [_limit(wiring, gpus, ring)]
    if direct > ring:
        parts.append(f"{len(gpus)} GPUs: {len(gpus) - 1} links of a mesh each, {direct:g} GB/s together")
    return Bandwidth(ring, all_reduce, out.gbytes, (*parts, *out.parts))


def _direct(wiring: Wiring, gpus: Sequence[int]) -> float:
    """What each GPU exchanges with all others at once, zero unless each pair has its own link."""
    for at, a in enumerate(gpus):
        model = wiring.models[a]
        if model is None or model.fabric is None or model.fabric.shape != "mesh":
            return 0.0
        if any(wiring.link(a, b).kind != "nvlink" for b in gpus[:at]):
            return 0.0
    return min(sum(wiring.link(a, b).gbytes for b in gpus if b != a) for a in gpus)


def _limit(wiring: Wiring, gpus: Sequence[int], ring: float) -> str:
    """The hop that limits the ring: the best kind of link with that figure, by the first pair that has it."""
    pairs = [(a, b) for at, a in enumerate(gpus) for b in gpus[at + 1 :]]
    a, b = min((pair for pair in pairs if wiring.link(*pair).gbytes == ring), key=lambda pair: wiring.link(*pair).rank)
    return f"{wiring.names[a]} - {wiring.names[b]}: {link_text(wiring.link(a, b))}"


def link_text(link: Link) -> str:
    """`nvlink 450 GB/s (source)`."""
    return f"{link.kind} {link.gbytes:g} GB/s ({link.source})"
