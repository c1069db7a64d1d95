"""What the GPUs of a set can move out of their node through the NICs of the set.

It is the greatest flow from GPUs to network cards: each GPU sends at most what its link to the host carries; a NIC
takes at most what its own link and its share of its card's ports carry, and the functions of a port share it. A NIC
is near a GPU when the link between them is at least as good as the GPU's model asks for reading its memory directly
(same PCIe root, or same NUMA node where C2C does it). Otherwise the data goes through host memory and a share of the
link is left; and all that crosses sockets shares the way between them.

Without GPUs, the NICs count alone. A NIC of unknown speed adds nothing, and is named.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from fairlead.topology.rules import LINK_KINDS, Figure

if TYPE_CHECKING:
    from fairlead.topology.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Outward:
    """GB/s out of the node, and what limits it."""

    gbytes: float
    parts: tuple[str, ...]


def network(wiring: Wiring, devices: Sequence[int]) -> Outward:
    """What the GPUs among devices can move through the NICs among them."""
    kinds = [location.kind for location in wiring.locations]
    gpus = [device for device in devices if kinds[device] == "gpu"]
    nics = [device for device in devices if kinds[device] in ("nic", "dpu")]
    parts: list[str] = []
    ports: dict[str, float] = {}
    used: list[int] = []
    for nic in nics:
        figure = _figure(wiring, nic)
        if figure is None:
            parts.append(f"{wiring.names[nic]}: its speed is unknown, so it is not counted")
            continue
        port, gbytes, others = _port(wiring, nic, figure)
        if port not in ports:
            shared = f", shared by {others} ports" if others > 1 else ""
            parts.append(f"{wiring.names[nic]}: network {gbytes:g} GB/s ({figure.source}{shared})")
        ports[port] = gbytes
        used.append(nic)
    if not used:
        return Outward(0.0, tuple(parts))
    flow = _Flow()
    for port, gbytes in ports.items():
        flow.add(f"port {port}", "network", gbytes)
    for nic in used:
        flow.add(f"nic {nic}", f"port {_port_name(wiring, nic)}", wiring.host(nic).gbytes)
    for gpu in gpus:
        flow.add("gpus", f"gpu {gpu}", wiring.host(gpu).gbytes)
        for nic in used:
            lost = _join(wiring, flow, gpu, nic)
            if lost and not any(near(wiring, other, nic) for other in gpus):
                parts.append(lost)
    if not gpus:
        for nic in used:
            flow.add("gpus", f"nic {nic}", inf)
    return Outward(flow.greatest("gpus", "network"), tuple(parts))


def near(wiring: Wiring, gpu: int, nic: int) -> bool:
    """Whether a NIC reads the memory of a GPU directly."""
    model = wiring.models[gpu]
    worst = LINK_KINDS.index(model.near if model is not None else "root")
    return wiring.link(gpu, nic).rank <= worst


def _join(wiring: Wiring, flow: _Flow, gpu: int, nic: int) -> str:
    """Joins a GPU with a NIC; says what is lost where they are not near."""
    if near(wiring, gpu, nic):
        flow.add(f"gpu {gpu}", f"nic {nic}", inf)
        return ""
    link = wiring.link(gpu, nic)
    share = wiring.rules.defaults.staged
    carried = share * link.gbytes
    why = {
        "numa": "only on the same NUMA node",
        "system": "on another NUMA node",
        "unknown": "at an unknown distance",
    }.get(link.kind, f"only under the same {link.kind}")
    if link.kind == "numa":
        flow.add(f"gpu {gpu}", f"nic {nic}", carried)
    else:
        one, two = wiring.locations[gpu].numa, wiring.locations[nic].numa
        way = f"sockets {min(one, two)} {max(one, two)}" if one is not None and two is not None else "unknown way"
        flow.add(f"gpu {gpu}", f"{way} from", carried)
        flow.add(f"{way} from", f"{way} to", share * wiring.rules.figures[wiring.rules.defaults.socket].gbytes)
        flow.add(f"{way} to", f"nic {nic}", carried)
    return (
        f"{wiring.names[gpu]} - {wiring.names[nic]}: {why}, through host memory: {carried:g} GB/s "
        f"({share:g} of {link.kind} {link.gbytes:g} GB/s, {link.source})"
    )


def _figure(wiring: Wiring, nic: int) -> Figure | None:
    model = wiring.models[nic]
    return wiring.rules.figures[model.network] if model is not None and model.network else None


def _port_name(wiring: Wiring, nic: int) -> str:
    return wiring.locations[nic].port or f"of {nic}"


def _port(wiring: Wiring, nic: int, figure: Figure) -> tuple[str, float, int]:
    """The port of a NIC, its share of its card, and how many ports the card has on this node."""
    name = _port_name(wiring, nic)
    card, dot, _ = name.partition(".")
    if not dot:
        return name, figure.gbytes, 1
    names = {one.port for one in wiring.locations if one.kind in ("nic", "dpu") and one.port.startswith(f"{card}.")}
    return name, figure.gbytes / len(names), len(names)


class _Flow:
    """Greatest flow on a small graph (Edmonds and Karp)."""

    def __init__(self) -> None:
        self._left: dict[str, dict[str, float]] = {}

    def add(self, start: str, end: str, gbytes: float) -> None:
        """A way of this capacity; of ways between the same two, the widest counts."""
        ways = self._left.setdefault(start, {})
        ways[end] = max(ways.get(end, 0.0), gbytes)
        self._left.setdefault(end, {}).setdefault(start, 0.0)

    def greatest(self, start: str, end: str) -> float:
        """The greatest flow; uses up what is left."""
        total = 0.0
        while (path := self._path(start, end)) is not None:
            amount = min(self._left[a][b] for a, b in path)
            for a, b in path:
                self._left[a][b] -= amount
                self._left[b][a] += amount
            total += amount
        return total

    def _path(self, start: str, end: str) -> list[tuple[str, str]] | None:
        before: dict[str, str] = {start: ""}
        queue = deque([start])
        while queue:
            at = queue.popleft()
            if at == end:
                path = []
                while before[at]:
                    path.append((before[at], at))
                    at = before[at]
                return path[::-1]
            for to, left in self._left.get(at, {}).items():
                # Rounding can leave crumbs; a millionth of a GB/s is none.
                if left > 1e-6 and to not in before:
                    before[to] = at
                    queue.append(to)
        return None
