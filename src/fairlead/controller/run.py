"""Joins the core to an API server: events from the watches in, writes out, one line of JSON for each that matters.

One coroutine alone touches the core. It takes all events that have come, lets the core decide (in a thread, so that
the watches are read meanwhile), and starts the writes; their answers come back as events. SIGTERM and SIGINT end it:
nothing new is begun, and what is on its way gets a few seconds to be answered.
"""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

from fairlead.allocator.result import random_share_id
from fairlead.controller.access import Access
from fairlead.controller.client import Client
from fairlead.controller.events import KINDS, UNKNOWN_OUTCOME, Event, Kind, Refused, Write, Written
from fairlead.controller.rounds import PlannedRound
from fairlead.controller.state import Core
from fairlead.controller.wire import ServerError

_WRITES: Final = 64
"""Writes on their way at one time."""
_GATHER: Final = 0.005
"""Seconds in which more events may come before something is decided: a round costs little more for many pods."""
_GRACE: Final = 5.0
"""Seconds that writes get at the end."""


def run(access: Access, log_to: TextIO, once: bool = False) -> int:
    """Runs until it is told to stop.

    Args:
        access: the API server.
        log_to: takes the log.
        once: whether to stop as soon as nothing is under way.

    Returns:
        The exit status: 0, or 1 when the server does not let us read what we need.
    """
    return asyncio.run(_Loop(access, log_to, once).run())


class _Loop:
    def __init__(self, access: Access, log_to: TextIO, once: bool) -> None:
        self._access = access
        self._log_to = log_to
        self._once = once
        self._core = Core(lambda snapshot: PlannedRound(snapshot, random_share_id))
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._writes: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_WRITES)
        self._synced = False
        self._stop = False
        self._failed = False

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._end, name.name)
        self._log("start", server=self._access.server)
        async with Client(self._access, self._log) as client:
            watches = [asyncio.create_task(self._follow(client, kind)) for kind in KINDS]
            try:
                while not self._stop:
                    await self._turn(client)
            finally:
                for task in watches:
                    task.cancel()
                if self._writes:
                    await asyncio.wait(self._writes, timeout=_GRACE)
                for task in self._writes:
                    task.cancel()
                await asyncio.gather(*watches, *self._writes, return_exceptions=True)
        self._log("stop", unanswered=len(self._writes))
        return 1 if self._failed else 0

    def _end(self, why: str) -> None:
        if not self._stop:
            self._log("stopping", why=why)
        self._stop = True
        self._events.put_nowait(None)

    async def _follow(self, client: Client, kind: Kind) -> None:
        try:
            await client.follow(kind, self._events.put_nowait)
        except ServerError as error:
            self._log("refused", kind=kind, status=error.status, problem=str(error))
            self._failed = True
            self._end(f"may not read {kind}")

    async def _turn(self, client: Client) -> None:
        """Waits for something to do, and does it."""
        await self._wait()
        await asyncio.sleep(_GATHER)
        now = datetime.now(UTC)
        while not self._events.empty():
            event = self._events.get_nowait()
            if event is not None:
                self._core.handle(event, now)
        if self._stop:
            return
        started = asyncio.get_running_loop().time()
        writes = await asyncio.to_thread(self._core.decide, now)
        took = asyncio.get_running_loop().time() - started
        if self._core.synced and not self._synced:
            self._synced = True
            self._log("synced")
        if writes:
            self._log("decided", writes=len(writes), milliseconds=round(took * 1000, 1))
        for write in writes:
            task = asyncio.create_task(self._send(client, write))
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)
        idle = self._core.synced and self._events.empty() and not (writes or self._writes or self._core.busy)
        if self._once and idle:
            self._end("nothing is under way")

    async def _wait(self) -> None:
        wake = self._core.wake
        delay = None if wake is None else max(0.0, (wake - datetime.now(UTC)).total_seconds())
        try:
            event = await asyncio.wait_for(self._events.get(), delay)
        except TimeoutError:
            return
        if event is not None:
            self._core.handle(event, datetime.now(UTC))

    async def _send(self, client: Client, write: Write) -> None:
        async with self._slots:
            answer = await client.send(write)
        fields: dict[str, Any] = {"object": f"{write.kind} {write.key}"}
        if write.purpose == "say":
            about = write.body["involvedObject"]
            fields = {"object": f"Pod {about['namespace']}/{about['name']}", "message": write.body["message"]}
        if isinstance(answer, Refused):
            fields |= {"status": answer.status, "problem": answer.message}
        done = {"finalizer": "protected", "allocate": "allocated", "clear": "released", "open": "opened", "say": "told"}
        outcome = done[write.purpose] if isinstance(answer, Written) else f"not {done[write.purpose]}"
        if isinstance(answer, Refused) and answer.status == UNKNOWN_OUTCOME:
            outcome = f"perhaps {done[write.purpose]}"
        self._log(outcome, **fields)
        self._events.put_nowait(answer)

    def _log(self, event: str, **fields: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        print(msgspec.json.encode(line).decode(), file=self._log_to, flush=True)
