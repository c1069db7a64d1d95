"""Why a gang does not fit: what is too little, each requirement taken alone, and which weaker requirements would do.

Every remedy is tried by placing the gang with it. The sets of changes are tried by size, and the first size at which
one helps is the answer; changes of the same requirement (drop a level, move it up) are never in one set.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import nlargest
from itertools import combinations

from fairlead.placement.gangs.bounds import Room
from fairlead.placement.gangs.curves import Choice, Curves, Effort, EffortError, Layout
from fairlead.placement.gangs.demand import Gang, Offer
from fairlead.placement.gangs.outcome import Change, Need, Placement, Relaxation, Remedy, Shortage, Shortfall
from fairlead.placement.gangs.place import WIDTH, place
from fairlead.placement.gangs.question import Question, read
from fairlead.placement.gangs.region import Spot
from fairlead.placement.gangs.sites import Domain, Sites
from fairlead.placement.gangs.slices import cuts


def shortage(sites: Sites, gang: Gang, offers: Sequence[Offer], proven: bool, effort: int) -> Shortage:
    """The shortage of a gang that has no place; `proven` says whether that is certain."""
    shortfalls = [*_shortfalls(sites, gang, offers, effort)]
    if not shortfalls:
        shortfalls = [Shortfall(Need.TOGETHER, None, (), 0, gang.size, exact=proven)]
    return Shortage(tuple(shortfalls), _remedies(sites, gang, offers, effort), proven)


def _shortfalls(sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int) -> list[Shortfall]:
    free = replace(gang, limits={}, slices=None)
    held, _, exact = _most(sites, free, offers, effort)
    short: list[Shortfall] = []
    if held < gang.size:
        short.append(Shortfall(Need.CAPACITY, None, (), held, gang.size, exact))
    for level in sites.levels:
        if level in gang.limits:
            limit = gang.limits[level]
            held, domains, exact = _most(sites, replace(free, limits={level: limit}), offers, effort, level)
            if held < gang.size:
                short.append(Shortfall(Need.LEVEL, level, domains, held, gang.size, exact))
    if gang.slices is not None:
        size = gang.slices.size
        loose = replace(gang, slices=replace(gang.slices, balanced=False))
        held, _, exact = _most(sites, loose, offers, effort)
        if held < gang.size:
            short.append(Shortfall(Need.SLICES, gang.slices.level, (), held // size, gang.size // size, exact))
    return short


def _most(
    sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int, level: str | None = None
) -> tuple[int, tuple[tuple[str, ...], ...], bool]:
    """The most pods of a gang that fit under one offer, the domains of `level` with them, and whether that is exact.

    The first domains and the first offer of those that hold the most.
    """
    question = read(sites, gang, offers)
    depth = sites.levels.index(level) + 1 if level is not None else 0
    most = 0
    domains: tuple[tuple[str, ...], ...] = ()
    exact = True
    left = Effort(effort)
    layout = Layout([role.count for role in gang.roles], question.limits)
    limit = gang.limits[level] if level is not None and len(gang.roles) == 1 and gang.slices is None else 0
    for supply in question.supplies:
        room = Room(supply, question.scale, gang.size, gang.slices, question.slice_depth or -1)
        curves = Curves(supply, layout, question.scale, [0] * (gang.size + 1), None, left)
        if limit and supply.full and question.tree is not None:
            # Pods of any number fit into a domain up to its room: the domains with most room are best.
            chosen = nlargest(limit, question.tree.at(depth), key=room.most)
            held = min(gang.size, sum(map(room.most, chosen)))
            if held > most:
                most, domains = held, _paths(spot.domain for spot in chosen if room.most(spot))
            continue
        for root in question.roots:
            if room.most(root) <= most:
                continue
            if layout.plain and supply.full and level is None:
                most = room.most(root)
                continue
            try:
                held, found = _widest(question, curves, root, depth)
            except EffortError:
                exact = False
                curves = Curves(supply, layout, question.scale, [0] * (gang.size + 1), None, left, WIDTH)
                held, found = _widest(question, curves, root, depth)
            if held > most:
                most, domains = held, found
    return most, domains if level is not None else (), exact or most == gang.size


def _widest(question: Question, curves: Curves, root: Spot, depth: int) -> tuple[int, tuple[tuple[str, ...], ...]]:
    """The most pods under `root` by tables, and the domains of a depth that they are in."""
    cut = cuts(question.gang, question.slice_depth, root.depth)[0]
    pods, state = curves.most(root, cut)
    choice: Choice = {}
    curves.expand(root, state, cut, choice)
    return pods, _paths({leaf.trail[depth]: None for leaf in choice})


def _paths(domains: Iterable[Domain]) -> tuple[tuple[str, ...], ...]:
    return tuple(domain.path for domain in sorted(domains, key=lambda domain: domain.order))


def _remedies(sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int) -> tuple[Remedy, ...]:
    changes = _changes(sites, gang, offers)
    freest = gang
    for change in changes:
        freest = _relaxed(freest, change)
    if not changes or _most(sites, replace(freest, slices=None), offers, effort)[0] < gang.size:
        return ()
    for count in range(1, len(changes) + 1):
        found: list[Remedy] = []
        for chosen in combinations(changes, count):
            if len({(_subject(change)) for change in chosen}) < count:
                continue
            relaxed = gang
            for change in chosen:
                relaxed = _relaxed(relaxed, change)
            placement = place(sites, relaxed, offers, effort)
            if isinstance(placement, Placement):
                found.append(Remedy(chosen, placement))
        if found:
            return tuple(found)
    return ()


def _changes(sites: Sites, gang: Gang, offers: Sequence[Offer]) -> list[Relaxation]:
    """Every change that makes a requirement of this gang weaker, levels from the widest."""
    changes: list[Relaxation] = []
    for place_, level in enumerate(sites.levels):
        if level in gang.limits:
            changes.append(Relaxation(Change.DROP_LEVEL, level))
            if place_ > 0:
                changes.append(Relaxation(Change.WIDEN_LEVEL, level, sites.levels[place_ - 1]))
    if gang.aligned and any(offer.rank for offer in offers):
        changes.append(Relaxation(Change.NO_ALIGNMENT))
    if gang.slices is not None:
        if gang.slices.balanced:
            changes.append(Relaxation(Change.NO_BALANCE, gang.slices.level))
        changes.append(Relaxation(Change.NO_SLICES, gang.slices.level))
    return changes


def _subject(change: Relaxation) -> tuple[str, str | None]:
    """What a change is about; one set changes it once."""
    if change.change in (Change.DROP_LEVEL, Change.WIDEN_LEVEL):
        return "level", change.level
    return ("alignment", None) if change.change is Change.NO_ALIGNMENT else ("slices", None)


def _relaxed(gang: Gang, change: Relaxation) -> Gang:
    """The gang with one requirement weaker. A limit that moves up keeps its number, unless the wider level has less."""
    if change.change is Change.NO_ALIGNMENT:
        return replace(gang, aligned=False)
    if change.change is Change.NO_SLICES:
        return replace(gang, slices=None)
    if change.change is Change.NO_BALANCE:
        return gang if gang.slices is None else replace(gang, slices=replace(gang.slices, balanced=False))
    limits = dict(gang.limits)
    limit = limits.pop(change.level or "", None)
    if change.to is not None and limit is not None:
        limits[change.to] = min(limit, limits.get(change.to, limit))
    return replace(gang, limits=limits)
