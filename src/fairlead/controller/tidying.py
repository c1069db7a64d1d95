"""Pins that have done their work are removed, and devices are taken back that nobody else would take back.

A pin stands as long as a pod that has to be bound or opened uses its claim. Afterwards it goes: if others are left in
`reservedFor`, alone, and Kubernetes' own controllers go on from there. If nobody is left, with the allocation, for
kube-controller-manager releases devices only with an entry that it removes itself; and then the finalizer goes, too,
unless another pod waits for the claim. The same holds for a claim from which kube-scheduler removed the last entry, as
it does where it gives up binding a pod, when that pod goes. All of it but that last case follows from what the API
server says, so a controller that dies in between leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from fairlead.controller import patches
from fairlead.controller.carrying import Step
from fairlead.controller.events import Refused
from fairlead.controller.grouping import finished
from fairlead.controller.pins import is_pin, pinned
from fairlead.controller.roster import Roster, claim_keys
from fairlead.controller.store import Store
from fairlead.resource import Pod, ResourceClaim

_AGAIN: Final = timedelta(seconds=30)
"""After a refusal."""


class Tidier:
    """Knows which claims have pins, and looks at those of which something has changed."""

    def __init__(self, store: Store, roster: Roster, opened: Callable[[str], bool]) -> None:
        """Knows of none.

        Args:
            store: what is there.
            roster: which claims the pods use that wait for us.
            opened: whether a pod that was opened and is not bound names a claim (`namespace/name`).
        """
        self._store = store
        self._roster = roster
        self._opened = opened
        self._pinned: set[str] = set()
        self._cleared: set[str] = set()
        """Claims that we released for good, and that still have the finalizer."""
        self._left: set[str] = set()
        """Claims of pods that were opened and went before they were bound."""
        self._dirty: set[str] = set()
        """Those of all these that have to be looked at."""
        self._not_before: dict[str, datetime] = {}

    @property
    def wake(self) -> datetime | None:
        """When a write is to be tried again."""
        return min(self._not_before.values(), default=None)

    def note(self, key: str, claim: ResourceClaim | None) -> None:
        """Takes note of how a claim is now; None: it is gone."""
        (self._pinned.add if claim is not None and pinned(claim) else self._pinned.discard)(key)
        if claim is None:
            self._left.discard(key)
        if claim is None or (claim.status.allocation is not None and not pinned(claim)):
            self._cleared.discard(key)
            self._not_before.pop(key, None)
        self._look_at(key)

    def note_pod(self, pod: Pod) -> None:
        """Takes note that something of a pod has changed."""
        if self._pinned or self._left:
            for key in claim_keys(pod):
                self._look_at(key)

    def left_by(self, pod: Pod) -> None:
        """Takes note that a pod went that was opened and not bound."""
        self._left.update(claim_keys(pod))
        self._dirty.update(claim_keys(pod))

    def refused(self, event: Refused, now: datetime) -> None:
        """Takes note that the server did not do a write, or may not have done it."""
        key = event.write.key
        if event.write.kind == "ResourceClaim" and key in self._pinned | self._cleared:
            self._dirty.add(key)
            if event.status not in (404, 409):
                self._not_before[key] = now + _AGAIN

    def step(self, now: datetime) -> list[Step]:
        """What is to be written now."""
        due = {key for key, at in self._not_before.items() if at <= now}
        for key in due:
            del self._not_before[key]
        steps: list[Step] = []
        for key in sorted(self._dirty | due):
            if key in self._not_before or self._store.own("ResourceClaim", key) is not None:
                continue  # it is looked at again later
            self._dirty.discard(key)
            claim = self._store.claim(key)
            if claim is not None and (step := self._step(claim)) is not None:
                steps.append(step)
        return steps

    def _look_at(self, key: str) -> None:
        if key in self._pinned or key in self._cleared or key in self._left:
            self._dirty.add(key)

    def _step(self, claim: ResourceClaim) -> Step | None:
        if not pinned(claim):
            return (self._release(claim) if claim.key in self._left else None) or self._unprotect(claim)
        if self._opened(claim.key):
            return None
        others = [one for one in claim.status.reserved_for if not is_pin(one)]
        for one in others:
            pod = self._store.pod(f"{claim.namespace}/{one.name}") if one.resource == "pods" else None
            if pod is None or pod.metadata.uid != one.uid or finished(pod):
                continue
            if not pod.spec.node_name and pod.metadata.deletion_timestamp is None:
                return None
        if others:
            return patches.reserve_for(claim, others)
        self._cleared.add(claim.key)
        return patches.clear(claim)

    def _release(self, claim: ResourceClaim) -> Step | None:
        """The step for a claim whose last pod went without being bound, where Kubernetes does not release it."""
        users = [self._store.pod(f"{claim.namespace}/{one.name}") for one in claim.status.reserved_for]
        waited_for = bool(self._roster.users_of(claim.key)) or self._opened(claim.key)
        if claim.status.allocation is None or any(users) or waited_for:
            self._left.discard(claim.key)
            return None
        if claim.status.reserved_for:
            return None  # kube-controller-manager removes the entry, and releases the devices with it
        self._left.discard(claim.key)
        self._cleared.add(claim.key)
        return patches.clear(claim)

    def _unprotect(self, claim: ResourceClaim) -> Step | None:
        """The last step for a claim that holds nothing; one that somebody waits for or deletes needs none."""
        if claim.status.allocation is not None or claim.key not in self._cleared:
            return None
        self._cleared.discard(claim.key)
        waited_for = self._roster.users_of(claim.key) or claim.metadata.deletion_timestamp is not None
        return None if waited_for or patches.FINALIZER not in claim.metadata.finalizers else patches.unprotect(claim)
