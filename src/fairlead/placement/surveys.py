"""What was found on every node for pods that fit nowhere, kept up to date node by node.

Pods for which nodes look alike, devices and everything else, share a survey. When such a pod is tried again, only the
nodes that changed since are looked at, so a pod that waits costs little however large the cluster is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

from fairlead.placement.attempts import Attempts
from fairlead.placement.policy import Candidate
from fairlead.placement.reader import Reader
from fairlead.placement.reasons import Finding, Obstacle, add_up
from fairlead.placement.state import ClusterState
from fairlead.placement.task import Task, Tasks

_KEPT: Final = 64
"""Surveys that are kept, those that were asked for last."""


class Survey:
    """What was found for one kind of pod."""

    __slots__ = ("_findings", "_obstacles", "_reader", "entries", "fruitless")

    def __init__(self, state: ClusterState) -> None:
        self.entries: dict[str, Candidate | Finding] = {}
        """By node, why it refuses the pod, or the pod there as a candidate."""
        self._findings: dict[str, tuple[Finding, ...]] = {}
        """By node, why the pod does not fit."""
        self._obstacles: tuple[Obstacle, ...] | None = None
        self._reader = Reader(state)
        self.fruitless: tuple[Candidate, ...] | None = None
        """All candidates, none of which fits, where nothing has changed since that was found; the same object then."""

    def catch_up(self) -> None:
        """Forgets what was found on the nodes that changed."""
        changed = self._reader.changed()
        if changed == []:
            return
        self._obstacles = self.fruitless = None
        if changed is None:
            self.entries.clear()
            self._findings.clear()
        for name in changed or ():
            self.entries.pop(name, None)
            self._findings.pop(name, None)

    def obstacles(self, task: Task, attempts: Attempts, order: Iterable[str]) -> tuple[Obstacle, ...]:
        """What is in the way on all nodes together, of which each was looked at.

        Args:
            task: the pod.
            attempts: tell why devices do not do.
            order: the nodes.
        """
        if self._obstacles is None:
            findings: dict[str, tuple[Finding, ...]] = {}
            for name in order:
                known = self._findings.get(name)
                if known is None:
                    known = self._findings[name] = _findings(task, attempts, self.entries.get(name))
                if known:
                    findings[name] = known
            self._obstacles = add_up(findings)
        return self._obstacles


class Surveys:
    """The surveys of one cluster."""

    def __init__(self, state: ClusterState, tasks: Tasks) -> None:
        self._state = state
        self._tasks = tasks
        self._kept: dict[Hashable, Survey] = {}

    def of(self, task: Task) -> Survey:
        """What is known for the pod, on the state as it is; a new survey where nothing is.

        Raises:
            PlacementRefusedError: the pod fits on no node.
        """
        key = self._key(task)
        survey = self._kept.get(key) if key is not None else None
        if survey is None:
            return Survey(self._state)
        survey.catch_up()
        return survey

    def keep(self, task: Task, survey: Survey) -> None:
        """Remembers the survey of a pod that fits nowhere, for which every node was looked at."""
        if survey.fruitless is None:
            entries = [survey.entries.get(name) for name in self._state.nodes]
            survey.fruitless = tuple([one for one in entries if isinstance(one, Candidate)])
        key = self._key(task)
        if key is not None:
            self._kept.pop(key, None)
            self._kept[key] = survey
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]

    def forget(self) -> None:
        """Forgets all surveys."""
        self._kept.clear()

    def _key(self, task: Task) -> Hashable:
        if task.condition is None or task.plugins or task.wishes.constraints or self._state.costs:
            return None
        return task.condition, tuple([self._tasks.wanted(claim).shape for claim in task.open])


def _findings(task: Task, attempts: Attempts, entry: Candidate | Finding | None) -> tuple[Finding, ...]:
    if entry is None:
        return ()
    if isinstance(entry, Finding):
        return (entry,)
    if entry.lack is not None:
        return (entry.lack,)
    return attempts.findings(task, entry) if not entry.fits else ()
