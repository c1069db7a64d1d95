"""What finds a node for a pod without a look at all of them, and how it follows the state.

That is the finder, or the ranking of a policy where the policy brings one. Where slices cannot be understood there is
neither: a node is told so when it is looked at, and another attempt is made when slices or nodes have changed.
"""

from __future__ import annotations

from typing import Final

from fairlead.inventory import InventoryError
from fairlead.placement.finder import Finder
from fairlead.placement.policy import Ranking
from fairlead.placement.state import ClusterState

_MANY: Final = 32
"""New nodes up to which the finder takes them one by one."""


class Searchers:
    """The finder or the ranking for one state."""

    def __init__(self, state: ClusterState, ranking: Ranking | None) -> None:
        """Looks at every node once."""
        self._state = state
        self._given = ranking
        self.finder: Finder | None = None
        """Where no ranking is given, and the slices can be understood."""
        self.ranking: Ranking | None = None
        """The one that is given, where the slices can be understood."""
        self._laid_out = self._moved = self._renewals = self._reclassed = 0
        self._begin()

    def catch_up(self) -> None:
        """Takes note of what changed in the state."""
        state = self._state
        laid_out, moved = state.laid_out.since(self._laid_out), state.moved.since(self._moved)
        if self.finder is None and self.ranking is None:
            if (self._state.inventory.renewals, laid_out) != (self._renewals, []):
                self._begin()
            return
        anew = self._reclassed != state.reclassed or laid_out is None or (bool(laid_out) and self.finder is None)
        if anew or moved is None or (laid_out is not None and len(laid_out) > _MANY):
            self._begin()
            return
        self._laid_out, self._moved = state.laid_out.mark, state.moved.mark
        if self.ranking is not None:
            self.ranking = self._sound_ranking(self.ranking)
        elif self.finder is not None:
            self.finder = self._sound_finder(self.finder, laid_out or [], moved)

    def _sound_finder(self, finder: Finder, laid_out: list[str], moved: list[str]) -> Finder | None:
        try:
            for name in dict.fromkeys(laid_out):
                node = self._state.nodes.get(name)
                if node is None:
                    finder.remove(name)
                else:
                    finder.put(name, node.labels, node.declared)
            finder.reopen(moved)
            finder.catch_up()
        except InventoryError:
            self._renewals = self._state.inventory.renewals
            return None
        return finder

    def _sound_ranking(self, ranking: Ranking) -> Ranking | None:
        try:
            ranking.catch_up()
        except InventoryError:
            self._renewals = self._state.inventory.renewals
            return None
        return ranking

    def _begin(self) -> None:
        state = self._state
        self._laid_out, self._moved = state.laid_out.mark, state.moved.mark
        self._renewals = state.inventory.renewals
        self._reclassed = state.reclassed
        self.finder = self.ranking = None
        try:
            if self._given is not None:
                self._given.attach(state.site)
                self.ranking = self._given
            else:
                labels = {name: node.labels for name, node in state.nodes.items()}
                declared = {name: node.declared for name, node in state.nodes.items()}
                self.finder = Finder(state.inventory, state.allocator, labels, declared)
        except InventoryError:
            pass
