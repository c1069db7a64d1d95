"""What a gang asks for: its roles, what nodes offer to it, and what it requires of levels.

A gang is a set of pods that is placed whole or not at all. It knows neither pods nor devices here: a role is a number
of pods that are alike, an offer says what a node of a kind can hold and at which cost. Levels are named by the `Sites`
that the gang is placed on (`sites.py`), from the widest to the narrowest, e.g. `("block", "rack")`.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

# Pods by role, in the order of `Gang.roles`.
Vector = tuple[int, ...]

# What one node holds at once and the least cost of it. With one role: `costs[k - 1]` for k pods, None where it cannot
# hold exactly k. With one role or several: cost by the number of pods of each role; a vector that is absent cannot be.
Costs = tuple[int | None, ...] | Mapping[Vector, int]


@dataclass(frozen=True, slots=True)
class Role:
    """Pods of a gang that are alike.

    Raises:
        ValueError: `count` is not positive.
    """

    name: str
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"role {self.name!r}: count is {self.count}, it must be at least 1")


@dataclass(frozen=True, slots=True)
class Slices:
    """Every domain of `level` gets a multiple of `size` pods, counted over all roles.

    `balanced`: of the domains that are used, none gets more than one slice more than another (16+16 and not 14+18).
    The level then counts in the objective, after those of `Gang.prefer`, so that the fewest domains are taken.
    A node whose domain at this level is unknown is not used.
    """

    level: str
    size: int
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"slices at level {self.level!r}: size is {self.size}, it must be at least 1")


@dataclass(frozen=True, slots=True)
class Gang:
    """Pods that must be placed together.

    Attributes:
        roles: at least one; their order is the order of every `Vector`.
        limits: level to the largest number of its domains that may be used, usually 1. A node whose domain at such a
            level is unknown is not used.
        slices: pods come in groups of a fixed size per domain.
        prefer: the levels whose number of domains is minimised, the most important first. None: all, widest first.
        aligned: only offers of rank 0 may be chosen.

    Raises:
        ValueError: no roles, a limit below 1, or slices whose size does not divide the number of pods.
    """

    roles: tuple[Role, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    slices: Slices | None = None
    prefer: tuple[str, ...] | None = None
    aligned: bool = False

    def __post_init__(self) -> None:
        if not self.roles:
            raise ValueError("a gang needs at least one role")
        for level, limit in self.limits.items():
            if limit < 1:
                raise ValueError(f"level {level!r}: at most {limit} domains, it must be at least 1")
        if self.slices is not None and self.size % self.slices.size:
            raise ValueError(f"{self.size} pods are no multiple of slices of {self.slices.size}")
        if self.prefer is not None and len(set(self.prefer)) < len(self.prefer):
            raise ValueError("a preferred level is named twice")

    @property
    def size(self) -> int:
        """The number of pods of all roles."""
        return sum(role.count for role in self.roles)


@dataclass(frozen=True, slots=True)
class Offer:
    """What nodes hold under one alignment; the whole gang is placed under one offer.

    Attributes:
        alignment: what the caller calls it, e.g. the set of rails that every pod gets. Only passed through.
        rank: 0 for aligned; a higher rank is worse, whatever the costs, but better than one more domain or node.
        kinds: what a node of each kind holds; a kind that is absent holds nothing. Costs are non-negative, and
            add up over the nodes.
    """

    alignment: Hashable
    rank: int
    kinds: Mapping[int, Costs]
