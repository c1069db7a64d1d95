"""The devices of one node and the links between them.

A pair of devices is linked by the best way that is known: the fabric between GPUs, a PCIe switch, a PCIe root, a NUMA
node, the way between sockets. Where facts are missing the link is `unknown`, and counts with what the worst way would
carry. Links are made once for each way and pair of models, and rows of them when first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        self.models: tuple[Model | None, ...] = tuple(rules.model(one.kind, one.model) for one in self.locations)
        """What is known of each device's model."""
        self._rows: list[tuple[Link, ...] | None] = [None] * len(self.locations)
        self._links: dict[tuple[str, ...], Link] = {}

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
        return self.rules.figures[(model.host if model is not None else "") or self.rules.defaults.host]

    def _link(self, a: int, b: int) -> Link:
        kind = self._kind(a, b)
        key: tuple[str, ...]
        if kind == "nvlink":
            model = self.models[a]
            key = (kind, model.fabric.figure if model is not None and model.fabric is not None else "")
        else:
            key = (kind, *sorted((self.host(a).name, self.host(b).name)))
        known = self._links.get(key)
        if known is None:
            known = self._links[key] = self._made(kind, key[1:])
        return known

    def _made(self, kind: str, figures: tuple[str, ...]) -> Link:
        names = [name for name in figures if name]
        if kind in ("system", "unknown"):
            names.append(self.rules.defaults.socket)
        figure = min((self.rules.figures[name] for name in names), key=lambda figure: figure.gbytes)
        source = figure.source
        if kind == "unknown":
            source = f"the way is unknown, counted as between sockets: {source}"
        return Link(kind, LINK_KINDS.index(kind), figure.gbytes, source)

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


def wire(devices: Sequence[tuple[str, Device]], rules: Rules) -> Wiring:
    """The wiring of one node.

    Args:
        devices: driver name and device, all of one node.
        rules: what attributes mean and links carry.
    """
    return Wiring([device.name for _, device in devices], locate(devices, rules), rules)
