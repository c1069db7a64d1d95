"""Places a gang: the best alignment and pods by site, or what falls short."""

from collections.abc import Sequence

from fairlead.placement.gangs.demand import Gang, Offer
from fairlead.placement.gangs.outcome import Placement, Shortage
from fairlead.placement.gangs.sites import Sites

# How many steps of the search over states are spent before it gives up exactness; about 10 seconds.
EFFORT = 20_000_000


def solve(sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int = EFFORT) -> Placement | Shortage:
    """The placement with the smallest objective, or the shortage.

    Raises:
        ValueError: the gang names a level that the sites do not have, or an offer does not suit its roles.
    """
    raise NotImplementedError
