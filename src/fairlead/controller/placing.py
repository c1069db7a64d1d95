"""Finds places for units of pods, and for a pod that is to be moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from fairlead.controller.following import Following
from fairlead.controller.grouping import UnitError, claims_of, counts, owner_of, size_of
from fairlead.controller.members import ask_of_group, choices, regions, without_slices
from fairlead.controller.pins import home_of
from fairlead.controller.rounds import Answer, MakeRound
from fairlead.controller.snapshot import moved_from, snapshot, without
from fairlead.controller.steering import only_on, readable
from fairlead.controller.store import Store
from fairlead.controller.unit import Unit, UnitPlan, planned_from
from fairlead.resource import PlannedPod, Pod


class Placer:
    """Places the pods of units that wait; of a group, perhaps some of them, near those that have their place."""

    def __init__(
        self,
        store: Store,
        following: Following,
        make_round: MakeRound,
        plans: Callable[[], Iterable[UnitPlan]],
    ) -> None:
        """Places what is asked.

        Args:
            store: what is there.
            following: the planner that follows the cluster.
            make_round: makes a planner for a snapshot.
            plans: what is under way.
        """
        self._store = store
        self._following = following
        self._make_round = make_round
        self._plans = plans

    def place(self, unit: Unit, released: set[str], explained: bool) -> Answer:
        """Places the candidates of a unit.

        Args:
            unit: the unit; a round was begun.
            released: claims that it holds itself and that count as free for it.
            explained: whether to say why there is no place.
        """
        pods = [without(pod, released) for pod in unit.candidates]
        answer = Answer()
        if not unit.group:
            answer = self._following.place(unit, pods, released, explained)
            return dataclasses.replace(answer, reason=readable(answer.reason))
        waiting = {pod.pod.key for pod in pods}
        others = [pod for key, pod in unit.pods.items() if key not in waiting and counts(pod)]
        homes = [node for pod in others if (node := pod.spec.node_name or home_of(pod, self._store.claim))]
        nearness: list[frozenset[str] | None] = [None]
        if homes:
            ask = ask_of_group([*unit.pods.values()])
            nearness = list(regions(self._following.tree(ask.levels), ask, homes))
            pods = [without_slices(pod, ask) for pod in pods]
        size = size_of([*others, *(pod.pod for pod in pods)], self._store.pod_group)
        options = [(some, near) for some in choices(pods, size - len(others)) for near in nearness]
        for number, (some, near) in enumerate(options, start=1):
            steered = some if near is None else [only_on(pod, near) for pod in some]
            # What the other pods hold is not given back by a plan for these.
            free = released.intersection(used.claim.key for pod in some for used in pod.claims)
            answer = self._following.place(unit, steered, free, explained and number == len(options))
            if answer.placements:
                break
        return dataclasses.replace(answer, reason=readable(answer.reason))

    def move(self, pod: Pod, released: set[str], steer: Callable[[PlannedPod], PlannedPod]) -> UnitPlan | str:
        """Where a pod can go that was opened already, once it gives back some claims; a reason where nowhere."""
        try:
            planned = PlannedPod(pod, owner_of(pod), None, tuple(claims_of(pod, self._store.claim)))
        except UnitError as error:
            return str(error)
        cluster = moved_from(snapshot(self._store, self._plans(), released), pod, self._store.claims(released))
        answer = self._make_round(cluster).place([without(steer(planned), released)])
        if not answer.placements:
            return readable(answer.reason)
        return planned_from(answer.placements, self._store.pod_group)
