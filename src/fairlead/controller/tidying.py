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
    """Knows which claims have pins."""

    def __init__(self, store: Store, roster: Roster, claims_of_opened: Callable[[], set[str]]) -> None:
        """Knows of none.

        Args:
            store: what is there.
            roster: which claims the pods use that wait for us.
            claims_of_opened: the claims of pods that were opened and are not bound.
        """
        self._store = store
        self._roster = roster
        self._claims_of_opened = claims_of_opened
        self._pinned: set[str] = set()
        self._cleared: set[str] = set()
        """Claims that we released for good, and that still have the finalizer."""
        self._left: set[str] = set()
        """Claims of pods that were opened and went before they were bound."""
        self._not_before: dict[str, datetime] = {}

    @property
    def wake(self) -> datetime | None:
        """When a write is to be tried again."""
        return min(self._not_before.values(), default=None)

    def note(self, key: str, claim: ResourceClaim | None) -> None:
        """Takes note of how a claim is now; None: it is gone."""
        (self._pinned.add if claim is not None and pinned(claim) else self._pinned.discard)(key)
        if claim is None or (claim.status.allocation is not None and not pinned(claim)):
            self._cleared.discard(key)
            self._not_before.pop(key, None)

    def left_by(self, pod: Pod) -> None:
        """Takes note that a pod went that was opened and not bound."""
        self._left.update(claim_keys(pod))

    def refused(self, event: Refused, now: datetime) -> None:
        """Takes note that the server did not do a write."""
        if event.write.key in self._pinned | self._cleared and event.status not in (404, 409):
            self._not_before[event.write.key] = now + _AGAIN

    def step(self, now: datetime) -> list[Step]:
        """What is to be written now."""
        steps: list[Step] = []
        keys = self._pinned | self._cleared | self._left
        in_use = self._claims_of_opened() if keys else set()
        for key in sorted(keys):
            claim = self._store.claim(key)
            if claim is None:
                self._left.discard(key)
                continue
            if self._store.own("ResourceClaim", key) is not None:
                continue
            if (at := self._not_before.get(key)) is not None:
                if now < at:
                    continue
                del self._not_before[key]
            if (step := self._step(claim, key in in_use)) is not None:
                steps.append(step)
        return steps

    def _step(self, claim: ResourceClaim, opened: bool) -> Step | None:
        if not pinned(claim):
            return self._release(claim) if claim.key in self._left else self._unprotect(claim)
        if opened:
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
        if claim.status.allocation is None or any(users) or self._claim_in_use(claim.key):
            self._left.discard(claim.key)
            return None
        if claim.status.reserved_for:
            return None  # kube-controller-manager removes the entry, and releases the devices with it
        self._left.discard(claim.key)
        self._cleared.add(claim.key)
        return patches.clear(claim)

    def _claim_in_use(self, claim: str) -> bool:
        return bool(self._roster.users_of(claim)) or claim in self._claims_of_opened()

    def _unprotect(self, claim: ResourceClaim) -> Step | None:
        """The last step for a claim that holds nothing; one that somebody waits for or deletes needs none."""
        if claim.status.allocation is not None:
            return None
        self._cleared.discard(claim.key)
        waited_for = self._roster.users_of(claim.key) or claim.metadata.deletion_timestamp is not None
        return None if waited_for or patches.FINALIZER not in claim.metadata.finalizers else patches.unprotect(claim)
