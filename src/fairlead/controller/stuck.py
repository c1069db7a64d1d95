"""Pods that we opened and kube-scheduler cannot bind: who they are, when to act, and which nodes to leave alone after.

kube-scheduler knows what we do not: volumes, topology spread, extended resources, pods of others. It says so in the
pod's condition PodScheduled. A pod that stays so for `patience` needs a new place, and gets it by being made anew.

Nothing here loops: tries are counted by workload, and each waits twice as long as the one before, half an hour at
most. For twice that time the nodes of a try are left alone by the workload. A workload that had no try for three times
its last wait starts afresh. All of this is in memory: a controller that starts afresh waits for `patience` again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fairlead.controller.grouping import finished
from fairlead.controller.patches import PLACED
from fairlead.resource import Pod

PATIENCE: Final = timedelta(seconds=30)
"""How long kube-scheduler may fail to bind a pod before something is done."""
LONGEST: Final = timedelta(minutes=30)
EVICTION: Final = "fairlead.dev/eviction"
"""Annotation of a pod: with the value `never` it is only told; with `allowed` a Job's pod, too, is evicted."""
_KEPT_ON_THEIR_NODE: Final = ("DaemonSet", "Node")
"""Controllers that make a pod anew for the same node."""


@dataclass(frozen=True, slots=True)
class Avoided:
    """A node that a workload leaves alone."""

    until: datetime
    why: str


@dataclass(slots=True)
class _Workload:
    tries: int = 0
    not_before: datetime | None = None
    forgotten_at: datetime | None = None
    avoided: dict[str, Avoided] = field(default_factory=dict)


def cannot_bind(pod: Pod) -> str | None:
    """What kube-scheduler says of a pod that we opened and that it cannot bind; None for any other pod."""
    if PLACED not in pod.metadata.annotations or pod.spec.scheduling_gates or pod.spec.node_name or finished(pod):
        return None
    if pod.metadata.deletion_timestamp is not None or pod.status.nominated_node_name:
        return None
    for one in pod.status.conditions:
        if one.type == "PodScheduled" and one.status == "False" and one.reason in ("Unschedulable", "SchedulerError"):
            return one.message
    return None


def not_to_be_evicted(pod: Pod) -> str:
    """Why it does not help to evict the pod, and what does; empty where its controller makes it anew, free to go."""
    owner, said = pod.metadata.controller, pod.metadata.annotations.get(EVICTION)
    if owner is None:
        return "No controller makes it anew: make room there, or delete the pod and create it again"
    if owner.kind in _KEPT_ON_THEIR_NODE:
        return f"{owner.kind} {owner.name} would make it anew for the same node: make room there"
    if said == "never":
        return "It must not be evicted: make room there, or delete the pod"
    if owner.kind == "Job" and said != "allowed":
        return (
            f"Job {owner.name} may count an eviction as a failure, so it is not evicted without the annotation "
            f"{EVICTION}: allowed; make room there, or delete the pod"
        )
    return ""


class Stuck:
    """The pods that cannot be bound, and the tries of their workloads."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        """Knows of none."""
        self._patience = patience
        self._since: dict[str, datetime] = {}
        self._names: dict[str, str] = {}
        """The workload of each of these pods."""
        self._workloads: dict[str, _Workload] = {}

    @property
    def wake(self) -> datetime | None:
        """When a pod is due next."""
        return min((self._due_at(pod) for pod in self._since), default=None)

    def note(self, key: str, pod: Pod | None, workload: str, now: datetime) -> None:
        """Takes note of how a pod is now; None: it is gone."""
        if pod is None or cannot_bind(pod) is None:
            self._since.pop(key, None)
            self._names.pop(key, None)
        else:
            self._since.setdefault(key, now)
            self._names[key] = workload

    def due(self, now: datetime) -> dict[str, list[str]]:
        """By workload, its pods that cannot be bound, once one of them is due: what is done is done for all."""
        ready = {self._names[pod] for pod in self._since if self._due_at(pod) <= now}
        found: dict[str, list[str]] = {}
        for pod, workload in sorted(self._names.items()):
            if workload in ready:
                found.setdefault(workload, []).append(pod)
        return found

    def tried(self, workload: str, nodes: Iterable[str], why: str, now: datetime) -> None:
        """Takes note of a try, after which the workload leaves some nodes alone."""
        known = self._workloads.setdefault(workload, _Workload())
        if known.forgotten_at is not None and known.forgotten_at <= now:
            known.tries = 0
        known.tries += 1
        delay = min(self._patience * (1 << min(known.tries, 16)), max(LONGEST, self._patience))
        known.not_before = now + delay
        known.forgotten_at = now + delay * 3
        known.avoided |= {node: Avoided(now + delay * 2, why) for node in nodes if node}

    def avoided(self, workload: str, now: datetime) -> dict[str, Avoided]:
        """The nodes that a workload leaves alone."""
        known = self._workloads.get(workload)
        if known is None:
            return {}
        known.avoided = {node: one for node, one in known.avoided.items() if one.until > now}
        if known.forgotten_at is not None and known.forgotten_at <= now:
            del self._workloads[workload]
        return dict(known.avoided)

    def _due_at(self, pod: str) -> datetime:
        workload = self._workloads.get(self._names[pod])
        at = self._since[pod] + self._patience
        return at if workload is None or workload.not_before is None else max(at, workload.not_before)
