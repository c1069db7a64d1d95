"""Other devices for a pod that was opened and cannot be bound, where its claims alone hold it.

An allocation has to be taken back before another can be given, and in between kube-scheduler may allocate for the pod
itself, with what it knows: a second writer for a moment. So a move is made alone: everything else waits until our own
writes were seen and `QUIET` has passed, so that kube-scheduler knows what is taken, and nothing is given to anybody
until the pod's claims have devices again, from us or from kube-scheduler. One pod is moved at a time, and only where
there is a place for it; what takes longer than `DEADLINE` is given up.

A pod whose claims have lost their devices (the controller died in the middle of a move, or somebody cleared them) is
served in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fairlead.controller import patches
from fairlead.controller.carrying import next_steps
from fairlead.controller.events import Write
from fairlead.controller.grouping import finished
from fairlead.controller.pins import is_pin
from fairlead.controller.roster import claim_keys
from fairlead.controller.store import Store
from fairlead.controller.unit import UnitPlan, agrees
from fairlead.resource import AllocationResult, Pod, ResourceClaim

QUIET: Final = timedelta(seconds=1)
"""From our last write to a move."""
DEADLINE: Final = timedelta(seconds=10)
AGAIN: Final = timedelta(seconds=30)
"""From a move that was given up to the next for the same pod."""

PlanMove = Callable[[Pod, set[str], datetime], UnitPlan | str]
"""Where a pod can go once it gives back some claims; a reason where it can go nowhere."""


@dataclass(slots=True)
class _Move:
    pod: Pod
    deadline: datetime
    quiet_since: datetime | None = None
    plan: UnitPlan | None = None
    before: dict[str, AllocationResult | None] = field(default_factory=dict)
    """What the claims had when it was planned."""


class Mover:
    """Moves one pod at a time."""

    def __init__(self, store: Store, plan: PlanMove) -> None:
        """Nothing is to be moved.

        Args:
            store: what is there.
            plan: finds a place.
        """
        self._store = store
        self._plan = plan
        self._open: dict[str, list[str]] = {}
        """By pod that was opened and is not bound, its claims."""
        self._users: dict[str, set[str]] = {}
        """By claim, these pods."""
        self._suspects: set[str] = set()
        """Those of them of which a claim may lack its devices."""
        self._not_before: dict[str, datetime] = {}
        self._move: _Move | None = None
        self._queue: list[Pod] = []
        self.wake: datetime | None = None
        """When there is something to do though no event came."""

    @property
    def active(self) -> bool:
        """Whether a pod is being moved."""
        return self._move is not None

    def note(self, key: str, pod: Pod | None) -> None:
        """Takes note of how a pod is now; None: it is gone."""
        claims = claim_keys(pod) if pod is not None and is_open(pod) else []
        for claim in self._open.pop(key, ()):
            self._users[claim].discard(key)
            if not self._users[claim]:
                del self._users[claim]
        if claims:
            self._open[key] = claims
            for claim in claims:
                self._users.setdefault(claim, set()).add(key)
            self._suspects.add(key)
        else:
            self._suspects.discard(key)
            self._not_before.pop(key, None)

    def note_claim(self, key: str, claim: ResourceClaim | None) -> None:
        """Takes note of how a claim is now; None: it is gone."""
        if claim is not None and _lacks(claim):
            self._suspects |= self._users.get(key, set())

    def uses(self, claim: str) -> bool:
        """Whether a pod that was opened and is not bound names a claim (`namespace/name`)."""
        return claim in self._users

    def movable(self, pod: Pod) -> bool:
        """Whether the pod is held by its claims, and nobody else uses these."""
        if pod.metadata.annotations.get(patches.PLACED) != "claim":
            return False
        claims = [self._store.claim(key) for key in claim_keys(pod)]
        return bool(claims) and all(claim is not None and _only_for(claim, pod) for claim in claims)

    def begin(self, pod: Pod, now: datetime) -> str:
        """Moves a pod that is movable when its turn comes; where it can go nowhere, the reason is returned."""
        found = self._plan(pod, self._held(pod), now)
        if isinstance(found, str):
            return found
        self._queue.append(pod)
        self.wake = now
        return ""

    def step(self, now: datetime) -> tuple[bool, list[Write]]:
        """Whether everything else has to wait, and what is to be written now."""
        self.wake = None
        move = self._move = self._move or self._next(now)
        if move is None:
            return False, []
        pod = self._store.pod(move.pod.key)
        if pod is None or pod.metadata.uid != move.pod.metadata.uid or not is_open(pod):
            return self._end()
        if now >= move.deadline:
            self._not_before[pod.key] = now + AGAIN
            return self._end()
        self.wake = move.deadline
        if move.plan is None and not self._prepare(move, pod, now):
            return self._move is not None, []
        assert move.plan is not None
        unchanged = {
            claim.key
            for claim in self._store.claims(move.before)
            if agrees(claim.status.allocation, move.before[claim.key])
        }
        steps = next_steps(self._store, move.plan, unchanged, now)
        if steps is None or (steps.shown and not steps.writes):
            return self._end()  # kube-scheduler may have been first
        return True, [self._store.begin(*step) for step in steps.writes]

    def give_up(self, claim: str, now: datetime) -> None:
        """The server refused a write to a claim."""
        move = self._move
        if move is not None and move.plan is not None and claim in move.plan.claims:
            self._not_before[move.pod.key] = now + AGAIN
            self._end()

    def _prepare(self, move: _Move, pod: Pod, now: datetime) -> bool:
        """Waits until nothing of ours is on its way, then plans; returns whether there is a plan."""
        if self._store.writing:
            move.quiet_since = None
            return False
        move.quiet_since = move.quiet_since or now
        if now < move.quiet_since + QUIET:
            self.wake = min(move.deadline, move.quiet_since + QUIET)
            return False
        found = self._plan(pod, self._held(pod), now)
        if isinstance(found, str):
            self._not_before[pod.key] = now + AGAIN
            self._end()
            return False
        move.plan = found
        move.before = {claim.key: claim.status.allocation for claim in self._store.claims(found.claims)}
        return True

    def _end(self) -> tuple[bool, list[Write]]:
        self._move = None
        self.wake = None
        return False, []

    def _held(self, pod: Pod) -> set[str]:
        """The claims of a pod that have devices which nobody else uses."""
        claims = self._store.claims(claim_keys(pod))
        return {claim.key for claim in claims if claim.status.allocation is not None and _only_for(claim, pod)}

    def _next(self, now: datetime) -> _Move | None:
        """The next move: pods that have lost their devices go first."""
        pod = self._loose(now)
        if pod is None and self._queue:
            pod = self._queue.pop(0)
        return _Move(pod, now + DEADLINE) if pod is not None else None

    def _loose(self, now: datetime) -> Pod | None:
        """A pod that was opened and has a claim without devices."""
        waits = []
        for key in sorted(self._suspects):
            if (at := self._not_before.get(key)) is not None and now < at:
                waits.append(at)
                continue
            pod = self._store.pod(key)
            if pod is not None and any(_lacks(claim) for claim in self._store.claims(self._open[key])):
                return pod
            self._suspects.discard(key)
        self.wake = min(waits, default=None)
        return None


def is_open(pod: Pod) -> bool:
    return (
        patches.PLACED in pod.metadata.annotations
        and not pod.spec.scheduling_gates
        and not pod.spec.node_name
        and not finished(pod)
        and pod.metadata.deletion_timestamp is None
    )


def _lacks(claim: ResourceClaim) -> bool:
    return claim.status.allocation is None and claim.metadata.deletion_timestamp is None


def _only_for(claim: ResourceClaim, pod: Pod) -> bool:
    return all(one.uid == pod.metadata.uid or is_pin(one) for one in claim.status.reserved_for)
