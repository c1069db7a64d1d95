"""One pod a node: the cheapest nodes of the domains that earn most, and a bound that is mostly equal to them.

At a price for a pod (`bounds.Price`) the domains that earn most are known, and with them a placement: their cheapest
nodes. The price that gives the best bound is searched among the costs there are. Where bound and placement meet, it is
optimal.
"""

from bisect import bisect_left, bisect_right

from fairlead.placement.gangs.bounds import Price
from fairlead.placement.gangs.curves import Choice
from fairlead.placement.gangs.region import Spot
from fairlead.placement.gangs.scale import Scale
from fairlead.placement.gangs.supply import Supply


class Cheapest:
    """For one supply with one pod a node, and gangs of one role without slices."""

    def __init__(self, supply: Supply, scale: Scale, pods: int) -> None:
        self._supply = supply
        self._scale = scale
        self._pods = pods
        self._cost = {kind: options[0][1] + scale.node for kind, options in supply.options.items()}
        # At the last price room alone counts.
        self._levels = [*sorted(set(self._cost.values())), scale.step]
        self._prices: dict[int, Price] = {}
        self._last = len(self._levels) // 2

    def under(self, root: Spot, leaves: int | None, domains: int, around: int) -> tuple[int, tuple[int, Choice] | None]:
        """A bound for placements under a domain, and the value and choice of one if one was found.

        Args:
            root: where the whole gang goes.
            leaves: how many narrowest domains it uses; None for any number.
            domains: the least value of the domains used.
            around: the value of the root and the domains around it.
        """
        low, high = 0, len(self._levels)
        bound = 0
        best: tuple[int, list[Spot]] | None = None
        at = self._last
        while low < high:
            price = self._price(self._levels[at])
            chosen = root.leaves
            if leaves is not None and len(chosen) > leaves:
                chosen = sorted(chosen, key=lambda leaf: -price.earnings(leaf))[:leaves]
            bound = max(bound, domains + price.least(root, self._pods, leaves))
            costs = sorted([self._cost[kind] for leaf in chosen for kind in leaf.kinds if kind in self._cost])
            if len(costs) >= self._pods:
                if leaves is None:
                    chosen = list(self._choice(chosen))
                value = around + self._between(root, chosen) + sum(costs[: self._pods])
                if best is None or value < best[0]:
                    best = (value, chosen)
                if value <= bound:
                    break
            if self._pods < bisect_left(costs, price.price):
                high = at
            elif self._pods > bisect_right(costs, price.price):
                low = at + 1
            else:
                break
            at = (low + high) // 2
        self._last = min(at, len(self._levels) - 1)
        return bound, None if best is None else (best[0], self._choice(best[1]))

    def _between(self, root: Spot, leaves: list[Spot]) -> int:
        """The value of the domains inside `root` that these narrowest ones are in."""
        return sum(
            self._scale.domain[depth] * len({leaf.trail[depth] for leaf in leaves})
            for depth in range(root.depth + 1, len(root.leaves[0].trail))
            if self._scale.domain[depth]
        )

    def _choice(self, leaves: list[Spot]) -> Choice:
        """The cheapest nodes of these domains; of equal ones those of earlier domains."""
        places = [
            (self._cost[kind], place, kind)
            for place, leaf in enumerate(leaves)
            for kind in leaf.kinds
            if kind in self._cost
        ]
        choice: Choice = {}
        for _, place, kind in sorted(places)[: self._pods]:
            choice.setdefault(leaves[place], {}).setdefault(kind, []).append((1,))
        return choice

    def _price(self, price: int) -> Price:
        found = self._prices.get(price)
        if found is None:
            found = self._prices[price] = Price(self._supply, self._scale, price)
        return found
