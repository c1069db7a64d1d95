"""The rules that turn attributes and labels into facts, as values.

`reader` makes them from a data file, `locate` and `tree` apply them. Nothing here knows a vendor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LINK_KINDS: Final = ("nvlink", "switch", "root", "numa", "system", "unknown")
"""Ways between two devices of a node, best first; the position is the rank."""
SHAPES: Final = ("switch", "mesh")


@dataclass(frozen=True, slots=True)
class Figure:
    """What a link carries."""

    name: str
    gbytes: float
    """GB/s, one direction."""
    source: str


@dataclass(frozen=True, slots=True)
class KindCase:
    """Devices of a driver with these attribute values are of this kind."""

    kind: str
    when: Mapping[str, str | int | bool] = field(default_factory=dict)
    part: bool = False


@dataclass(frozen=True, slots=True)
class DriverRule:
    """How to read the devices of one driver."""

    name: str
    kinds: tuple[KindCase, ...] = ()
    """The first that holds."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fact -> attributes that give it, before those that any driver may have."""


@dataclass(frozen=True, slots=True)
class Fabric:
    """The links that the GPUs of a model have among themselves."""

    figure: str
    shape: str
    """`switch`: the figure is what one GPU sends, to whichever GPU; `mesh`: a link of its own to each other GPU."""
    spans: bool
    """Whether a domain of it may reach over several nodes."""


@dataclass(frozen=True, slots=True)
class Model:
    """What the devices of a model can carry."""

    name: str
    kind: str
    pattern: re.Pattern[str]
    """Of the whole model name."""
    host: str = ""
    """Figure of its own link to the host: PCIe, or C2C."""
    fabric: Fabric | None = None
    network: str = ""
    """Figure of one card's network ports together; for a GPU, of its own ports out of the node."""
    near: str = "root"
    """The worst link over which a NIC reads the memory of this GPU directly."""


@dataclass(frozen=True, slots=True)
class Case:
    """Facts of the devices of a platform whose PCI address matches."""

    bus: re.Pattern[str]
    facts: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Platform:
    """Facts that a machine is known to have and its drivers do not publish.

    It holds for a node only if every device of the model there has an address of one of the cases, and none says
    otherwise itself.
    """

    name: str
    kind: str
    pattern: re.Pattern[str]
    cases: tuple[Case, ...]
    why: str


@dataclass(frozen=True, slots=True)
class LevelRule:
    """A level of domains that nodes share."""

    name: str
    labels: tuple[str, ...]
    """Labels that give the domain, the one that names it first."""
    oversubscription: float = 1.0
    """How many times more its members can send than the switches between them carry."""
    nvlink: bool = False
    """Whether nodes of one domain are joined by the fabric between GPUs."""
    named: bool = False
    """Whether a user named it, so that its absence is worth a word."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is assumed where nothing is known; each is a figure or a share with its own source."""

    host: str = ""
    """Figure of a device's link to the host."""
    socket: str = ""
    """Figure of the way between two sockets."""
    staged: float = 1.0
    """Share of a link that is left when data goes through host memory instead of directly."""
    cross_rail: float = 1.0
    """How many times less the network carries between NICs of different rails."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that is known about wiring in general."""

    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fact -> attributes that any driver may give it by, the first that is there wins."""
    drivers: Mapping[str, DriverRule] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    models: tuple[Model, ...] = ()
    """The first whose pattern matches."""
    platforms: tuple[Platform, ...] = ()
    levels: Mapping[str, LevelRule] = field(default_factory=dict)
    hierarchies: tuple[tuple[str, ...], ...] = ()
    """Orders of levels, widest first; each says of its levels only."""
    defaults: Defaults = field(default_factory=Defaults)

    def model(self, kind: str, name: str) -> Model | None:
        """What is known of a model of device."""
        for model in self.models:
            if model.kind == kind and model.pattern.fullmatch(name):
                return model
        return None
