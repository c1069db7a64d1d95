"""Why a pod has no node: what was found node by node, added up over nodes.

A `Finding` is what stands in the way on one node, an `Obstacle` the same over all nodes where it does. Obstacles are
ordered by how near the node came: where devices are there but taken, before where something of the node is in the
way, before where no such device exists. Among equals the one that misses least, then the one on most nodes, is first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_NEAREST_FIRST: Final = (
    "claim",  # not about nodes: the pod or a claim of it cannot be served anywhere
    "held",
    "taken",
    "counter",
    "capacity",
    "together",
    "constraint",
    "limit",
    "allocated",  # a claim of the pod has devices already, and they are not reached from here
    "room",  # CPU, memory, pods: other pods have them
    "ports",
    "apart",
    "near",
    "taint",
    "pool",
    "error",
    "tainted",
    "cordoned",
    "selector",
    "labels",
    "size",
    "node",
    "class",
)
_RANK: Final = {kind: rank for rank, kind in enumerate(_NEAREST_FIRST)}
_NAMED: Final = 2
"""Up to how many nodes are called by name."""
_SHOWN: Final = 3
"""Up to how many holders are."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands in the way on one node; `kind` is one of the allocator's kinds or one of ours."""

    kind: str
    text: str
    missing: int = 0
    """How many devices are too few."""
    holders: tuple[str, ...] = ()
    """Claims that hold devices which would serve, those with most devices first."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that stands in the way, and the nodes where it does; no nodes means everywhere."""

    kind: str
    text: str
    nodes: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    """Claims that hold what is wanted, those on most nodes first."""

    @property
    def where(self) -> str:
        """`12 nodes`, with their names where they are few; empty for everywhere."""
        if not self.nodes:
            return ""
        count = len(self.nodes)
        names = f" ({', '.join(self.nodes)})" if count <= _NAMED else ""
        return f"{count} {'node' if count == 1 else 'nodes'}{names}"

    @property
    def what(self) -> str:
        """The text, and who holds what is wanted."""
        if not self.holders:
            return self.text
        shown = ", ".join(self.holders[:_SHOWN])
        more = f" and {len(self.holders) - _SHOWN} more" if len(self.holders) > _SHOWN else ""
        return f"{self.text}; held by {'claim' if len(self.holders) == 1 else 'claims'} {shown}{more}"

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.nodes else self.what


def add_up(findings: Mapping[str, Iterable[Finding]]) -> tuple[Obstacle, ...]:
    """The findings of all nodes, by node name, as obstacles in order of use."""
    nodes: dict[str, list[str]] = {}
    nearest: dict[str, tuple[int, int]] = {}
    kinds: dict[str, str] = {}
    holders: dict[str, Counter[str]] = {}
    for node, found in findings.items():
        for finding in found:
            rank = (_RANK.get(finding.kind, len(_RANK)), finding.missing)
            names = nodes.setdefault(finding.text, [])
            if not names or names[-1] != node:
                names.append(node)
            holders.setdefault(finding.text, Counter()).update(finding.holders)
            if finding.text not in nearest or rank < nearest[finding.text]:
                nearest[finding.text] = rank
                kinds[finding.text] = finding.kind
    order = sorted(nodes, key=lambda text: (*nearest[text], -len(nodes[text]), text))
    return tuple(
        Obstacle(kinds[text], text, tuple(nodes[text]), tuple(name for name, _ in holders[text].most_common()))
        for text in order
    )
