"""What nodes are to gangs, remembered until something on the node changes.

Gangs that ask every node for the same share what was found, so the next of them, or one that is tried again, costs a
look at the nodes that changed, and the search.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Final

from fairlead.placement.groups.offers import Look, Surveyor
from fairlead.placement.groups.roles import PodRole
from fairlead.placement.planner import Planner
from fairlead.placement.reader import Reader

_KEPT: Final = 16
"""Questions of which the answers are kept, those that were asked last."""


class _Noted:
    """The looks for one question, by node; None where it cannot hold a pod."""

    __slots__ = ("looks", "reader")

    def __init__(self, reader: Reader) -> None:
        self.looks: dict[str, Look | None] = {}
        self.reader = reader


class Looks:
    """The looks of one planner's gangs."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._kept: dict[Hashable, _Noted] = {}

    def kinds(
        self, surveyor: Surveyor, roles: Sequence[PodRole], among: Collection[str] | None
    ) -> dict[str, int | None]:
        """By node, the number of its kind; None where it can hold no pod of the gang.

        Args:
            surveyor: of the gang.
            roles: of the gang.
            among: the nodes to look at; all where none are named.

        Raises:
            PlacementRefusedError: a pod fits on no node.
        """
        planner = self._planner
        refusals = [planner.refusals(role.first) for role in roles]
        looks = self._of(surveyor, roles)
        kinds: dict[str, int | None] = {}
        for name, node in planner.site.nodes.items():
            if among is not None and name not in among:
                continue
            if name in looks:
                look = looks[name]
            else:
                allowed = [refuses(name) is None for refuses in refusals]
                view = planner.view(name) if any(allowed) else None
                look = looks[name] = surveyor.look(view, node, allowed) if view is not None else None
            kinds[name] = surveyor.kind(look) if look is not None else None
        return kinds

    def _of(self, surveyor: Surveyor, roles: Sequence[PodRole]) -> dict[str, Look | None]:
        """What is known for a gang that asks the same."""
        conditions = tuple([self._planner.condition(role.first) for role in roles])
        if surveyor.matches or None in conditions:
            return {}
        key = (conditions, surveyor.question)
        noted = self._kept.pop(key, None) or _Noted(Reader(self._planner.state))
        self._kept[key] = noted
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        changed = noted.reader.changed()
        if changed is None:
            noted.looks.clear()
        for name in changed or ():
            noted.looks.pop(name, None)
        return noted.looks
