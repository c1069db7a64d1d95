"""The devices of one node and the links between them.

A pair of devices is linked by the best way that is known: the fabric between GPUs, a PCIe switch, a PCIe root, a NUMA
node, the way between sockets. Where facts are missing the link is `unknown`, and counts with what the worst way would
carry. Links are made once for each way and pair of models, and rows of them when first asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fairlead.resource import Device
from fairlead.topology.bandwidth import Bandwidth
from fairlead.topology.estimate import estimate
from fairlead.topology.locate import locate
from fairlead.topology.location import Location
from fairlead.topology.rules import LINK_KINDS, Figure, Model, Rules


@dataclass(frozen=True, slots=True)
class Link:
    """The best way between two devices of one node."""

    kind: str
    """nvlink, switch, root, numa, system or unknown: best to worst."""
    rank: int
    """Position of the kind in that order."""
    gbytes: float
    """GB/s, one direction."""
    source: str
    """Where the figure comes from."""


class Wiring:
    """How the devices of one node are wired; device i is the i-th given."""

    def __init__(self, names: Sequence[str], locations: Sequence[Location], rules: Rules) -> None:
        self.names = tuple(names)
        self.locations = tuple(locations)
        self.rules = rules
        models = {(one.kind, one.model): rules.model(one.kind, one.model) for one in self.locations}
        self.models: tuple[Model | None, ...] = tuple(models[one.kind, one.model] for one in self.locations)
        """What is known of each device's model."""
        self.ports = _ports(self.locations)
        """By PCI address of a card, without the function: how many network ports it has on this node."""
        default = rules.figures[rules.defaults.host]
        self._default = replace(default, source=f"assumed, as the model is unknown: {default.source}")
        socket = rules.figures[rules.defaults.socket]
        self.socket: Figure = replace(socket, source=f"assumed between sockets: {socket.source}")
        """The way between two sockets."""
        self._rows: list[tuple[Link, ...] | None] = [None] * len(self.locations)
        self._links: dict[tuple[str, Figure], Link] = {}

    def link(self, a: int, b: int) -> Link:
        """The link between two devices.

        Raises:
            IndexError: there is no such device.
        """
        row = self._rows[a]
        if row is None:
            row = self._rows[a] = tuple(self._link(a, other) for other in range(len(self.locations)))
        return row[b]

    def bandwidth(self, devices: Iterable[int]) -> Bandwidth:
        """What the GPUs among some devices can move between each other, and out through the NICs among them.

        The order of the devices does not matter, nor does a device that is given twice.
        """
        return estimate(self, devices)

    def host(self, device: int) -> Figure:
        """The figure of a device's own link to the host."""
        model = self.models[device]
        return self.rules.figures[model.host] if model is not None and model.host else self._default

    def _link(self, a: int, b: int) -> Link:
        kind = self._kind(a, b)
        if kind == "nvlink":
            figures = [self.rules.figures[self._fabric(a)]]
        else:
            figures = [self.host(a), self.host(b)]
            if kind in ("system", "unknown"):
                figures.append(self.socket)
        figure = min(figures, key=lambda figure: figure.gbytes)
        known = self._links.get((kind, figure))
        if known is None:
            source = f"the way is unknown, {figure.source}" if kind == "unknown" else figure.source
            known = self._links[kind, figure] = Link(kind, LINK_KINDS.index(kind), figure.gbytes, source)
        return known

    def _kind(self, a: int, b: int) -> str:
        one, two = self.locations[a], self.locations[b]
        if one.nvlink and one.nvlink == two.nvlink and self._fabric(a) and self._fabric(a) == self._fabric(b):
            return "nvlink"
        if one.switch and one.switch == two.switch:
            return "switch"
        if one.root and one.root == two.root:
            return "root"
        if one.numa is None or two.numa is None:
            return "unknown"
        return "numa" if one.numa == two.numa else "system"

    def _fabric(self, device: int) -> str:
        model = self.models[device]
        return "" if model is None or model.fabric is None or self.locations[device].part else model.fabric.figure


def _ports(locations: Iterable[Location]) -> Mapping[str, int]:
    ports: dict[str, set[str]] = defaultdict(set)
    for one in locations:
        if one.kind in ("nic", "dpu") and one.port:
            ports[one.port.partition(".")[0]].add(one.port)
    return {card: len(found) for card, found in ports.items()}


def wire(devices: Sequence[tuple[str, Device]], rules: Rules) -> Wiring:
    """The wiring of one node.

    Args:
        devices: driver name and device, all of one node.
        rules: what attributes mean and links carry.
    """
    return Wiring([device.name for _, device in devices], locate(devices, rules), rules)
