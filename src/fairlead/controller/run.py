"""Joins the core to an API server: events from the watches in, writes out, one line of JSON for each that matters.

One coroutine alone touches the core. It takes all events that have come, lets the core decide (in a thread where that
may take long, so that the watches are read meanwhile), and starts the writes; their answers come back as events.
SIGTERM and SIGINT end it: nothing new is begun, and what is on its way gets a few seconds to be answered.

With an election nothing is decided and nothing written without the lead. Whoever waits keeps its watches in step. The
lead begins with a new list of pods and claims, since a watch may be behind what the leader before has written. When it
is lost, writes on their way are cut off, and everything that was known is forgotten, plans and doubts with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TextIO

import fairlead
from fairlead.allocator.result import random_share_id
from fairlead.controller import memory
from fairlead.controller.client import Client
from fairlead.controller.elector import Elector
from fairlead.controller.events import KINDS, UNKNOWN_OUTCOME, Event, Kind, Listed, Purpose, Refused, Write, Written
from fairlead.controller.levels import LEVELS
from fairlead.controller.policies import Placing
from fairlead.controller.service import Service
from fairlead.controller.state import Core
from fairlead.controller.stuck import PATIENCE
from fairlead.kubernetes import Access, ServerError
from fairlead.telemetry import Format, Journal

_WRITES: Final = 16
"""Writes on their way at one time. Each has a connection, and to make one costs about as much as a write."""
_GATHER: Final = 0.005
"""Seconds in which more events may come before something is decided: a round costs little more for many pods."""
_GATHER_BUSY: Final = 0.02
"""The same while so many writes are on their way that others would only wait for them."""
_GRACE: Final = 5.0
"""Seconds that writes get at the end."""
_WRITE: Final = 15.0
"""Seconds for a write where there is no election."""
_SETTLE: Final = 1.0
"""Seconds between taking the lead from somebody who did not give it back and looking at what it has written: what
reached the server before, but was not carried out because the server stood still, is carried out in between."""
_WRITTEN_KINDS: Final[tuple[Kind, ...]] = ("Pod", "ResourceClaim")
"""What a leader writes."""
_DONE: Final[dict[Purpose, str]] = {
    "finalizer": "protected",
    "allocate": "allocated",
    "clear": "released",
    "unpin": "unpinned",
    "unprotect": "unprotected",
    "open": "opened",
    "evict": "evicted",
    "say": "told",
    "mark": "marked",
    "touch": "touched",
}


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Where those who may lead meet."""

    namespace: str
    name: str


def run(
    access: Access,
    log_to: TextIO,
    once: bool = False,
    lease: LeaseName | None = None,
    listen: str = "",
    log_format: Format = "json",
    bind_patience: timedelta = PATIENCE,
    placing: Placing = Placing(),  # noqa: B008 - an immutable value
) -> int:
    """Runs until it is told to stop.

    Args:
        access: the API server.
        log_to: takes the log.
        once: whether to stop as soon as nothing is under way.
        lease: decides who of several writes; absent, we do.
        listen: `HOST:PORT` to serve metrics and probes on; nowhere where it is empty.
        log_format: how the log is written.
        bind_patience: how long kube-scheduler may fail to bind a pod before something is done.
        placing: which policies pods are placed by.

    Returns:
        The exit status: 0, or 1 when the server does not let us read what we need.

    Raises:
        ListenError: `listen` cannot be used.
    """
    memory.prepare()
    core = partial(Core, placing.rounds(random_share_id), bind_patience)
    return asyncio.run(_Loop(access, Journal(log_to, LEVELS, log_format), once, lease, core).run(listen))


