"""What is done for pods that were opened and cannot be bound.

A pod that its claims alone hold is moved, if there is a place for it (`moves`). Any other that a controller makes anew
is evicted (its claims go with it, or are released by Kubernetes' own controllers). Either way it is planned away from
the node for a while. Of a gang the members that cannot be bound are evicted, those that run stay. A pod that nobody
makes anew is told what is wrong and what can be done: its node cannot be taken from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from fairlead.controller import patches
from fairlead.controller.binding import failed
from fairlead.controller.events import Write
from fairlead.controller.members import ask_of_group
from fairlead.controller.moves import Mover
from fairlead.controller.pins import home_of
from fairlead.controller.roster import Roster, claim_keys
from fairlead.controller.steering import away_from
from fairlead.controller.store import Store
from fairlead.controller.stuck import Avoided, Stuck, cannot_bind, not_to_be_evicted
from fairlead.controller.unit import Unit
from fairlead.placement import GangAsk
from fairlead.resource import PlannedPod, Pod


class Rescuer:
    """Looks after the pods that cannot be bound."""

    def __init__(self, store: Store, roster: Roster, mover: Mover, patience: timedelta) -> None:
        """Knows of none.

        Args:
            store: what is there.
            roster: which pods belong together.
            mover: moves pods.
            patience: how long kube-scheduler may fail to bind a pod.
        """
        self._store = store
        self._roster = roster
        self._mover = mover
        self._stuck = Stuck(patience)

    @property
    def wake(self) -> datetime | None:
        """When a pod is due next."""
        return self._stuck.wake

    def note(self, before: Pod | None, after: Pod | None, now: datetime) -> None:
        """Takes note of how a pod was and is."""
        pod = after or before
        assert pod is not None
        self._stuck.note(pod.key, after, self._workload(pod), now)

    def step(self, now: datetime) -> list[Write]:
        """What is to be written now."""
        writes: list[Write] = []
        for workload, keys in self._stuck.due(now).items():
            found = [
                (pod, text, home_of(pod, self._store.claim))
                for pod in map(self._store.pod, keys)
                if pod is not None and (text := cannot_bind(pod)) is not None
            ]
            why = "".join(f"pod {pod.name} could not be bound there: {text}" for pod, text, _ in found[:1])
            # Where a device is to blame, another one of the same node will do.
            self._stuck.tried(workload, [node for pod, _, node in found if not self._has_failed(pod)], why, now)
            for pod, text, node in found:
                movable = self._mover.movable(pod) and not self._has_levels(pod)
                lack = self._mover.begin(pod, now) if movable else None
                if lack != "":
                    writes += _for(pod, node, text, lack, now)
        return writes

    def steer(self, pods: Sequence[PlannedPod], now: datetime) -> list[PlannedPod]:
        """The pods, kept away from the nodes where others of their workload could not be bound."""
        return [
            away_from(pod, avoided) if (avoided := self._stuck.avoided(self._workload(pod.pod), now)) else pod
            for pod in pods
        ]

    def avoided(self, unit: Unit, now: datetime) -> tuple[str, datetime | None]:
        """Which nodes a unit is kept away from and why, and when the first of them may be used again."""
        found: dict[str, Avoided] = {}
        for pod in unit.candidates:
            found |= self._stuck.avoided(self._workload(pod.pod), now)
        if not found:
            return "", None
        first = min(found, key=lambda node: found[node].until)
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        text = f"node {first}{others} is left alone for some minutes, since {found[first].why}"
        return text, found[first].until

    def _has_levels(self, pod: Pod) -> bool:
        """Whether a pod's group requires levels: kube-scheduler, which may be first with a move, knows of none."""
        unit = self._roster.unit_of(pod.key)
        ask = ask_of_group([*unit.pods.values()]) if unit is not None and unit.group else GangAsk()
        return bool(ask.required or ask.slices)

    def _has_failed(self, pod: Pod) -> bool:
        return any(failed(claim) is not None for claim in self._store.claims(claim_keys(pod)))

    def _workload(self, pod: Pod) -> str:
        """Whose pods share what was learned from one of them."""
        unit = self._roster.unit_of(pod.key)
        if unit is not None and unit.group:
            return unit.name
        owner = pod.metadata.controller
        return f"{owner.kind} {pod.namespace}/{owner.name}" if owner is not None else f"pod {pod.key}"


def _for(pod: Pod, node: str, text: str, lack: str | None, now: datetime) -> list[Write]:
    """What is written for one pod that cannot be bound, and could go elsewhere but for a lack."""
    place = f"on node {node}" if node else "with the devices of its claims"
    if cure := not_to_be_evicted(pod):
        cure = f"It has no other place: {lack}. {cure}" if lack else cure
        return [patches.say(pod, "CannotBind", f"cannot be bound {place}: {text} {cure}", now)]
    owner = pod.metadata.controller
    assert owner is not None
    message = f"evicted, so that {owner.kind} {owner.name} makes it anew: it cannot be bound {place}: {text}"
    return [patches.evict(pod), patches.say(pod, "Evicted", message, now)]
