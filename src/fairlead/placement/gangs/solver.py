"""The one question to this package: where does a gang go, or why does it not fit."""

from collections.abc import Sequence

from fairlead.placement.gangs.demand import Gang, Offer
from fairlead.placement.gangs.outcome import Placement, Shortage
from fairlead.placement.gangs.place import place
from fairlead.placement.gangs.shortage import shortage
from fairlead.placement.gangs.sites import Sites

# Steps of exact search over several roles, or several domains of a limited level, before it is cut: some seconds.
EFFORT = 20_000_000


def solve(sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int = EFFORT) -> Placement | Shortage:
    """The placement with the smallest objective, or the shortage.

    Args:
        sites: where pods may go; what they hold is read from `offers` by their kinds.
        gang: what is placed.
        offers: one for each alignment.
        effort: steps of exact search over several roles or several domains of a limited level. Each remedy of a
            shortage is tried with as many.

    Raises:
        ValueError: the gang names a level that the sites do not have, or an offer does not suit its roles.
    """
    found = place(sites, gang, offers, effort)
    return found if isinstance(found, Placement) else shortage(sites, gang, offers, found, effort)
