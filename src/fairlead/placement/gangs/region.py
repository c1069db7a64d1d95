"""The part of the tree of domains that a gang may use, as one decision sees it."""

from collections.abc import Collection, Iterator

from fairlead.placement.gangs.sites import Domain, Sites


class Spot:
    """A domain that may be used.

    Attributes:
        depth: 0 for the root, then one more for each level.
        children: in the order of the sites; empty for the narrowest.
        leaves: the narrowest domains under this one, itself if it is one.
        kinds: of a narrowest domain, the kind of each of its sites, sorted.
        trail: the domains around this one and itself, one for each depth from 0.
    """

    __slots__ = ("children", "depth", "domain", "kinds", "leaves", "trail")

    def __init__(self, trail: tuple[Domain, ...], children: list["Spot"], kinds: tuple[int, ...]) -> None:
        self.domain = trail[-1]
        self.depth = len(trail) - 1
        self.trail = trail
        self.children = children
        self.kinds = kinds
        self.leaves: list[Spot] = [leaf for child in children for leaf in child.leaves] if children else [self]

    def at(self, depth: int) -> Iterator["Spot"]:
        """The domains of a depth under this one (itself at its own)."""
        if self.depth == depth:
            yield self
        else:
            for child in self.children:
                yield from child.at(depth)


def usable(sites: Sites, known: Collection[int]) -> Spot | None:
    """The tree without domains that are unknown at one of the depths `known`; None where nothing is left."""
    return _spot((sites.root,), len(sites.levels), known)


def _spot(trail: tuple[Domain, ...], deepest: int, known: Collection[int]) -> Spot | None:
    domain = trail[-1]
    depth = len(trail) - 1
    if not domain.known and depth in known:
        return None
    if depth == deepest:
        return Spot(trail, [], domain.kinds) if domain.members else None
    children = [
        spot
        for child in sorted(domain.children.values(), key=_order)
        if (spot := _spot((*trail, child), deepest, known)) is not None
    ]
    return Spot(trail, children, ()) if children else None


def _order(domain: Domain) -> int:
    return domain.order
