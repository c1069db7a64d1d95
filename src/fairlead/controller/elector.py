"""Takes part in an election over an API server: reads and writes the Lease in turns, and says when the lead changes.

The rules are in `election`. Needs the rights get, create and patch on the Lease; nothing of it that we do not know is
changed. One turn every two seconds, sooner for those who wait, so that a Lease that is released is taken at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec

from fairlead.controller.client import Client
from fairlead.controller.election import MICRO_TIME, Election, Lease, Proposal, Timing, from_object, to_body
from fairlead.kubernetes import AccessError, ServerError

_GROUP: Final = "/apis/coordination.k8s.io/v1"
_REQUEST: Final = 5.0
"""Seconds for a request: half of what a lead lasts, so that there is time for a second one."""
_NO_ANSWER: Final = (aiohttp.ClientError, TimeoutError, OSError, AccessError, msgspec.DecodeError)


def clock() -> float:
    """Seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def new_identity() -> str:
    """`HOST_PID_RANDOM`: readable, and never used before."""
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


class Elector:
    """One candidate. `run` it as a task; end with `release` after the last write was answered."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        log: Callable[..., None],
        on_lead: Callable[[bool], None],
        on_loss: Callable[[], None],
        timing: Timing | None = None,
    ) -> None:
        """Does nothing yet.

        Args:
            client: asks the API server; open while this runs.
            namespace: of the Lease.
            name: of the Lease.
            log: takes an event's name and fields.
            on_lead: called when the lead was won; with True where the one before did not give it back, so that
                a write of it may have been done shortly before.
            on_loss: called when the lead was lost. No write may be begun any more (`write_limit` is 0), and those on
                their way have to be cut off.
            timing: the same for all candidates; client-go's defaults where absent.
        """
        self._client = client
        self._namespace = namespace
        self._name = name
        self._log = log
        self._on_lead = on_lead
        self._on_loss = on_loss
        self._timing = timing or Timing()
        self._election = Election(new_identity(), self._timing)
        self._random = random.Random()
        self._leading = False
        self._waits_for = ""
        self._problem = ""
        self._reached = float("-inf")
        self.tried = asyncio.Event()
        """Set when the first turn is over."""

    @property
    def identity(self) -> str:
        """What stands in the Lease when we lead."""
        return self._election.identity

    @property
    def leads(self) -> bool:
        """Whether writes may be begun now."""
        return self._election.leads(clock())

    @property
    def reachable(self) -> bool:
        """Whether the Lease could be read or written lately."""
        return clock() < self._reached + self._timing.lease

    def write_limit(self) -> float:
        """How many seconds a write that is begun now may take; 0 where none may be begun."""
        return self._election.write_limit(clock())

    async def run(self) -> None:
        """Takes part until it is cancelled."""
        while True:
            await self._turn()
            self._notice()
            self.tried.set()
            await asyncio.sleep(self._pause())

    async def release(self) -> None:
        """Gives the lead back, if we have it. Call it when `run` has ended and all writes are answered."""
        if self._leading and (not self._election.must_read or await self._read()):
            proposal = self._election.release(_wall())
            if proposal is not None and await self._write(proposal) is not None:
                self._log("released", lease=self._lease, identity=self.identity)
        self._leading = False

    @property
    def _lease(self) -> str:
        return f"{self._namespace}/{self._name}"

    @property
    def _path(self) -> str:
        return f"{_GROUP}/namespaces/{self._namespace}/leases"

    async def _turn(self) -> None:
        election = self._election
        election.look()
        if election.must_read and not await self._read():
            return
        proposal = election.proposal(clock(), _wall())
        if proposal is not None:
            sent = clock()
            lease = await self._write(proposal)
            if lease is not None:
                election.written(lease, sent, clock())

    def _notice(self) -> None:
        """Says what has changed."""
        election, now = self._election, clock()
        if election.lost(now):
            # Back under another name, which has to wait until the Lease of the old one has run out.
            self._election = Election(new_identity(), self._timing, election.seen)
            if self._leading:
                self._leading = False
                self._log("lead lost", lease=self._lease, identity=election.identity, holder=election.holder)
                self._on_loss()
        elif election.leads(now) and not self._leading:
            self._leading, self._waits_for = True, ""
            overtook = election.expired_holder
            self._log("leading", lease=self._lease, identity=election.identity, after=overtook)
            self._on_lead(bool(overtook))
        elif not self._leading and election.holder not in ("", election.identity, self._waits_for):
            self._waits_for = election.holder
            self._log("standing by", lease=self._lease, identity=election.identity, holder=election.holder)

    def _pause(self) -> float:
        """Seconds until the next turn."""
        retry = self._timing.retry
        until = self._election.until
        if until is None:
            return retry * self._random.uniform(0.5, 1.0)
        return max(0.0, min(retry * self._random.uniform(0.9, 1.1), until - clock()))

    def _limit(self) -> float:
        """Seconds for a request: no longer than the lead, whose end has to be noticed."""
        until = self._election.until
        return _REQUEST if until is None else max(0.1, min(_REQUEST, until - clock()))

    async def _read(self) -> bool:
        """Reads the Lease; returns whether the server told."""
        try:
            answer = await self._client.request("GET", f"{self._path}/{self._name}", seconds=self._limit())
            lease: Lease | None = self._decoded(answer)
        except ServerError as error:
            if error.status != 404:
                self._failed(f"{error.status} {error}")
                return False
            lease = None
        except _NO_ANSWER as error:
            self._failed(f"{type(error).__name__} {error}".strip())
            return False
        self._answered()
        self._election.read(lease, clock())
        return True

    async def _write(self, proposal: Proposal) -> Lease | None:
        """Writes the Lease; returns it as it is now, or None where that did not work or nobody knows."""
        body = to_body(proposal, self._namespace, self._name)
        try:
            if proposal.base is None:
                answer = await self._client.request("POST", self._path, body, "application/json", self._limit())
            else:
                path = f"{self._path}/{self._name}"
                answer = await self._client.request("PATCH", path, body, "application/merge-patch+json", self._limit())
            lease = self._decoded(answer)
        except ServerError as error:
            self._election.failed()
            if error.status == 409:
                self._answered()  # somebody was faster
            else:
                self._failed(f"{error.status} {error}")
            return None
        except _NO_ANSWER as error:
            self._election.failed()
            self._failed(f"{type(error).__name__} {error}".strip())
            return None
        except asyncio.CancelledError:
            self._election.failed()
            raise
        self._answered()
        return lease

    def _decoded(self, answer: bytes) -> Lease:
        item: dict[str, Any] = msgspec.json.decode(answer, type=dict)
        return from_object(item, self._timing)

    def _answered(self) -> None:
        self._reached = clock()
        self._problem = ""

    def _failed(self, problem: str) -> None:
        """Tells of a problem once, not every two seconds."""
        if problem != self._problem:
            self._problem = problem
            self._log("lease not reached", lease=self._lease, problem=problem)


def _wall() -> str:
    return datetime.now(UTC).strftime(MICRO_TIME)