class _Loop:
    def __init__(
        self, access: Access, journal: Journal, once: bool, lease: LeaseName | None, new_core: Callable[[], Core]
    ) -> None:
        self._access = access
        self._journal = journal
        self._once = once
        self._lease = lease
        self._new_core = new_core
        self._core = new_core()
        self._planners: tuple[Core, int] | None = None
        """The core, and how many planners it had made, when memory was last settled."""
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._watches: dict[Kind, asyncio.Task[None]] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._cuts: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_WRITES)
        self._elector: Elector | None = None
        self._unlisted: set[Kind] = set()
        """Kinds of which a list has to come before anything may be decided."""
        self._readable: set[Kind] = set()
        """Kinds that were listed at least once."""
        self._in_step = False
        self._stop = False
        self._failed = False
        self._in_doubt = False
        """Whether nobody knows what became of a write that was answered, or not, since we were told to stop."""

        self._service = Service(lambda: self._core, self._leads, self._unready, self._log)
        self._decisions = 0

    async def run(self, listen: str) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._end, name.name)
        self._log("start", server=self._access.server, version=fairlead.__version__)
        if listen:
            await self._service.start(listen)
        async with Client(self._access, self._log) as client:
            self._client = client
            electing = await self._begin_election()
            try:
                if not self._watches:
                    self._watch(KINDS)
                while not self._stop:
                    await self._turn()
            finally:
                await self._finish(electing)
                await self._service.stop()
        return 1 if self._failed else 0

    async def _begin_election(self) -> asyncio.Task[None] | None:
        """Takes part in the election; returns when we know whether we lead, or cannot know yet."""
        if self._lease is None:
            return None
        self._elector = Elector(
            self._client, self._lease.namespace, self._lease.name, self._log, self._took_over, self._lost
        )
        task = asyncio.create_task(self._take_part(self._elector))
        await self._elector.tried.wait()
        return task

    async def _take_part(self, elector: Elector) -> None:
        try:
            await elector.run()
        except Exception as error:
            self._log("election failed", problem=f"{type(error).__name__} {error}")
            self._failed = True
            self._end("there is no election any more")
            elector.tried.set()

    async def _finish(self, electing: asyncio.Task[None] | None) -> None:
        """Ends everything; the lead is given back if no write can be on its way any more."""
        for watch in self._watches.values():
            watch.cancel()
        if self._writes:
            await asyncio.wait(self._writes, timeout=_GRACE)
        unanswered = len(self._writes)
        ending = [*self._watches.values(), *self._writes, *([electing] if electing is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, *self._cuts, return_exceptions=True)
        if self._elector is not None and not unanswered and not self._in_doubt:
            await self._elector.release()
        self._log("stop", unanswered=unanswered)

    def _end(self, why: str) -> None:
        if not self._stop:
            self._log("stopping", why=why)
        self._stop = True
        self._events.put_nowait(None)

    def _watch(self, kinds: Iterable[Kind], after: float = 0.0) -> None:
        """Lists kinds and follows them from there, in place of what was followed before.

        Args:
            kinds: which.
            after: seconds to wait before.
        """
        for kind in kinds:
            if kind in self._watches:
                self._watches[kind].cancel()
            self._watches[kind] = asyncio.create_task(self._follow(kind, after))

    async def _follow(self, kind: Kind, after: float) -> None:
        def emit(event: Event) -> None:
            self._events.put_nowait(event)
            if isinstance(event, Listed):
                self._unlisted.discard(kind)
                self._readable.add(kind)

        await asyncio.sleep(after)
        try:
            await self._client.follow(kind, emit, known=kind in self._readable)
        except ServerError as error:
            self._log("refused", kind=kind, status=error.status, problem=str(error))
            self._failed = True
            self._end(f"may not read {kind}")

    # The lead

    def _took_over(self, overtaken: bool) -> None:
        """Goes on where another has stopped, as soon as all that it has written is known."""
        if self._stop:
            return
        self._unlisted = set(_WRITTEN_KINDS)
        self._watch(_WRITTEN_KINDS if self._watches else KINDS, after=_SETTLE if overtaken else 0.0)

    def _lost(self) -> None:
        """Leaves everything to others at once."""
        for task in self._writes:
            task.cancel()
        cut = asyncio.create_task(self._client.cut())
        self._cuts.add(cut)
        cut.add_done_callback(self._cuts.discard)
        if self._stop:
            return
        self._core, self._in_step = self._new_core(), False
        self._service.metrics.forget()
        while not self._events.empty():
            self._events.get_nowait()
        self._watch(KINDS)
        self._events.put_nowait(None)

    def _leads(self) -> bool:
        return self._elector is None or self._elector.leads

    @property
    def _may_decide(self) -> bool:
        return not self._unlisted and self._leads()

    def _unready(self) -> str:
        """Why we could not go on at once if we led."""
        missing = [kind for kind in KINDS if kind not in self._readable]
        if missing:
            return f"not listed yet: {', '.join(missing)}"
        if self._unlisted or not self._core.synced:
            return "listing anew what another has written"
        if self._elector is not None and not self._elector.reachable:
            return "the lease cannot be reached"
        return ""

    def _write_limit(self) -> float:
        """How many seconds a write that is begun now may take; 0 where none may be begun."""
        return _WRITE if self._elector is None else self._elector.write_limit()

    async def _turn(self) -> None:
        """Waits for something to do, and does it."""
        await self._wait()
        await asyncio.sleep(_GATHER if len(self._writes) < _WRITES // 2 else _GATHER_BUSY)
        core = self._core
        now = datetime.now(UTC)
        while not self._events.empty():
            self._handle(core, self._events.get_nowait(), now)
        if core.synced and not self._in_step:
            self._in_step = True
            self._log("synced")
        if self._stop or not self._may_decide:
            return
        async with self._service.deciding():
            started = asyncio.get_running_loop().time()
            writes = core.decide(now) if core.light(now) else await asyncio.to_thread(core.decide, now)
            took = asyncio.get_running_loop().time() - started
        self._service.metrics.count(core.tally.take())
        if core is not self._core:
            return  # the lead was lost meanwhile
        if core.planners and (planners := (core, core.planners)) != self._planners:
            memory.settle(again=self._planners is not None)
            self._planners = planners
        if writes:
            self._decisions += 1
            self._log("decided", decision=self._decisions, writes=len(writes), milliseconds=round(took * 1000, 1))
        for write in writes:
            about = {"units": core.units_of(write), "decision": self._decisions}
            task = asyncio.create_task(self._send(write, about))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)
        idle = core.synced and self._events.empty() and not (writes or self._writes or core.busy)
        if self._once and idle:
            self._end("nothing is under way")

    async def _wait(self) -> None:
        wake = self._core.wake if self._may_decide else None
        delay = None if wake is None else max(0.0, (wake - datetime.now(UTC)).total_seconds())
        try:
            event = await asyncio.wait_for(self._events.get(), delay)
        except TimeoutError:
            return
        self._handle(self._core, event, datetime.now(UTC))

    def _handle(self, core: Core, event: Event | None, now: datetime) -> None:
        if event is not None:
            self._service.metrics.note(event)
            core.handle(event, now)

    async def _send(self, write: Write, about: dict[str, Any]) -> None:
        async with self._slots:
            limit = self._write_limit()
            if not limit:
                return  # whoever leads next decides anew
            self._service.metrics.sent(write)
            with self._service.metrics.write.labels(write.purpose).time():
                answer = await self._client.send(write, limit)
        fields: dict[str, Any] = {"object": f"{write.kind} {write.key}", **about}
        if write.purpose == "say":
            told = write.body["involvedObject"]
            fields |= {"object": f"Pod {told['namespace']}/{told['name']}", "message": write.body["message"]}
        elif write.purpose == "mark":
            fields["reason"] = write.body["status"]["conditions"][0]["reason"]
        if isinstance(answer, Refused):
            fields |= {"status": answer.status, "problem": answer.message}
        outcome = _DONE[write.purpose] if isinstance(answer, Written) else f"not {_DONE[write.purpose]}"
        if isinstance(answer, Refused) and answer.status == UNKNOWN_OUTCOME:
            outcome = f"perhaps {_DONE[write.purpose]}"
            self._in_doubt |= self._stop
        self._log(outcome, **fields)
        self._events.put_nowait(answer)

    def _log(self, event: str, **fields: Any) -> None:
        self._journal(event, **fields)
        if event == "watch ended":
            self._service.metrics.watch_ended(fields["kind"])
