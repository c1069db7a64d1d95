"""What no placement can beat: the fewest domains by room alone, and the least cost at a price for a pod.

Room. A frontier is a list of steps `(value, pods)`: with domains worth `value` at most `pods` pods have room. Values
and pods both increase, and the last step holds the whole gang if anything does. With one role, nodes that hold any
smaller number too, and no balance, the last value is not only a bound but the optimum of the number of domains.

Price. If every pod paid a price, a narrowest domain would earn price times pods minus costs at best; nodes earn
independently of each other, which makes it a sum. With n such domains, a gang of k pods costs at least k times the
price minus the n largest earnings (the Lagrangian bound of "k pods in all"). It is exact for the right price in most
cases.
"""

from collections.abc import Sequence
from heapq import nlargest
from itertools import accumulate

from fairlead.placement.gangs.demand import Slices
from fairlead.placement.gangs.region import Spot
from fairlead.placement.gangs.scale import Scale
from fairlead.placement.gangs.supply import Supply

Frontier = list[tuple[int, int]]


class Room:
    """Frontiers of domains for one supply, `pods` pods at most."""

    def __init__(self, supply: Supply, scale: Scale, pods: int, slices: Slices | None, slice_depth: int) -> None:
        self._room = supply.room.__getitem__
        self._scale = scale
        self._pods = pods
        self._slice = slices.size if slices else 1
        self._slice_depth = slice_depth
        self._known: dict[Spot, Frontier] = {}

    def frontier(self, spot: Spot) -> Frontier:
        """Steps of what the domain holds, its own weight included; none where it holds nothing."""
        found = self._known.get(spot)
        if found is None:
            found = self._known[spot] = self._make(spot)
        return found

    def _make(self, spot: Spot) -> Frontier:
        pods = self._pods
        weight = self._scale.domain[spot.depth]
        if not spot.children:
            held = min(pods, sum(map(self._room, spot.kinds)))
            if spot.depth == self._slice_depth:
                held -= held % self._slice
            return [(weight, held)] if held else []
        parts = [part for part in map(self.frontier, spot.children) if part]
        if not parts:
            return []
        steps: Frontier = []
        if not spot.children[0].children:
            # Narrowest domains have one step of the same value each: the largest first are best for every number.
            value = each = self._scale.domain[spot.depth + 1]
            total = 0
            for held in sorted((part[0][1] for part in parts), reverse=True):
                total += held
                steps.append((value, min(total, pods)))
                if total >= pods:
                    break
                value += each
            if not each:
                steps = steps[-1:]
        else:
            for part in parts:
                steps = _join(steps, part, pods)
        if spot.depth == self._slice_depth:
            steps = _rising([(value, held - held % self._slice) for value, held in steps], pods)
        return [(value + weight, held) for value, held in steps]

    def fewest(self, spot: Spot) -> int | None:
        """The least value of domains under `spot` (itself included) that hold the whole gang; None if none do."""
        steps = self.frontier(spot)
        return steps[-1][0] if steps and steps[-1][1] >= self._pods else None

    def most(self, spot: Spot) -> int:
        """The most pods that the domain holds, the whole gang at most."""
        steps = self.frontier(spot)
        return steps[-1][1] if steps else 0

    def wide(self, spot: Spot, depth: int, pods: int) -> int:
        """How many domains of a depth under `spot` hold that many pods."""
        return sum(self.most(domain) >= pods for domain in spot.at(depth))

    def rest(self, spot: Spot) -> list[int]:
        """The least value of domains for 0, 1, ... pods, in one list."""
        least = [0]
        for value, held in self.frontier(spot):
            least.extend([value] * (held + 1 - len(least)))
        return least + [least[-1]] * (self._pods + 1 - len(least))


def _join(left: Frontier, right: Frontier, pods: int) -> Frontier:
    """Steps of two domains together."""
    joined = left + right
    for value, held in right:
        joined.extend([(value + other, held + more) for other, more in left])
    return _rising(joined, pods)


def _rising(steps: Frontier, pods: int) -> Frontier:
    """Steps in order, without those that hold no more than a cheaper one, up to the first that holds all."""
    steps.sort(key=lambda step: (step[0], -step[1]))
    kept: Frontier = []
    most = 0
    for value, held in steps:
        if held > most:
            most = min(held, pods)
            kept.append((value, most))
            if most == pods:
                break
    return kept


class Price:
    """What domains earn when every pod pays `price`, in the units of the objective."""

    def __init__(self, supply: Supply, scale: Scale, price: int) -> None:
        self.price = price
        earn = dict.fromkeys(supply.room, 0)
        node = scale.node
        for kind, options in supply.options.items():
            best = max([price * sum(vector) - cost for vector, cost in options]) - node
            if best > 0:
                earn[kind] = best
        self._earn = earn.__getitem__
        self._known: dict[Spot, int] = {}

    def earnings(self, leaf: Spot) -> int:
        """Of a narrowest domain."""
        found = self._known.get(leaf)
        if found is None:
            found = self._known[leaf] = sum(map(self._earn, leaf.kinds))
        return found

    def least(self, spot: Spot, pods: int, leaves: int | None) -> int:
        """No placement of the gang on at most `leaves` narrowest domains under `spot` has less of nodes and costs."""
        earned = map(self.earnings, spot.leaves)
        total = sum(earned) if leaves is None else sum(nlargest(leaves, earned))
        return self.price * pods - total


def cheapest_pods(supply: Supply, scale: Scale, leaves: Sequence[Spot], pods: int) -> list[int]:
    """No 0, 1, ... pods in these narrowest domains cost less, nodes included; domains are not.

    Where there is room for fewer, the last price is repeated.
    """
    each = {
        kind: min([(cost + scale.node) // sum(vector) for vector, cost in options])
        for kind, options in supply.options.items()
    }
    counts: dict[int, int] = {}
    for leaf in leaves:
        for kind in leaf.kinds:
            if kind in each:
                counts[kind] = counts.get(kind, 0) + supply.room[kind]
    prices: list[int] = []
    for price, kind in sorted([(each[kind], kind) for kind in counts]):
        prices.extend([price] * min(counts[kind], pods - len(prices)))
    prices.extend(prices[-1:] * (pods - len(prices)))
    return list(accumulate(prices, initial=0))
