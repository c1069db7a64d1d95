"""What pods show: the condition `fairlead.dev/Allocated`, False with the reason while they wait, True once opened.

Only pods that were told why they wait have it, so that one that never waits costs no write. What a pod shows is read
from the watch, which makes this survive a restart, and repairs what was lost: a pod that is opened and still shows
False is written again.

These writes are advisory. They are not the store's, so that no gate waits for one; of two to one pod the second is made
when the first was answered. They name no resource version, only the UID: a condition is merged by its type, and those
of kube-scheduler and the kubelet stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from fairlead.controller import patches
from fairlead.controller.events import Refused, Write, Written, version_of
from fairlead.controller.grouping import has_gate
from fairlead.controller.patches import CONDITION, PLACED
from fairlead.controller.pins import home_of
from fairlead.controller.store import Store
from fairlead.resource import Condition, Pod

_FIRST_DELAY: Final = timedelta(seconds=1)
_LAST_DELAY: Final = timedelta(minutes=10)
"""Where the right to write them is missing, thousands of pods may wait."""


@dataclass(slots=True)
class _Mark:
    """What one pod is to show."""

    uid: str
    status: Literal["True", "False"]
    reason: str
    message: str
    at: datetime
    """When it is to be written."""
    sent: bool = False
    """Whether a write is on its way, of this or of what was to be shown before."""
    answered: Pod | None = None
    """The pod as the server left it, until the watch shows that."""
    failures: int = 0


class Marker:
    """The pods whose condition is to be written, or was and is not seen yet."""

    def __init__(self, store: Store) -> None:
        """Knows of none."""
        self._store = store
        self._marks: dict[str, _Mark] = {}

    @property
    def wake(self) -> datetime | None:
        """When a write is due next."""
        return min((one.at for one in self._marks.values() if not one.sent and one.answered is None), default=None)

    def waits(self, pod: Pod, reason: str, text: str, now: datetime) -> None:
        """Has a gated pod show why it waits."""
        self._want(pod, "False", reason, patches.cut(text), now)

    def note(self, key: str, pod: Pod | None, now: datetime) -> None:
        """Takes note of how the watch shows a pod (`namespace/name`); None: it is gone."""
        known = self._marks.get(key)
        if known is not None and (pod is None or pod.metadata.uid != known.uid):
            del self._marks[key]
            known = None
        if pod is None:
            return
        if known is not None and known.answered is not None:
            if version_of(pod) < version_of(known.answered):
                return
            del self._marks[key]
        elif known is not None and not known.sent and _shows(pod, known):
            del self._marks[key]
        shown = _shown_by(pod)
        if shown is None or has_gate(pod) or pod.metadata.deletion_timestamp is not None:
            return
        node = pod.spec.node_name
        if not node and shown.status == "False" and PLACED in pod.metadata.annotations:
            # One that somebody else has opened has its devices when it is bound.
            node = home_of(pod, self._store.claim)
        # Where it was moved in between, the binding has the last word.
        if node:
            self._want(pod, "True", "Allocated", f"on node {node}", now)

    def step(self, now: datetime) -> list[Write]:
        """What is to be written now."""
        writes = []
        due = [
            (key, one) for key, one in self._marks.items() if not one.sent and one.answered is None and one.at <= now
        ]
        for key, mark in due:
            pod = self._store.opened_pod(key)
            overtaken = pod is None or (mark.status == "False" and not has_gate(pod))
            if pod is None or overtaken or _shows(pod, mark):
                del self._marks[key]
                continue
            mark.sent = True
            shown = _shown_by(pod)
            since = shown.last_transition_time if shown is not None and shown.status == mark.status else None
            condition = Condition(
                type=CONDITION,
                status=mark.status,
                reason=mark.reason,
                message=mark.message,
                last_transition_time=since or patches.timestamp(now),
            )
            writes.append(patches.set_condition(pod, condition))
        return writes

    def answer(self, event: Written | Refused, now: datetime) -> None:
        """Takes note of what became of a write."""
        mark = self._marks.get(event.write.key)
        if mark is None or mark.uid != event.write.uid:
            return
        mark.sent = False
        if isinstance(event, Written) and isinstance(event.object, Pod) and _shows(event.object, mark):
            mark.answered = event.object
            self.note(event.write.key, self._store.pod(event.write.key), now)
            return
        # Refused, lost, or what was to be shown before.
        after = timedelta(seconds=event.retry_after) if isinstance(event, Refused) else timedelta()
        mark.at = now + max(after, min(_FIRST_DELAY * (1 << min(mark.failures, 10)), _LAST_DELAY))
        mark.failures += 1

    def _want(self, pod: Pod, status: Literal["True", "False"], reason: str, message: str, now: datetime) -> None:
        known = self._marks.get(pod.key)
        mark = _Mark(pod.metadata.uid, status, reason, message, now)
        if known is not None and known.uid == mark.uid:
            if (known.status, known.reason, known.message) == (status, reason, message):
                return
            mark.sent, mark.failures = known.sent, known.failures
            mark.at = max(now, known.at) if known.failures else now
        elif _shows(pod, mark):
            return
        self._marks[pod.key] = mark


def _shown_by(pod: Pod) -> Condition | None:
    return next((one for one in pod.status.conditions if one.type == CONDITION), None)


def _shows(pod: Pod, mark: _Mark) -> bool:
    shown = _shown_by(pod)
    return shown is not None and (shown.status, shown.reason, shown.message) == (mark.status, mark.reason, mark.message)
