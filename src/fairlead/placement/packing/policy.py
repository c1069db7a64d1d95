"""Node policies for the planner: the order in which nodes, with devices of theirs, are offered to a pod.

A policy proposes; the allocator decides on the proposed devices, and what it gives is booked by the planner. So no
choice of a policy can break a rule of the API, and a proposal that is refused is followed by the next best.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from fairlead.allocator import Wanted
from fairlead.placement.node import PodNeeds
from fairlead.placement.packing.fragmentation import Fragmentation
from fairlead.placement.packing.ranks import Ranks, Scored
from fairlead.placement.packing.scoring import Scoring
from fairlead.placement.packing.typical import TypicalPod, shapes_of
from fairlead.placement.policy import Candidate, Proposal
from fairlead.placement.site import Site
from fairlead.resource import PlannedPod


@dataclass(frozen=True, slots=True)
class Choice:
    """Why a pod has its node: the scores of the node and of the next best that would have done."""

    scoring: Scoring
    chosen: Scored
    runner_up: Scored | None

    def __str__(self) -> str:
        """The choice in words."""
        if self.scoring.drawn:
            return f"{self.chosen.node} was drawn by lot among the nodes that fit"
        best = f"{self.scoring.name} chose {_words(self.scoring, self.chosen)}"
        if self.runner_up is None:
            return f"{best}; no other node fits"
        tie = ", which comes later in the order of nodes" if self.runner_up.score == self.chosen.score else ""
        return f"{best}; next best was {_words(self.scoring, self.runner_up)}{tie}"


class NodePolicy:
    """A `Ranking` of nodes by one scoring. It serves one planner, which attaches it to its site."""

    def __init__(
        self,
        scoring: Scoring,
        typical: Sequence[TypicalPod] = (),
        order: Sequence[str] | None = None,
        rng: Random | None = None,
        explain: bool = False,
    ) -> None:
        """A policy; see `node_policy`."""
        self.scoring = scoring
        self.choices: dict[str, Choice] = {}
        """By `namespace/name` of each placed pod, where choices are to be explained."""
        self._typical = tuple(typical)
        self._order = order
        self._rng = rng or Random(0)
        self._explain = explain
        self._site: Site | None = None
        self._outdated = False
        """Whether other pods are typical than when it was attached."""
        self._ranks: Ranks | None = None
        self._offered: dict[str, Scored] = {}
        """By name, the nodes that were proposed for the pod that is being placed."""

    def attach(self, site: Site) -> None:
        """Begins to work on a site, or begins anew on the one it has; every node is looked at once.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
            ValueError: the policy has another site already, or its order leaves out a node.
        """
        if self._site is not None and self._site is not site:
            raise ValueError("a node policy serves one planner; make another one for another planner")
        self._site = site
        self._outdated = False
        names = list(self._order) if self._order is not None else sorted(site.nodes)
        missing = site.nodes.keys() - set(names)
        if missing:
            raise ValueError(f"the order of nodes leaves out {min(missing)}")
        names = [name for name in dict.fromkeys(names) if name in site.nodes]
        measure = Fragmentation(
            shapes_of(self._typical, site.allocator) if self.scoring.measured else (), site.allocator
        )
        self._ranks = Ranks(site, self.scoring, measure, names)

    def expect(self, typical: Sequence[TypicalPod]) -> None:
        """Keeps room for other pods from the next one on; every node is looked at once for that."""
        self._typical = tuple(typical)
        self._outdated = True

    def catch_up(self) -> None:
        """Takes note of what changed of nodes and in the inventory.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        if self._outdated and self._site is not None:
            self.attach(self._site)
        self._attached.catch_up()

    def propose(self, needs: PodNeeds, wanted: Sequence[Wanted]) -> Iterator[Proposal]:
        """The nodes that may hold a pod, best first, each with the devices to give."""
        for scored in self.scored(needs, wanted):
            self._offered[scored.node] = scored
            yield Proposal(scored.node, scored.within)

    def scored(self, needs: PodNeeds, wanted: Sequence[Wanted]) -> Iterator[Scored]:
        """The same with scores."""
        amounts = dict(needs.amounts)
        return self._attached.ranked(amounts.get("cpu", 0), amounts.get("memory", 0), wanted, self._rng)

    def choose(self, pod: PlannedPod, candidates: Iterable[Candidate]) -> Candidate | None:
        """The first candidate that fits: they come in the order of the proposals."""
        fitting = (candidate for candidate in candidates if candidate.fits)
        chosen = next(fitting, None)
        if chosen is not None and self._explain and chosen.node.name in self._offered:
            offered = self._offered[chosen.node.name]
            other = None if self.scoring.drawn else next(fitting, None)
            runner_up = self._offered.get(other.node.name) if other is not None else None
            self.choices[pod.pod.key] = Choice(self.scoring, offered, runner_up)
        self._offered.clear()
        return chosen

    @property
    def _attached(self) -> Ranks:
        if self._ranks is None:
            raise ValueError("the policy is not attached to a site yet")
        return self._ranks


def _words(scoring: Scoring, scored: Scored) -> str:
    outcome = scored.outcome
    parts = []
    if scoring.measured:
        size = f"{abs(outcome.gain):.3f}"
        change = f"{'falls' if outcome.gain > 0 else 'grows'} by {size} devices" if float(size) else "stays the same"
        parts.append(f"fragmentation {change}")
    if scoring.name != "first-fit":
        parts.append(f"{outcome.cpu:.0%} of a greatest node's CPU and {outcome.devices:.0%} of its devices stay free")
        parts.append(f"score {scored.score:.3f}".rstrip("0").rstrip("."))
    return f"{scored.node} ({', '.join(parts)})" if parts else scored.node
