"""The core of the controller: events in, writes out, without IO and without a clock.

`handle` takes note of an event, `decide` returns what is to be written now. A unit of pods goes this way, and every
step follows from what the API server says, so that a new core goes on where an old one was killed:

1. its pods have our gate and no other, as many as it needs are there, and their claims exist;
2. it is planned, all of it or nothing, on a snapshot in which everything counts as taken that may be taken;
3. each claim gets the finalizer, if it lacks it, and then its devices with the pod in `reservedFor`, in one write;
4. once the watch shows all of that, the gates are opened, and each pod is tied to its node by the same patch.

A unit that was left half-way is planned as if it held nothing. What agrees with the new plan stays, what does not is
taken back first, and nothing is given before the watch shows it as given back. Once a pod may have been opened,
nothing of it is taken back, unless it cannot be bound (`rescue`, `moves`) or is gone (`tidying`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from fairlead.controller import patches
from fairlead.controller.carrying import next_steps
from fairlead.controller.events import (
    UNKNOWN_OUTCOME,
    Event,
    Gone,
    Kind,
    Listed,
    Refused,
    Seen,
    Write,
    Written,
)
from fairlead.controller.following import Following
from fairlead.controller.grouping import UnitError, finished
from fairlead.controller.marking import Marker
from fairlead.controller.moves import Mover, is_open
from fairlead.controller.placing import Placer
from fairlead.controller.readiness import Readiness
from fairlead.controller.rescue import Rescuer
from fairlead.controller.roster import Roster
from fairlead.controller.rounds import Answer, MakeRound
from fairlead.controller.store import Store
from fairlead.controller.stuck import PATIENCE as BIND_PATIENCE
from fairlead.controller.tally import Tally, kind_of, pending
from fairlead.controller.telling import SAY_AGAIN, tell, too_soon
from fairlead.controller.tidying import Tidier
from fairlead.controller.unit import Unit, UnitPlan, adopted, agrees, planned_from
from fairlead.placement import Cluster
from fairlead.resource import KubeObject, Node, Pod, PodGroup, ResourceClaim

SETTLE: Final = timedelta(milliseconds=5)
"""From our watch showing the writes to opening the gates: kube-scheduler has two informers, and one may be behind."""
PATIENCE: Final = timedelta(seconds=10)
"""How long pods and claims may take to come before we say that we wait for them."""
FIRST_DELAY: Final = timedelta(seconds=1)
LAST_DELAY: Final = timedelta(seconds=60)
_LOCKED_FIRST: Final = timedelta(milliseconds=50)
_LOCKED_LAST: Final = timedelta(seconds=5)
_REFUSALS: Final = 2
"""How many refusals by the API server are nothing that a pod has to be told: while it starts it refuses everybody."""
_LIGHT: Final = 8
"""Pods alone up to which a look at them is short: each takes 1 ms, and half a second where it is the first of its kind
in a large cluster and fits nowhere."""
_QUIET: Final = 8
"""Up to how many refusals by the lock, one after another, are nothing that a pod has to be told."""


class Core:
    """What is known of the cluster, and what is under way."""

    def __init__(self, make_round: MakeRound, bind_patience: timedelta = BIND_PATIENCE) -> None:
        """Starts with nothing.

        Args:
            make_round: makes a planner for a snapshot; it is made once, and follows what happens from then on.
            bind_patience: how long kube-scheduler may fail to bind a pod that was opened.
        """
        self._store = Store()
        self._roster = Roster(self._store.pod_group)
        self._following = Following(self._store, self._roster.units, make_round)
        self._readiness = Readiness(self._store, self._roster)
        self._placer = Placer(self._store, self._following, make_round, self._plans)
        self._mover = Mover(self._store, self._move)
        self._tidier = Tidier(self._store, self._roster, self._mover.uses)
        self._rescuer = Rescuer(self._store, self._roster, self._mover, bind_patience)
        self._marker = Marker(self._store)
        self._dirty: set[str] = set()
        self._waiting: set[str] = set()
        """Units that were planned and found no room."""
        self._more_room = False
        self._timers: dict[str, datetime] = {}
        self._retries: dict[tuple[str, str], datetime] = {}
        self._doubts: dict[tuple[str, str], int] = {}
        self.tally = Tally()

    @property
    def synced(self) -> bool:
        """Whether every kind was listed; nothing is decided before."""
        return self._store.synced

    @property
    def busy(self) -> bool:
        """Whether anything was begun that is not at its end."""
        return (
            self._store.writing
            or self._mover.active
            or any(unit.plan is not None for unit in self._roster.units.values())
        )

    @property
    def planners(self) -> int:
        """How many planners were made so far: each knows the whole cluster."""
        return self._following.made

    @property
    def wake(self) -> datetime | None:
        """When `decide` has something to do though no event came."""
        if self._mover.active:
            return min((*self._retries.values(), *([self._mover.wake] if self._mover.wake else [])), default=None)
        marking = self._marker.wake if self.synced else None
        wakes = (self._mover.wake, self._rescuer.wake, self._tidier.wake, marking)
        others = [at for at in wakes if at is not None]
        return min((*self._timers.values(), *self._retries.values(), *others), default=None)

    def light(self, now: datetime) -> bool:
        """Whether `decide` takes little time now: no group, no move, no first planner, and few pods.

        So little that nothing else has to go on meanwhile.
        """
        moving = [at for at in (self._mover.wake, self._rescuer.wake) if at is not None and at <= now]
        if not self._following.made or self._mover.active or moving:
            return False
        names = {*self._dirty, *(name for name, at in self._timers.items() if at <= now)}
        if self._more_room:
            names |= self._waiting
        units = [self._roster.units[name] for name in names if name in self._roster.units]
        return len(units) <= _LIGHT and not any(unit.group for unit in units)

    @property
    def pending(self) -> dict[str, tuple[int, int]]:
        """The units that have gated pods, and these pods, by reason (`tally.PENDING`)."""
        return pending(self._roster.units.values(), self._waiting)

    @property
    def devices(self) -> Cluster:
        """Nodes, devices and what is held, without pods."""
        store = self._store
        return Cluster(store.nodes, store.slices, store.classes, list(store.held_claims()), store.taint_rules)

    def units_of(self, write: Write) -> list[str]:
        """The names of the units that a write is about, for the log."""
        key = f"{write.namespace}/{write.body['involvedObject']['name']}" if write.purpose == "say" else write.key
        if write.kind == "ResourceClaim":
            return [unit.name for unit in self._roster.users_of(key)]
        unit = self._roster.unit_of(key)
        return [unit.name] if unit is not None else []

    def handle(self, event: Event, now: datetime) -> None:
        """Takes note of an event."""
        match event:
            case Listed(kind, objects, version):
                for before, after in self._store.replace(kind, objects, version):
                    self._changed(kind, before, after, now)
                self._more_room |= kind == "ResourceClaim"
            case Seen(kind, item):
                with self._noting_room(item.key):
                    self._changed(kind, *self._store.put(kind, item), now)
            case Gone(kind, item):
                with self._noting_room(item.key):
                    self._changed(kind, *self._store.drop(kind, item), now)
            case Written(Write("mark")) | Refused(Write("mark")):
                self._marker.answer(event, now)
            case Written(write, answer):
                self._doubts.pop((write.kind, write.key), None)
                if answer is None:
                    return
                with self._noting_room(write.key):
                    self._store.written(write, answer)
                for unit in self._concerned(write):
                    unit.failures = 0
            case Refused():
                self._refused(event, now)

    def decide(self, now: datetime) -> list[Write]:
        """What is to be written now; every write is to be answered by a `Written` or `Refused`."""
        writes: list[Write] = []
        if not self.synced:
            return writes
        self._repeat(now, writes)
        alone, moving = self._mover.step(now)
        writes += moving
        if alone:
            return writes
        writes += self._rescuer.step(now)
        writes += [self._store.begin(*step) for step in self._tidier.step(now)]
        due = {name for name, at in self._timers.items() if at <= now}
        for name in due:
            del self._timers[name]
        if self._more_room:
            self._dirty |= self._waiting
            self._more_room = False
        looked_at = [self._roster.units[name] for name in self._dirty | due if name in self._roster.units]
        self._dirty.clear()
        looked_at.sort(key=lambda unit: unit.order)
        unplanned = [unit for unit in looked_at if self._advance(unit, now, writes)]
        if unplanned:
            self._plan(unplanned, now, writes)
        return writes + self._marker.step(now)

    # What changed

    @contextmanager
    def _noting_room(self, claim: str) -> Iterator[None]:
        """Notes that there is more room where a claim holds no longer what it may have held."""
        before = self._store.held(claim)
        yield
        if before is not None and before.status.allocation is not None:
            after = self._store.held(claim)
            self._more_room |= after is None or not agrees(after.status.allocation, before.status.allocation)

    def _changed(self, kind: Kind, before: KubeObject | None, after: KubeObject | None, now: datetime) -> None:
        if before is after:
            return
        if isinstance(before or after, Pod):
            self._pod_changed(before, after)  # type: ignore[arg-type]
            self._rescuer.note(before, after, now)  # type: ignore[arg-type]
            self._mover.note((before or after).key, after)  # type: ignore[union-attr,arg-type]
            self._tidier.note_pod(before or after)  # type: ignore[arg-type]
            self._marker.note((before or after).key, after, now)  # type: ignore[union-attr,arg-type]
        elif isinstance(before or after, ResourceClaim):
            key = (before or after).key  # type: ignore[union-attr]
            self._tidier.note(key, after)  # type: ignore[arg-type]
            self._mover.note_claim(key, after)  # type: ignore[arg-type]
            self._dirty.update(unit.name for unit in self._roster.users_of(key))
        elif isinstance(before or after, PodGroup):
            group = (before or after).key  # type: ignore[union-attr]
            for pod in self._store.in_group(group):
                self._file(pod, pod)
        else:
            self._more_room |= _substance(before) != _substance(after)

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        if before is not None and is_open(before) and (after is None or finished(after)):
            self._tidier.left_by(before)
        if (
            before is not None
            and not finished(before)
            and (before.spec.node_name or patches.PLACED in before.metadata.annotations)
        ):
            self._more_room |= after is None or finished(after)
        if after is not None and after.spec.node_name and (before is None or not before.spec.node_name):
            # Somebody's affinity to this pod may be met now; what is full is no emptier.
            self._dirty.update(name for name in self._waiting if self._roster.units[name].wants_company)
        same = before is not None and after is not None and _same_but_for_version(before, after)
        self._file(before, after, quiet=same)

    def _file(self, before: Pod | None, after: Pod | None, quiet: bool = False) -> None:
        """Puts a pod into its unit. A quiet change is no reason to plan a unit again that waits."""
        changed, emptied = self._roster.file(before, after)
        for unit in emptied:
            self._waiting.discard(unit.name)
            self._timers.pop(unit.name, None)
            self._more_room |= unit.plan is not None
        self._dirty |= changed - self._waiting if quiet else changed

    def _refused(self, event: Refused, now: datetime) -> None:
        write, status = event.write, event.status
        if write.purpose == "evict":
            return  # it is made again, if it is still needed
        if write.purpose == "say":
            self._unsaid(event, now)
            return
        with self._noting_room(write.key):
            self._store.refused(write, status, now)
        self._tidier.refused(event, now)
        if status not in (404, 409, UNKNOWN_OUTCOME):
            self._mover.give_up(write.key, now)
        own = self._store.own(write.kind, write.key)
        if own is not None and own.state in ("unsure", "stale"):
            self._retries[write.kind, write.key] = now + self._pause(event)
        for unit in self._concerned(write):
            if status == UNKNOWN_OUTCOME:
                continue
            if unit.plan is not None and not (write.kind == "ResourceClaim" and write.key not in unit.plan.claims):
                self.tally.replans["conflict" if status in (404, 409) else "refused"] += 1
                unit.plan = None
                self._more_room = True
            if status not in (404, 409):
                unit.failures += 1
                locked = patches.LOCK in event.message
                unit.not_before = now + (_soon(unit.failures) if locked else _delay(unit.failures))
                unit.trouble = f"the API server refused to {_VERBS[write.purpose]} {write.key}: {event.message}"
                if unit.failures <= (_QUIET if locked else _REFUSALS):
                    unit.trouble = ""

    def _unsaid(self, event: Refused, now: datetime) -> None:
        """Says it again later, unless it was said before."""
        write = event.write
        unit = self._roster.unit_of(f"{write.namespace}/{write.body['involvedObject']['name']}")
        if event.status == 409 or unit is None:
            self._doubts.pop((write.kind, write.key), None)
            return
        again = now + self._pause(event)
        unit.told.discard(write.uid)
        unit.said_at = again - SAY_AGAIN  # by then the reason may be another one
        self._at(unit, again)

    def _pause(self, event: Refused) -> timedelta:
        """How long to wait before a write is made again: longer each time, and as long as the server asks."""
        key = event.write.kind, event.write.key
        doubts = self._doubts[key] = self._doubts.get(key, 0) + 1
        return max(_delay(doubts), timedelta(seconds=event.retry_after))

    def _concerned(self, write: Write) -> Iterator[Unit]:
        """The units that a write is about; they are looked at again."""
        if write.kind == "Pod":
            unit = self._roster.unit_of(write.key)
            units = [unit] if unit is not None else []
        else:
            units = self._roster.users_of(write.key)
        for unit in units:
            self._dirty.add(unit.name)
            yield unit

    # What to do

    def _repeat(self, now: datetime, writes: list[Write]) -> None:
        """Makes writes again of which nobody knows whether they were done: done twice they are refused.

        So are conflicts that the watch does not explain: whoever refused, a webhook or a server that was starting, may
        not do so again.
        """
        for (kind, key), at in list(self._retries.items()):
            if at <= now:
                del self._retries[kind, key]
                own = self._store.own(kind, key)
                if own is not None and own.state in ("unsure", "stale"):
                    writes.append(self._store.again(own))

    def _advance(self, unit: Unit, now: datetime, writes: list[Write]) -> bool:
        """Takes a unit one step on; returns whether it has to be planned first."""
        if unit.not_before is not None and now < unit.not_before:
            self._at(unit, unit.not_before)
            if unit.trouble:
                self._say(unit, "AllocationRefused", unit.trouble, now, writes)
            return False
        if unit.plan is not None and self._readiness.valid(unit, unit.plan):
            return not self._carry_out(unit, unit.plan, now, writes) and self._start(unit, now, writes)
        if unit.plan is not None:
            self.tally.replans["overtaken"] += 1
            unit.plan = None
            self._more_room = True
        return self._start(unit, now, writes)

    def _start(self, unit: Unit, now: datetime, writes: list[Write]) -> bool:
        """For a unit without a plan: returns whether it is ready to be planned."""
        gated = self._readiness.gated(unit)
        if not gated:
            self._waiting.discard(unit.name)
            return False
        try:
            pods = self._readiness.complete(unit, gated)
        except UnitError as error:
            self._waiting.discard(unit.name)
            self._release(unit, gated, writes)
            unit.blocked_since = unit.blocked_since or now
            if now < unit.blocked_since + PATIENCE:
                self._at(unit, unit.blocked_since + PATIENCE)
            else:
                self._say(unit, "WaitingForGroup" if unit.group else "WaitingForClaim", str(error), now, writes)
            return False
        unit.blocked_since = None
        claims = {used.claim.key: used.claim for pod in pods for used in pod.claims}
        if any(self._store.own("ResourceClaim", key) is not None for key in claims):
            return False  # it is looked at again when the watch shows them
        unit.candidates = self._rescuer.steer(pods, now)
        plan = adopted(pods, unit.group)
        if plan is not None and all(not node or self._store.node(node) for node in plan.nodes.values()):
            unit.plan = plan
            return not self._carry_out(unit, plan, now, writes)
        return True

    def _release(self, unit: Unit, gated: list[Pod], writes: list[Write]) -> None:
        """Takes back what a unit holds that cannot be placed."""
        for claim in self._readiness.releasable(unit, gated):
            if self._store.own("ResourceClaim", claim.key) is None:
                writes.append(self._store.begin(*patches.clear(claim)))

    def _carry_out(self, unit: Unit, plan: UnitPlan, now: datetime, writes: list[Write]) -> bool:
        """Writes what a plan says; False, and the plan is given up, where somebody else was there before."""
        gated = self._readiness.gated(unit)
        steps = next_steps(self._store, plan, {claim.key for claim in self._readiness.releasable(unit, gated)}, now)
        if steps is None:
            self.tally.replans["overtaken"] += 1
            unit.plan = None
            self._more_room = True
            return False
        if steps.writes or not steps.shown:
            plan.shown_at = None
            writes += [self._store.begin(*step) for step in steps.writes]
            return True
        if plan.shown_at is None:
            plan.shown_at = now
        if plan.claims and now < plan.shown_at + SETTLE:
            self._at(unit, plan.shown_at + SETTLE)
            return True
        for key, node in plan.nodes.items():
            writes.append(self._store.begin(*patches.open_gate(unit.pods[key], node, plan.holds.get(key) != "claim")))
        # From here on the pods say themselves where they go.
        unit.plan = None
        self._waiting.discard(unit.name)
        return True

    # Planning

    def _plan(self, units: list[Unit], now: datetime, writes: list[Write]) -> None:
        """Plans units in order: first those that hold something, which counts as free for them alone."""
        held = {unit.name: self._readiness.releasable(unit, [pod.pod for pod in unit.candidates]) for unit in units}
        units.sort(key=lambda unit: not held[unit.name])
        self._following.begin()
        for unit in units:
            released = {claim.key for claim in held[unit.name]}
            self._answered(unit, self._placer.place(unit, released, self._may_say(unit, now)), now, writes)
            self._following.settled(unit)

    def _answered(self, unit: Unit, answer: Answer, now: datetime, writes: list[Write]) -> None:
        self.tally.decisions[kind_of(unit), "placed" if answer.placements else "waiting"] += 1
        if answer.placements:
            unit.plan = planned_from(answer.placements, self._store.pod_group)
            self._waiting.discard(unit.name)
            if not self._carry_out(unit, unit.plan, now, writes):
                self._at(unit, now + FIRST_DELAY)
            return
        self._waiting.add(unit.name)
        self._release(unit, self._readiness.gated(unit), writes)
        avoided, until = self._rescuer.avoided(unit, now)
        if until is not None:
            self._at(unit, until)
        if answer.reason:
            reason = f"{answer.reason.rstrip('.')}. Besides, {avoided}" if avoided else answer.reason
            self._say(unit, "NoAllocation", reason, now, writes)
        elif unit.said_at is not None:
            self._at(unit, unit.said_at + SAY_AGAIN)

    def _move(self, pod: Pod, released: set[str], now: datetime) -> UnitPlan | str:
        return self._placer.move(pod, released, lambda planned: self._rescuer.steer([planned], now)[0])

    def _plans(self) -> list[UnitPlan]:
        return [unit.plan for unit in self._roster.units.values() if unit.plan is not None]

    def _may_say(self, unit: Unit, now: datetime) -> bool:
        """Whether a reason would be told: looking for one costs more than to find no place."""
        if unit.said_at is None or now >= unit.said_at + SAY_AGAIN:
            return True
        return any(pod.metadata.uid not in unit.told for pod in self._readiness.gated(unit))

    # Telling

    def _say(self, unit: Unit, reason: str, text: str, now: datetime, writes: list[Write]) -> None:
        """Tells the gated pods why they wait, each reason once, and new ones not too often, and has them show it."""
        if (later := too_soon(unit, text, now)) is not None:
            self._at(unit, later)
            return
        gated = self._readiness.gated(unit)
        writes += tell(unit, gated, reason, text, now)
        for pod in gated:
            self._marker.waits(pod, reason, text, now)

    def _at(self, unit: Unit, at: datetime) -> None:
        known = self._timers.get(unit.name)
        self._timers[unit.name] = at if known is None else min(known, at)


_VERBS: Final = {
    "finalizer": "protect claim",
    "allocate": "allocate claim",
    "clear": "release claim",
    "unpin": "unpin claim",
    "unprotect": "release claim",
    "open": "open the gate of pod",
}


def _same_but_for_version(one: Pod, other: Pod) -> bool:
    """Whether planning sees no difference: what a scheduler says of a pod that waits is none."""
    meta = replace(one.metadata, resource_version=other.metadata.resource_version, generation=other.metadata.generation)
    return replace(one, metadata=meta, status=replace(one.status, conditions=other.status.conditions)) == other


def _substance(item: KubeObject | None) -> object:
    """What planning sees of an object: not how often it was written, nor a node's heartbeat."""
    if item is None:
        return None
    if isinstance(item, Node):
        return item.metadata.labels, item.spec, item.status
    return getattr(item, "spec", None)


def _soon(failures: int) -> timedelta:
    """After a refusal by the lock: our watch shows in milliseconds who was faster, and another device will do."""
    return min(_LOCKED_FIRST * (1 << min(failures - 1, 10)), _LOCKED_LAST)


def _delay(failures: int) -> timedelta:
    return min(FIRST_DELAY * (1 << min(failures - 1, 10)), LAST_DELAY)
