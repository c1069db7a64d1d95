"""Places a gang: the best alignment and pods by site.

Candidates are pairs of an offer and a domain that holds the whole gang. Room alone gives the least number of domains
of each; only those that reach the least of all go on, in the order of a lower bound on costs, until the bound reaches
the best placement found. One role with at most one pod a node is mostly decided by prices (`cheapest.py`), everything
else by the tables of `curves.py`. Both are exact.

Several roles take tables over all vectors of pods. When their effort is used up, the rest of the search is cut: the
placement is then valid, but `proven` is false and `bound` says how far it can be from the optimum.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fairlead.placement.gangs.bounds import Price, Room, cheapest_pods
from fairlead.placement.gangs.cheapest import Cheapest
from fairlead.placement.gangs.curves import Choice, Curves, Effort, EffortError, Layout
from fairlead.placement.gangs.demand import Gang, Offer
from fairlead.placement.gangs.outcome import Placement, Share
from fairlead.placement.gangs.question import Question, read
from fairlead.placement.gangs.region import Spot
from fairlead.placement.gangs.sites import Sites
from fairlead.placement.gangs.slices import cuts
from fairlead.placement.gangs.supply import Supply

# About how many entries a table keeps in a search that is cut.
WIDTH = 400


@dataclass(slots=True)
class Candidate:
    """The gang under one offer in one domain; no placement there has a smaller value than `bound`."""

    bound: int
    supply: Supply
    root: Spot
    domains: int  # the least value of domains by room, those around the root included
    around: int  # the value of the root and the domains around it
    leaves: int | None  # how many narrowest domains are used, where that is known


@dataclass(slots=True)
class Best:
    """The best placement so far."""

    value: int | None = None
    choice: Choice | None = None
    supply: Supply | None = None
    open: int | None = None  # the least bound of the candidates whose search was cut

    def beats(self, bound: int) -> bool:
        """Whether nothing with this bound can be better."""
        return self.value is not None and bound >= self.value

    def take(self, value: int, choice: Choice, supply: Supply) -> None:
        """Keeps what is better."""
        if self.value is None or value < self.value:
            self.value, self.choice, self.supply = value, choice, supply


def place(sites: Sites, gang: Gang, offers: Sequence[Offer], effort: int) -> Placement | bool:
    """The placement; if there is none, whether that is proven."""
    question = read(sites, gang, offers)
    left = Effort(effort)
    plain = len(gang.roles) == 1 and not (gang.slices and gang.slices.balanced)
    rooms = {each.index: _room(question, each) for each in question.supplies}
    if plain and all(each.full for each in question.supplies):
        candidates = list(_narrow(question, rooms))
        best = Best()
        if candidates:
            ceiling = max(candidate.domains for candidate in candidates) + question.scale.step
            _search(question, candidates, rooms, best, ceiling, {}, left)
        if best.choice is None or _within(best.choice, question.limits):
            return _placement(question, best) if best.choice is not None else True
        candidates = [_bounded(candidate, best.value) for candidate in _possible(question, _all(question, rooms))]
    else:
        candidates = _possible(question, _all(question, rooms))
    best = Best()
    if candidates:
        # Few placements use more domains than room alone demands; the tables are small where no more are allowed.
        ceiling = min(candidate.domains for candidate in candidates) + question.scale.step
        _search(question, candidates, rooms, best, ceiling, question.limits, left)
        if best.choice is None:
            best = Best()
            _search(question, candidates, rooms, best, None, question.limits, left)
    return _placement(question, best) if best.choice is not None else best.open is None


def _room(question: Question, supply: Supply) -> Room:
    return Room(supply, question.scale, question.gang.size, question.gang.slices, question.slice_depth or -1)


def _possible(question: Question, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those in which each limit alone leaves room enough, with a bound that knows the cheapest pods."""
    kept = list(candidates)
    for candidate in kept:
        pods = cheapest_pods(candidate.supply, question.scale, candidate.root.leaves, question.gang.size)
        rank = question.scale.of_rank(candidate.supply.offer.rank)
        candidate.bound = max(candidate.bound, candidate.domains + pods[-1] + rank)
    for depth, limit in question.limits.items():
        scale = question.scale.only(depth)
        rooms: dict[int, Room] = {}
        for supply in question.supplies:
            rooms[supply.index] = Room(
                supply, scale, question.gang.size, question.gang.slices, question.slice_depth or -1
            )
        kept = [
            candidate
            for candidate in kept
            if (fewest := rooms[candidate.supply.index].fewest(candidate.root)) is not None
            and fewest <= limit * scale.domain[depth]
        ]
    return kept


