"""Which mixes are worth packing: those that no known prices of kinds prove to be too much, the easiest first.

Everything here is about all mixes of a state at once: what a bin could hold of any of them. Prices that prove one of
them too much mostly prove many others too, and to see that takes a sum for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import gt, mul

from fairlead.allocator.bins import Bin, TooManyError
from fairlead.allocator.courses import route_of
from fairlead.allocator.filling import Filler, weights_of
from fairlead.allocator.mixes import Counts, Kind, Mixes
from fairlead.allocator.patterns import Sort, room_at

_WORTH_COMPARING = 8
"""Mixes from which on it pays to look at the most promising ones first."""

_MOST_VAIN = 2
"""Mixes against which prices are looked for in vain, before the rest are left to the packing of each."""

_MOST_RECENT = 8
"""Prices that are tried again in another state."""


def hopeless(mixes: Mixes, bins: Sequence[Bin], devices: Sequence[int], filler: Filler, search: bool) -> bool:
    """Whether some prices prove at once that all mixes are too much.

    Args:
        mixes: what units come to; the mixes need not have been made.
        bins: the bins.
        devices: the devices of each bin.
        filler: what was learned.
        search: whether to look for such prices; otherwise only those that are known are tried.
    """
    if mixes.impossible:
        return True
    most = mixes.most()
    route = route_of(bins, devices, mixes.kinds, range(len(most)), 0)
    kinds = [mixes.kinds[kind] for kind in route.kinds]
    try:
        sorts = filler.sorts(
            route.courses,
            tuple([most[kind] for kind in route.kinds]),
            tuple([mixes.repeats[kind] for kind in route.kinds]),
        )
    except TooManyError:
        return False
    cheapest = mixes.cheapest(route.kinds)
    for place, known in enumerate(_applied(filler.recent, kinds)):
        if cheapest(known)[0] > room_at(known, sorts):
            filler.recent.insert(0, filler.recent.pop(place))
            return True
    prices = filler.patterns.prices_against_all(len(kinds), sorts, cheapest) if search else None
    if prices is None:
        return False
    _learn(filler, kinds, prices)
    return True


def _learn(filler: Filler, kinds: Sequence[Kind], prices: Counts) -> None:
    filler.recent.insert(0, dict(zip(kinds, prices, strict=True)))
    del filler.recent[_MOST_RECENT:]


def promising(mixes: Mixes, bins: Sequence[Bin], devices: Sequence[int], filler: Filler) -> Iterator[Counts]:
    """The mixes that are not too much at any prices, those first that leave most."""
    found = mixes.all()
    if len(found) < _WORTH_COMPARING:
        yield from found
        return
    most = tuple(map(max, *found))
    route = route_of(bins, devices, mixes.kinds, range(len(most)), 0)
    weights = weights_of(len(most), route.courses)
    most = tuple([most[kind] for kind in route.kinds])
    repeats = tuple([mixes.repeats[kind] for kind in route.kinds])
    try:
        worths = filler.worth(route.courses, most, weights, repeats)
    except TooManyError:
        yield from found
        return
    slack: list[tuple[float, Counts, Counts]] = []
    for mix in found:
        wanted = tuple([mix[kind] for kind in route.kinds])
        costs = [sum(map(mul, wanted, prices)) for prices in weights]
        if not any(map(gt, costs, worths)):
            share = max([cost / max(1, worth) for cost, worth in zip(costs, worths, strict=True)])
            slack.append((share, mix, wanted))
    try:
        sorts: list[Sort] = filler.sorts(route.courses, most, repeats)
    except TooManyError:
        sorts = []
    kinds = [mixes.kinds[kind] for kind in route.kinds]
    vain = 0
    left = [(mix, wanted) for _, mix, wanted in sorted(slack)]
    for known in _applied(filler.recent, kinds) if sorts else ():
        left = _affordable(left, known, sorts)
    while left:
        (mix, wanted), *left = left
        others = [other for _, other in left]
        prices = filler.patterns.prices_against(wanted, sorts, others) if sorts and vain < _MOST_VAIN else None
        if prices is None:
            vain += 1
            yield mix
        else:
            left = _affordable(left, prices, sorts)
            _learn(filler, kinds, prices)


def _affordable(
    left: Sequence[tuple[Counts, Counts]], prices: Counts, sorts: Sequence[Sort]
) -> list[tuple[Counts, Counts]]:
    """The mixes, each with what is wanted in another order, that are not too much at these prices."""
    room = room_at(prices, sorts)
    return [(mix, wanted) for mix, wanted in left if sum(map(mul, wanted, prices)) <= room]


def _applied(recent: Iterable[Mapping[Kind, int]], kinds: Sequence[Kind]) -> list[Counts]:
    """Prices that were found for other kinds, for these: each has that of a kind of its tariff, if possible its own."""
    applied = []
    for prices in recent:
        of_tariff = {tariff: price for (tariff, _, _), price in prices.items()}
        applied.append(tuple([prices.get(kind, of_tariff.get(kind[0], 0)) for kind in kinds]))
    return applied
