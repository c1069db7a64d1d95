"""What is tried, and where: what a user of the kit chooses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fairlead.conformance.apiserver import Json


@dataclass(frozen=True, slots=True)
class Options:
    """What is tried, and where."""

    root: Path
    """A folder of the kit's own, with a short path: sockets are below it."""
    command: tuple[str, ...] = ()
    """The driver; empty for one that somebody else started."""
    node: str = "node-1"
    plugins: Path | None = None
    registry: Path | None = None
    cdi: Path | None = None
    patience: float = 60.0
    """Seconds that something may take to come about."""
    settle: float = 1.0
    """Seconds for which something must not come about."""
    configs: tuple[Json, ...] = ()
    """Opaque parameters that the driver takes: of a class, of a claim."""
    beside: tuple[tuple[str, ...], ...] = ()
    """Programs of the driver that run all the while and are not tried, such as the one that publishes the pools that
    many nodes reach."""