def _all(question: Question, rooms: dict[int, Room]) -> Iterator[Candidate]:
    """Every offer in every root that has room."""
    scale, size = question.scale, question.gang.size
    for supply in question.supplies:
        room = rooms[supply.index]
        for root in question.roots:
            fewest = room.fewest(root)
            if fewest is None:
                continue
            outside = sum(scale.domain[: root.depth])
            nodes = -(-size // max(supply.room.values()))
            bound = outside + fewest + scale.node * nodes + scale.of_rank(supply.offer.rank)
            yield Candidate(bound, supply, root, outside + fewest, outside + scale.domain[root.depth], None)


def _bounded(candidate: Candidate, value: int | None) -> Candidate:
    """The candidate with the bound that the optimum without limits gives."""
    candidate.bound = max(candidate.bound, value or 0)
    return candidate


def _narrow(question: Question, rooms: dict[int, Room]) -> Iterator[Candidate]:
    """Those with the least number of domains, each in the narrowest domain known to hold the whole gang.

    Only for questions where room alone decides the number of domains.
    """
    scale, size = question.scale, question.gang.size
    wide = list(_all(question, rooms))
    fewest = min((candidate.domains for candidate in wide), default=0)
    counts = scale.counts(fewest)
    depth = max((depth for depth, count in counts.items() if count == 1), default=0)
    deepest = len(question.sites.levels)
    leaves = counts.get(deepest) if deepest else 1
    prices: dict[int, Price] = {}
    for candidate in wide:
        if candidate.domains > fewest:
            continue
        supply, room = candidate.supply, rooms[candidate.supply.index]
        inner = list(candidate.root.at(depth)) if depth > candidate.root.depth else [candidate.root]
        outside = sum(scale.domain[: inner[0].depth])
        for root in inner:
            held = room.fewest(root)
            if held is None or outside + held > fewest:
                continue
            price = prices.get(supply.index)
            if price is None:
                price = prices[supply.index] = Price(supply, scale, _going(question, supply, root, leaves))
            costs = max(price.least(root, size, leaves), scale.node * -(-size // max(supply.room.values())))
            bound = fewest + costs + scale.of_rank(supply.offer.rank)
            yield Candidate(bound, supply, root, fewest, outside + scale.domain[root.depth], leaves)


def _going(question: Question, supply: Supply, root: Spot, leaves: int | None) -> int:
    """A price for a pod at which about as many are placed as there are: what the last one costs where room is most."""
    room = supply.room.__getitem__
    chosen = root.leaves
    if leaves is not None:
        chosen = sorted(chosen, key=lambda leaf: -sum(map(room, leaf.kinds)))[:leaves]
    costs = cheapest_pods(supply, question.scale, chosen, question.gang.size)
    return costs[-1] - costs[-2]


def _search(
    question: Question,
    candidates: list[Candidate],
    rooms: dict[int, Room],
    best: Best,
    ceiling: int | None,
    limits: dict[int, int],
    effort: Effort,
) -> None:
    """Goes through the candidates in the order of their bounds; finds what is below the ceiling (None: anything)."""
    gang, scale = question.gang, question.scale
    assert question.tree is not None
    layout = Layout([role.count for role in gang.roles], limits)
    cut_short = False
    tables: dict[tuple[int, bool], Curves] = {}
    cheapest: dict[int, Cheapest] = {}
    for candidate in sorted(candidates, key=lambda each: (each.bound, each.supply.index, each.root.domain.order)):
        if best.beats(candidate.bound):
            break
        if ceiling is not None and candidate.bound >= ceiling:
            break
        supply = candidate.supply
        rank = scale.of_rank(supply.offer.rank)
        if layout.plain and supply.single and gang.slices is None:
            quick = cheapest.get(supply.index)
            if quick is None:
                quick = cheapest[supply.index] = Cheapest(supply, scale, gang.size)
            bound, found = quick.under(candidate.root, candidate.leaves, candidate.domains, candidate.around)
            if found is not None:
                best.take(found[0] + rank, found[1], supply)
            if best.beats(bound + rank):
                continue
        while True:
            curves = tables.get((supply.index, cut_short))
            if curves is None:
                below = min((each for each in (ceiling, best.value) if each is not None), default=None)
                top = None if below is None else below - rank
                # What is missing of a part of a slice is any number of pods.
                loose = Room(supply, scale, gang.size, None, -1) if gang.slices else rooms[supply.index]
                rest = [
                    domains + nodes
                    for domains, nodes in zip(
                        loose.rest(question.tree),
                        cheapest_pods(supply, scale, question.tree.leaves, gang.size),
                        strict=True,
                    )
                ]
                width = WIDTH if cut_short else None
                curves = Curves(supply, layout, scale, rest, top, effort, width)
                tables[supply.index, cut_short] = curves
            try:
                _tables(question, candidate, rooms[supply.index], curves, best, ceiling)
            except EffortError:
                cut_short = True
                continue
            if cut_short:
                best.open = candidate.bound if best.open is None else min(best.open, candidate.bound)
            break


def _tables(
    question: Question, candidate: Candidate, room: Room, curves: Curves, best: Best, ceiling: int | None
) -> None:
    """What the tables say of a candidate."""
    gang, scale, root = question.gang, question.scale, candidate.root
    outside = sum(scale.domain[: root.depth]) + scale.of_rank(candidate.supply.offer.rank)
    for cut in cuts(gang, question.slice_depth, root.depth):
        if cut is not None:
            least = outside + scale.domain[cut.depth] * cut.domains(gang.size)
            if best.beats(least) or (ceiling is not None and least >= ceiling):
                break
            if cut.few and room.wide(root, cut.depth, cut.few * cut.size) < cut.domains(gang.size):
                continue
        found = curves.best(root, cut)
        if found is None or best.beats(outside + found[0]):
            continue
        choice: Choice = {}
        curves.expand(root, found[1], cut, choice)
        best.take(outside + found[0], choice, candidate.supply)


def _within(choice: Choice, limits: dict[int, int]) -> bool:
    """Whether the limits hold."""
    return all(len({leaf.trail[depth] for leaf in choice}) <= limit for depth, limit in limits.items())


def _placement(question: Question, best: Best) -> Placement:
    assert best.value is not None
    assert best.choice is not None
    assert best.supply is not None
    placed: list[tuple[int, Share]] = []
    for leaf, by_kind in best.choice.items():
        waiting = {kind: iter(sorted(vectors, reverse=True)) for kind, vectors in by_kind.items()}
        for position, site in sorted(leaf.domain.members.items()):
            vector = next(waiting[site.kind], None) if site.kind in waiting else None
            if vector is not None:
                placed.append((position, Share(site.name, vector)))
    bound = best.value if best.open is None else min(best.value, best.open)
    return Placement(
        alignment=best.supply.offer.alignment,
        shares=tuple(share for _, share in sorted(placed, key=lambda each: each[0])),
        levels=question.levels,
        objective=question.scale.objective(best.value),
        bound=question.scale.objective(bound),
        proven=bound == best.value,
    )
