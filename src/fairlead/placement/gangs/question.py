"""A gang on its sites, read once for a decision: depths for names of levels, supplies for offers, the usable tree."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.placement.gangs.demand import Gang, Offer
from fairlead.placement.gangs.region import Spot, usable
from fairlead.placement.gangs.scale import Scale
from fairlead.placement.gangs.sites import Sites
from fairlead.placement.gangs.supply import Supply, supply


@dataclass(slots=True)
class Question:
    """What is asked.

    Attributes:
        tree: the usable domains; None where no site is usable.
        supplies: of the offers that the gang may take, in order.
        limits: by depth, without those of the root's depth or wider; each above 1.
        roots: the gang goes into one of these.
        slice_depth: of the slices' level; None without slices.
    """

    sites: Sites
    gang: Gang
    tree: Spot | None
    supplies: list[Supply]
    scale: Scale
    limits: dict[int, int]
    roots: list[Spot]
    slice_depth: int | None

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that the objective counts."""
        return tuple(self.sites.levels[depth - 1] for depth in self.scale.depths)


def read(sites: Sites, gang: Gang, offers: Sequence[Offer]) -> Question:
    """Reads a question.

    Raises:
        ValueError: the gang names a level that the sites do not have, or an offer does not suit its roles.
    """
    depths = {level: depth for depth, level in enumerate(sites.levels, 1)}
    slice_depth = _depth(depths, gang.slices.level) if gang.slices else None
    limits = {_depth(depths, level): limit for level, limit in gang.limits.items()}
    counted = [_depth(depths, level) for level in (sites.levels if gang.prefer is None else gang.prefer)]
    if gang.slices is not None and gang.slices.balanced and slice_depth is not None and slice_depth not in counted:
        counted.append(slice_depth)

    tree = usable(sites, {*limits, *([slice_depth] if slice_depth is not None else [])})
    kinds = {kind for leaf in tree.leaves for kind in leaf.kinds} if tree else set()
    taken = [offer for offer in offers if not gang.aligned or offer.rank == 0]
    supplies = [supply(offer, index, gang, kinds) for index, offer in enumerate(taken)]
    scale = Scale(
        gang.size,
        len(sites.levels),
        counted,
        [offer.rank for offer in taken],
        max((each.most for each in supplies), default=0),
    )
    root = max((depth for depth, limit in limits.items() if limit == 1), default=0)
    return Question(
        sites=sites,
        gang=gang,
        tree=tree,
        supplies=supplies,
        scale=scale,
        limits={depth: limit for depth, limit in sorted(limits.items()) if depth > root and limit < gang.size},
        roots=list(tree.at(root)) if tree else [],
        slice_depth=slice_depth,
    )


def _depth(depths: dict[str, int], level: str) -> int:
    try:
        return depths[level]
    except KeyError:
        raise ValueError(f"the sites have no level {level!r}, only {', '.join(depths) or 'none'}") from None
