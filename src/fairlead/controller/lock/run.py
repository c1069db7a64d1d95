"""`fairlead webhook`: joins index, reviews and server to a cluster.

One replica answers: who has the Lease, and knows the cluster. Taking over is always the same, whether the one before
ended well or was killed, so that there is no recovery that nobody exercises:

1. the Lease: who held it has stopped to answer before anybody can take it (`election`);
2. a list of claims and slices, from the storage and not from a cache;
3. every claim without devices gets a new version (`settling`), since a write that the one before let pass may still
   come, and would come in place of the version in the list;
4. from now on it answers, and says so by a label on its pod, which the Service selects.

Why this order is safe: docs/decisions/011-the-lock.md.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from fairlead.controller.client import Client
from fairlead.controller.elector import Elector, clock
from fairlead.controller.events import Event, Kind
from fairlead.controller.levels import LEVELS
from fairlead.controller.lock.certificates import Certificates
from fairlead.controller.lock.index import Index
from fairlead.controller.lock.label import Label
from fairlead.controller.lock.metrics import LockMetrics
from fairlead.controller.lock.review import Request, Response, review
from fairlead.controller.lock.server import Server
from fairlead.controller.lock.settling import Settler
from fairlead.controller.lock.telling import Teller
from fairlead.kubernetes import Access, ServerError
from fairlead.telemetry import Format, Journal, Probes

_KINDS: Final[tuple[Kind, ...]] = ("ResourceClaim", "ResourceSlice")
_TURN: Final = 1.0
"""Seconds between two looks for writes that did not come, and for duplicates."""
_FAREWELL: Final = 2.0
"""Seconds for which a pod that ends still tells the API servers to ask again, until none of them asks it any more."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run."""

    listen: str
    """`HOST:PORT` of reviews and probes, with TLS."""
    certificate: Path
    key: Path
    lease_namespace: str
    lease_name: str
    pod_namespace: str = ""
    pod_name: str = ""
    """Our pod, which is labelled while we answer; empty where we run outside of a cluster."""
    metrics: str = ""
    """`HOST:PORT` of the metrics, without TLS; empty for none."""
    log_format: Format = "json"
    window: float = 75.0
    """Seconds after which a write that the API server had let pass has come or never will: more than its
    `--request-timeout`. Only looked at for claims that we are not allowed to write."""


def serve(access: Access, options: Options, log_to: TextIO) -> int:
    """Runs until it is told to stop.

    Args:
        access: the API server.
        options: how.
        log_to: takes the log.

    Returns:
        The exit status: 0, or 1 when the API server does not let us read what we need.

    Raises:
        CertificateError: certificate or key cannot be used.
        ListenError: an address cannot be used.
    """
    return asyncio.run(_Webhook(access, options, log_to).run())


class _Webhook:
    def __init__(self, access: Access, options: Options, log_to: TextIO) -> None:
        self._access = access
        self._options = options
        self._log = Journal(log_to, LEVELS, options.log_format)
        self._metrics = LockMetrics()
        self._certificates = Certificates(options.certificate, options.key)
        self._index: Index | None = None
        """Who holds what, as soon as we know and as long as we lead."""
        self._stopping = asyncio.Event()
        self._failed = False
        self._term: asyncio.Task[None] | None = None
        self._teller: Teller | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._end, name.name)
        options = self._options
        server = Server(
            self._certificates, self._decide, self._problem, lambda: self._answers, self._log, self._metrics
        )
        probes = Probes(self._metrics.registry, self._show, str, self._problem, "--metrics")
        async with AsyncExitStack() as opened:
            self._client = client = await opened.enter_async_context(Client(self._access, self._log))
            self._elector = Elector(
                client, options.lease_namespace, options.lease_name, self._log, self._took_over, self._lost
            )
            self._label = Label(client, options.pod_namespace, options.pod_name, self._log)
            listening = await server.start(options.listen)
            opened.push_async_callback(server.stop)
            metrics = await probes.start(options.metrics) if options.metrics else ""
            opened.push_async_callback(probes.stop)
            self._log("start", server=self._access.server, listen=listening, metrics=metrics)
            tasks = [asyncio.create_task(self._guarded(one)) for one in (self._elector.run, self._label.run)]
            try:
                await self._stopping.wait()
            finally:
                await self._finish(tasks)
        self._log("stop")
        return 1 if self._failed else 0

    @property
    def _answers(self) -> bool:
        return self._index is not None and self._elector.leads

    async def _show(self) -> None:
        """Brings the metrics up to date."""
        index = self._index if self._answers else None
        self._metrics.show(index, self._teller.count if self._teller is not None else 0)

    def _problem(self) -> str:
        if self._stopping.is_set():
            return "is ending"
        return "" if self._elector.reachable else "the Lease cannot be read or written"

    def _decide(self, request: Request) -> Response:
        response = review(self._index if self._answers else None, request, clock())
        if response.status is not None:
            self._log(
                "write refused",
                status=response.status.code,
                message=response.status.message,
                user=request.user_info.username,
            )
        return response

    # The lead

    def _took_over(self, overtaken: bool) -> None:
        if not self._stopping.is_set():
            self._term = asyncio.create_task(self._guarded(self._lead))

    def _lost(self) -> None:
        self._resign()

    def _resign(self) -> None:
        """Answers no more."""
        if self._index is not None:
            self._log("answers no more")
        self._index = None
        self._label.want(False)
        if self._term is not None:
            self._term.cancel()

    async def _lead(self) -> None:
        """Learns who holds what, and answers until it is cancelled."""
        index, known = Index(), asyncio.Event()

        def take(event: Event) -> None:
            index.handle(event)
            if index.synced:
                known.set()

        began = clock()
        window = self._options.window
        settler = Settler(self._client, index, self._elector.identity, window, self._log, self._metrics)
        self._teller = teller = Teller(self._client, index, self._log)
        watches = [asyncio.create_task(self._guarded(partial(self._follow, kind, take))) for kind in _KINDS]
        try:
            await known.wait()
            touched = await settler.begin(began)
            self._log("answers", claims=len(index), touched=touched, seconds=round(clock() - began, 2))
            self._index = index
            self._label.want(True)
            while True:
                await teller.tell()
                await asyncio.sleep(_TURN)
                await settler.look()
        finally:
            for task in watches:
                task.cancel()

    async def _follow(self, kind: Kind, take: Callable[[Event], None]) -> None:
        try:
            await self._client.follow(kind, take)
        except ServerError as error:
            self._log("refused", kind=kind, status=error.status, problem=str(error))
            self._fail(f"may not read {kind}")

    # The end

    async def _guarded(self, what: Callable[[], Any]) -> None:
        """Runs something that must not end; if it does, so do we, rather than answer from what is not kept up."""
        try:
            await what()
        except Exception as error:
            self._log("failed", problem=f"{type(error).__name__} {error}")
            self._fail("something failed")

    def _fail(self, why: str) -> None:
        self._failed = True
        self._end(why)

    def _end(self, why: str) -> None:
        if not self._stopping.is_set():
            self._log("stopping", why=why)
            self._resign()
        self._stopping.set()

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Gives the lead back, and goes on telling who asks to ask again, until nobody asks."""
        for task in tasks:
            task.cancel()
        ending = [*tasks, *([self._term] if self._term is not None else [])]
        await asyncio.gather(*ending, return_exceptions=True)
        await self._label.remove()
        await self._elector.release()
        if self._options.pod_name:
            await asyncio.sleep(_FAREWELL)
