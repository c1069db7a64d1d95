"""The webhook's HTTPS server: reviews, and probes on the same port.

POST /review   AdmissionReview in and out
GET  /healthz  200 while the process runs
GET  /readyz   200 while it answers, or stands by to take over
GET  /answers  200 while it answers: one replica at most
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from fairlead.controller.lock.certificates import Certificates
from fairlead.controller.lock.metrics import LockMetrics
from fairlead.controller.lock.review import Request, Response, read, write
from fairlead.telemetry import listen

_BODY: Final = 16 * 2**20
"""Bytes of a review: a claim before and after, each at most what etcd takes."""
_LOOK: Final = 5.0
"""Seconds between two looks at the certificate's files."""


class Server:
    """What the API server and kubelet talk to."""

    def __init__(
        self,
        certificates: Certificates,
        decide: Callable[[Request], Response],
        ready: Callable[[], str],
        answers: Callable[[], bool],
        log: Callable[..., Any],
        metrics: LockMetrics,
    ) -> None:
        """Does nothing yet.

        Args:
            certificates: what it shows.
            decide: answers a review, without waiting.
            ready: empty, or what is the matter.
            answers: whether reviews are decided here.
            log: takes an event's name and fields.
            metrics: counts reviews.
        """
        self._certificates = certificates
        self._decide = decide
        self._ready = ready
        self._answers = answers
        self._log = log
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def start(self, address: str) -> str:
        """Listens; returns the address, with the port that was found where it is 0.

        Raises:
            ListenError: the address cannot be used.
        """
        application = web.Application(client_max_size=_BODY)
        application.add_routes(
            [
                web.post("/review", self._review),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/answers", self._is_answering),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        listening = await listen(self._runner, address, context=self._certificates.context)
        self._renewing = asyncio.create_task(self._renew())
        return listening

    async def stop(self) -> None:
        """Closes all connections; what is being answered is answered."""
        if self._renewing is not None:
            self._renewing.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self._certificates.renew(self._log)

    async def _review(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            with self._metrics.review.time():
                decided = self._decide(read(body))
                answer = write(decided)
        except msgspec.DecodeError as error:
            self._log("not understood", problem=str(error))
            self._metrics.not_understood()
            return web.Response(status=400, text=f"no AdmissionReview: {error}\n")
        self._metrics.decided(decided)
        return web.Response(body=answer, content_type="application/json")

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        problem = self._ready()
        if problem:
            return web.Response(status=503, text=f"{problem}\n")
        return web.Response(text="answers\n" if self._answers() else "stands by\n")

    async def _is_answering(self, request: web.Request) -> web.Response:
        answers = self._answers()
        return web.Response(status=200 if answers else 503, text="answers\n" if answers else "stands by\n")
