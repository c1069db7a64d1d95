"""Who leads, decided by a Lease: the rules, without IO and without a clock.

Several of us run, one leads. The Lease names who does, and is renewed by it. The rules are those of client-go
(`tools/leaderelection`), made stricter where a write could outlive the lead:

* No two clocks are compared. A Lease has run out when *our* clock has advanced by its duration since *we* saw it
  change last; the times that stand in it are for people. Clocks may be wrong, and may differ in speed by some percent.
* A lead counts from the moment before the request was sent that won or renewed it, so it ends before anybody who saw
  the result can see it run out. client-go counts from later.
* No write may be begun after `renew` seconds of that, nor be on its way after `renew + write`. This is less than
  `lease`, so a write of an old leader has ended before there is a new one.
* An identity that lost the lead never leads again: its owner comes back under another name, which has to wait for the
  Lease like everybody.
* A Lease that was deleted counts as held until what was last seen of it has run out.

An identity asks in turns: `look`, then as long as something is to be done, `must_read` or `proposal`, and tells what
came of it. All times are seconds of one clock that never goes backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

MICRO_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How Kubernetes writes the times of a Lease."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the first three are client-go's defaults."""

    lease: int = 15
    """How long the others wait since they saw the Lease change last."""
    renew: float = 10.0
    """How long a lead lasts since it was won or renewed."""
    retry: float = 2.0
    """Between two turns."""
    write: float = 4.0
    """How long after the end of a lead a write of the leader may still be on its way."""

    def __post_init__(self) -> None:
        if not (0 < self.retry < self.renew and self.write > 0 and self.renew + self.write < self.lease):
            raise ValueError(f"a lead must end before its lease: {self}")


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says (`coordination.k8s.io/v1` LeaseSpec)."""

    holder: str
    """Empty: nobody."""
    lease_seconds: int
    acquired: str
    renewed: str
    transitions: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as the server has it."""

    record: Record
    uid: str
    version: str
    """Its resource version; the server refuses a change that was made for another."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A Lease that is to be written: created, or changed where it is as it was."""

    record: Record
    base: Lease | None
    """None: there is none, it is to be created."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The Lease as it was last seen, and since when it has said the same."""

    lease: Lease
    since: float
    exists: bool = True


class Election:
    """What one identity knows of the Lease, and whether it leads."""

    def __init__(self, identity: str, timing: Timing, seen: Sighting | None = None) -> None:
        """Starts without the lead.

        Args:
            identity: unlike that of anybody else, and of any before.
            timing: the same for everybody.
            seen: what is known already of the Lease.
        """
        self.identity = identity
        self.timing = timing
        self._seen = seen
        self._must_read = True
        self._until: float | None = None
        self._lost = False
        self.expired_holder = ""
        """From whom the lead was taken because its Lease ran out; empty where it was free."""

    @property
    def must_read(self) -> bool:
        """Whether the Lease has to be read before anything is proposed."""
        return self._must_read

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty for nobody."""
        return self._seen.lease.record.holder if self._seen is not None else ""

    @property
    def seen(self) -> Sighting | None:
        """What is known of the Lease, for the next identity."""
        return self._seen

    @property
    def until(self) -> float | None:
        """When the lead ends unless it is renewed; None without it."""
        return self._until

    def leads(self, now: float) -> bool:
        """Whether writes may be begun."""
        return self._until is not None and not self._lost and now < self._until

    def lost(self, now: float) -> bool:
        """Whether this identity had the lead and has it no longer; it never will again."""
        if self._until is not None and now >= self._until:
            self._lost = True
        return self._lost

    def write_limit(self, now: float) -> float:
        """How many seconds a write that is begun now may take; 0 where none may be begun."""
        if self._until is None or not self.leads(now):
            return 0.0
        return self._until + self.timing.write - now

    def look(self) -> None:
        """Begins a turn: who does not lead has to see how things are."""
        if self._until is None:
            self._must_read = True

    def read(self, lease: Lease | None, now: float) -> None:
        """Takes note of the Lease, or that there is none, as the server answered at `now`."""
        self._must_read = False
        if lease is None:
            if self._seen is not None:
                self._seen = replace(self._seen, exists=False)
            return
        if self._seen is None or self._seen.lease.record != lease.record:
            self._seen = Sighting(lease, now)
        else:
            self._seen = Sighting(lease, self._seen.since)
        if self._until is not None and lease.record.holder != self.identity:
            self._lost = True

    def proposal(self, now: float, wall: str) -> Proposal | None:
        """What to write to win or renew the lead; None where somebody else has it.

        Args:
            now: the clock.
            wall: the time of day, for people (`MICRO_TIME`).
        """
        if self._must_read or self.lost(now):
            return None
        record = Record(self.identity, self.timing.lease, wall, wall, 0)
        if self._seen is None:
            return Proposal(record, None)
        last = self._seen.lease.record
        if last.holder == self.identity:
            record = replace(last, lease_seconds=self.timing.lease, renewed=wall)
        elif last.holder and now < self._seen.since + last.lease_seconds:
            return None
        else:
            self.expired_holder = last.holder
            record = replace(record, transitions=last.transitions + 1)
        return Proposal(record, self._seen.lease if self._seen.exists else None)

    def written(self, lease: Lease, sent: float, now: float) -> None:
        """Takes note that the server wrote what was proposed and sent at `sent`, and answered at `now`."""
        self._seen = Sighting(lease, now)
        if not self.lost(now):
            until = sent + self.timing.renew
            # An answer that comes so late wins nothing; the next turn may.
            self._until = until if now < until else self._until

    def failed(self) -> None:
        """Takes note that nobody knows what became of a proposal, or that the Lease was not as it was."""
        self._must_read = True

    def release(self, wall: str) -> Proposal | None:
        """What to write to give the lead to whoever comes first; None where this identity does not hold it."""
        if self._seen is None or not self._seen.exists or self.holder != self.identity:
            return None
        record = replace(self._seen.lease.record, holder="", lease_seconds=1, acquired=wall, renewed=wall)
        return Proposal(record, self._seen.lease)


def from_object(item: dict[str, Any], timing: Timing) -> Lease:
    """A Lease from the API's JSON; a duration that is missing is taken to be ours."""
    meta, spec = item.get("metadata") or {}, item.get("spec") or {}
    record = Record(
        spec.get("holderIdentity") or "",
        spec.get("leaseDurationSeconds") or timing.lease,
        spec.get("acquireTime") or "",
        spec.get("renewTime") or "",
        spec.get("leaseTransitions") or 0,
    )
    return Lease(record, meta.get("uid", ""), meta.get("resourceVersion", ""))


def to_body(proposal: Proposal, namespace: str, name: str) -> dict[str, Any]:
    """The JSON of a proposal: an object to create, or a merge patch, which leaves alone what we do not know."""
    record = proposal.record
    spec = {
        "holderIdentity": record.holder or None,
        "leaseDurationSeconds": record.lease_seconds,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }
    if proposal.base is not None:
        base = proposal.base
        return {"metadata": {"uid": base.uid, "resourceVersion": base.version}, "spec": spec}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
