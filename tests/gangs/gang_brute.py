"""Gangs by trying everything: every choice of pods for every site, judged from the plain words of the requirements.

It shares no code with the solver beyond the inputs, and is only for a handful of sites.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from fairlead.placement.gangs import Gang, Offer, Site

Given = tuple[tuple[int, ...], ...]  # pods by role, for each site


def domain(levels: Sequence[str], site: Site, level: str) -> tuple[object, ...]:
    """What names a site's domain: its ids down to the level, an unknown one by what is known below, or the site."""
    depth = levels.index(level)
    named: list[object] = []
    for place in range(depth + 1):
        below = [part for part in site.path[place:] if part]
        if site.path[place]:
            named.append(("id", site.path[place]))
        elif below:
            named.append(("holds", below[0]))
        else:
            named.append(("site", site.name))
    return tuple(named)


def needed(gang: Gang) -> set[str]:
    """The levels at which a used site must be known."""
    return {*gang.limits, *([gang.slices.level] if gang.slices else [])}


def options(gang: Gang, offer: Offer, kind: int) -> Mapping[tuple[int, ...], int]:
    costs = offer.kinds.get(kind, ())
    if isinstance(costs, Mapping):
        return {vector: cost for vector, cost in costs.items() if any(vector)}
    return {(pods,): cost for pods, cost in enumerate(costs, 1) if cost is not None}


def usable(levels: Sequence[str], gang: Gang, site: Site) -> bool:
    return all(site.path[levels.index(level)] for level in needed(gang))


def valid(levels: Sequence[str], gang: Gang, sites: Sequence[Site], offer: Offer, given: Given, whole: bool) -> bool:
    """Whether this is a placement; if not `whole`, of a part of the gang."""
    used = [(site, vector) for site, vector in zip(sites, given, strict=True) if any(vector)]
    totals = [sum(vector[role] for _, vector in used) for role in range(len(gang.roles))]
    if any(total > role.count for total, role in zip(totals, gang.roles, strict=True)):
        return False
    if whole and totals != [role.count for role in gang.roles]:
        return False
    if gang.aligned and offer.rank:
        return False
    for site, vector in used:
        if not usable(levels, gang, site) or vector not in options(gang, offer, site.kind):
            return False
    for level, limit in gang.limits.items():
        if len({domain(levels, site, level) for site, _ in used}) > limit:
            return False
    if gang.slices:
        pods: dict[tuple[object, ...], int] = {}
        for site, vector in used:
            name = domain(levels, site, gang.slices.level)
            pods[name] = pods.get(name, 0) + sum(vector)
        if any(count % gang.slices.size for count in pods.values()):
            return False
        if gang.slices.balanced and pods and max(pods.values()) - min(pods.values()) > gang.slices.size:
            return False
    return True


def objective(
    levels: Sequence[str], gang: Gang, sites: Sequence[Site], offer: Offer, given: Given
) -> tuple[object, ...]:
    used = [(site, vector) for site, vector in zip(sites, given, strict=True) if any(vector)]
    counted = list(levels if gang.prefer is None else gang.prefer)
    if gang.slices and gang.slices.balanced and gang.slices.level not in counted:
        counted.append(gang.slices.level)
    domains = tuple(len({domain(levels, site, level) for site, _ in used}) for level in counted)
    cost = sum(options(gang, offer, site.kind)[vector] for site, vector in used)
    return domains, len(used), offer.rank, cost


def choices(gang: Gang, sites: Sequence[Site], offer: Offer) -> Iterator[Given]:
    none = (0,) * len(gang.roles)
    yield from product(*([none, *options(gang, offer, site.kind)] for site in sites))


def optimum(
    levels: Sequence[str], gang: Gang, sites: Sequence[Site], offers: Sequence[Offer]
) -> tuple[object, ...] | None:
    """The least objective; None where there is no placement."""
    return min(
        (
            objective(levels, gang, sites, offer, given)
            for offer in offers
            for given in choices(gang, sites, offer)
            if valid(levels, gang, sites, offer, given, whole=True)
        ),
        default=None,
    )


def most(levels: Sequence[str], gang: Gang, sites: Sequence[Site], offers: Sequence[Offer]) -> int:
    """The most pods of the gang that can be placed together under its requirements."""
    return max(
        (
            sum(map(sum, given))
            for offer in offers
            for given in choices(gang, sites, offer)
            if valid(levels, gang, sites, offer, given, whole=False)
        ),
        default=0,
    )
