"""What labels of nodes, or levels that a user named, can get wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

PROBLEM_KINDS: Final = (
    "unknown-level",  # a user named it, and no node has its label
    "given-twice",  # a user named it, or its label, twice
    "cycle",  # levels that are above each other
    "two-domains",  # two labels of one level group the nodes differently
    "two-parents",  # a domain lies in two domains of a level above it
    "crossing",  # as two-parents, of levels that no rule orders
    "missing-label",  # some nodes have no label of a level that others have
)
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class TopologyProblem:
    """One thing that is wrong. All kinds but `missing-label` and `given-twice` cost the level."""

    kind: str
    level: str
    domain: str
    """The domain that it is about; "" when it is about the level."""
    nodes: tuple[str, ...]
    text: str


def some(names: Iterable[str]) -> str:
    """`a, b, c and 4 more`."""
    given = list(names)
    more = len(given) - _SHOWN
    return ", ".join(given[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
