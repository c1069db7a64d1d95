"""What is seen of a controller from outside: its metrics and probes, brought up to date when somebody looks.

Devices are counted in a thread from a snapshot, once a minute at most, and only for somebody who looks; until
it is done the figures from before are shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

from fairlead.controller.figures import device_figures
from fairlead.controller.metrics import Metrics
from fairlead.controller.state import Core
from fairlead.placement import Cluster
from fairlead.telemetry import Probes

_BEAT: Final = 1.0
"""Seconds between two looks at how late the loop is."""
_STUCK: Final = 120.0
"""Seconds after which a decision that goes on is taken for one that never ends."""
_COUNT_AGAIN: Final = 60.0
"""Seconds between two counts of the devices."""
_PATIENCE: Final = 2.0
"""Seconds that a look waits for a decision to end before it shows what was known before."""


class Service:
    """Metrics and probes of one controller."""

    def __init__(
        self,
        core: Callable[[], Core],
        leads: Callable[[], bool],
        unready: Callable[[], str],
        log: Callable[..., None],
    ) -> None:
        """Does nothing yet.

        Args:
            core: the one that is at work; asked for again each time.
            leads: whether we may write.
            unready: why we could not go on at once if we led; empty where we could.
            log: takes an event's name and fields.
        """
        self.metrics = Metrics()
        self._core = core
        self._leads = leads
        self._log = log
        self._probes = Probes(self.metrics.registry, self._refresh, self._unhealthy, unready)
        self._turn = asyncio.Lock()
        self._busy_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._counted_at = float("-inf")

    async def start(self, address: str) -> None:
        """Begins to listen.

        Raises:
            ListenError: the address cannot be used.
        """
        self._log("listening", address=await self._probes.start(address))
        self._begin(self._beat())

    async def stop(self) -> None:
        """Ends it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._probes.stop()

    @asynccontextmanager
    async def deciding(self) -> AsyncIterator[None]:
        """While the core is at work elsewhere: nobody looks at it then."""
        async with self._turn:
            self._busy_since = time.monotonic()
            try:
                yield
                self.metrics.decision.observe(time.monotonic() - self._busy_since)
            finally:
                self._busy_since = None

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_BEAT)
            self.metrics.loop_lag.set(max(0.0, time.monotonic() - before - _BEAT))

    def _unhealthy(self) -> str:
        since = self._busy_since
        if since is not None and time.monotonic() - since > _STUCK:
            return f"a decision has taken {time.monotonic() - since:.0f} seconds and goes on"
        return ""

    async def _refresh(self) -> None:
        self.metrics.leader.set(self._leads())
        try:
            async with asyncio.timeout(_PATIENCE), self._turn:
                core = self._core()
                self.metrics.levels.pending = core.pending
                due = core.synced and time.monotonic() - self._counted_at > _COUNT_AGAIN
                cluster = core.devices if due else None
        except TimeoutError:
            return
        if cluster is not None:
            self._counted_at = time.monotonic()
            self._begin(self._count(cluster))

    async def _count(self, cluster: Cluster) -> None:
        """Counts devices; what goes wrong must not end what matters."""
        at = time.time()
        try:
            self.metrics.levels.devices = await asyncio.to_thread(device_figures, cluster)
            self.metrics.levels.devices_at = at
        except Exception as error:
            self._log("no figures", problem=f"{type(error).__name__} {error}")
