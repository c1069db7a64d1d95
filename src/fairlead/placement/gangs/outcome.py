"""What becomes of a gang: a placement with its objective, or a shortage with what falls short and what would help."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from fairlead.placement.gangs.demand import Vector


@dataclass(frozen=True, slots=True, order=True)
class Objective:
    """What is minimised, compared field by field.

    Attributes:
        domains: the number of domains used at each level that counts, the most important level first.
        nodes: the number of nodes used.
        rank: of the alignment.
        cost: the sum over the nodes.
    """

    domains: tuple[int, ...]
    nodes: int
    rank: int
    cost: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one site gets: pods by role, at least one in all."""

    site: str
    pods: Vector


@dataclass(frozen=True, slots=True)
class Placement:
    """A place for every pod of the gang.

    Attributes:
        shares: in the order of the sites.
        levels: the levels that `objective.domains` counts.
        bound: no placement has a smaller objective. Equal to `objective` where `proven`.
        proven: whether `objective` is the optimum.
    """

    alignment: Hashable
    shares: tuple[Share, ...]
    levels: tuple[str, ...]
    objective: Objective
    bound: Objective
    proven: bool


class Need(StrEnum):
    """What can fall short."""

    CAPACITY = "capacity"  # pods, in all nodes
    LEVEL = "level"  # pods, in the domains allowed at a limited level
    SLICES = "slices"  # whole slices, in the domains allowed by the limits
    TOGETHER = "together"  # each of the others is enough alone; no number says how much is missing


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One thing that there is too little of.

    Attributes:
        need: what is counted.
        level: the limited level (LEVEL) or the level of the slices (SLICES); else None.
        domains: paths of the domains that hold the most, each from the widest known id to its own; as many as the
            limit allows. Empty where the need is not about chosen domains.
        held: the most that fits: pods (CAPACITY, LEVEL) or slices (SLICES).
        wanted: what the gang needs, in the same unit.
        exact: `held` is known to be the most; otherwise the most is `held` or more, but less than `wanted` if the
            shortage is proven.
    """

    need: Need
    level: str | None
    domains: tuple[tuple[str, ...], ...]
    held: int
    wanted: int
    exact: bool = True


class Change(StrEnum):
    """A requirement made weaker."""

    DROP_LEVEL = "drop level"  # no limit at the level
    WIDEN_LEVEL = "widen level"  # the limit moves one level up
    NO_ALIGNMENT = "no alignment"  # offers of every rank
    NO_BALANCE = "no balance"  # slices, but of any number per domain
    NO_SLICES = "no slices"


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One change: of `level` (where it is about a level), and `to` which level it moves (WIDEN_LEVEL)."""

    change: Change
    level: str | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Remedy:
    """Changes that, made together, let the gang fit; tried, with the placement that was found."""

    relaxations: tuple[Relaxation, ...]
    placement: Placement


@dataclass(frozen=True, slots=True)
class Shortage:
    """The gang does not fit.

    Attributes:
        shortfalls: what falls short taken alone, from the widest to the narrowest; TOGETHER where nothing does.
        remedies: the smallest sets of changes that help: every single one that does, or if none does, every pair, and
            so on. Empty: only more room helps.
        proven: no placement exists. False: the search was cut short and found none.
    """

    shortfalls: tuple[Shortfall, ...]
    remedies: tuple[Remedy, ...]
    proven: bool
