"""Objectives as ints: the order of the ints is the lexicographic order, and adding them adds the parts.

An int has a digit for the domains at each level that counts, the most important first, then for nodes, the rank of the
alignment and the cost. No part can overflow its digit, because a placement of n pods uses at most n domains and nodes.
"""

from collections.abc import Sequence

from fairlead.placement.gangs.outcome import Objective


class Scale:
    """The weight of each part of the objective.

    Attributes:
        depths: depths of the levels that count, the most important first; the widest level has depth 1.
        domain: weight of a domain by depth; 0 where the level does not count, and for the root.
        step: the least difference between two numbers of domains.
        node, rank: weights of a node and of one place in the order of ranks.
    """

    def __init__(self, pods: int, levels: int, depths: Sequence[int], ranks: Sequence[int], most: int) -> None:
        """Weights for gangs of `pods` pods on nodes that cost at most `most` each."""
        self.depths = tuple(depths)
        self._ranks = sorted(set(ranks)) or [0]
        self._base = pods + 1
        self.rank = pods * most + 1
        self.node = self.rank * len(self._ranks)
        self.step = self.node * self._base
        self.domain = [0] * (levels + 1)
        weight = self.step
        for depth in reversed(self.depths):
            self.domain[depth] = weight
            weight *= self._base

    def only(self, depth: int) -> "Scale":
        """A scale that counts the domains at one level and nothing else of domains."""
        return Scale(self._base - 1, len(self.domain) - 1, [depth], self._ranks, 0)

    def of_rank(self, rank: int) -> int:
        """What an alignment of that rank adds."""
        return self._ranks.index(rank) * self.rank

    def counts(self, value: int) -> dict[int, int]:
        """The number of domains by depth, of the levels that count."""
        return {depth: value // self.domain[depth] % self._base for depth in self.depths}

    def objective(self, value: int) -> Objective:
        """The parts of a value."""
        counts = self.counts(value)
        return Objective(
            domains=tuple(counts[depth] for depth in self.depths),
            nodes=value // self.node % self._base,
            rank=self._ranks[value // self.rank % len(self._ranks)],
            cost=value % self.rank,
        )
