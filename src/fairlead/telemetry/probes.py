"""What is served on `--listen`: `/metrics` for Prometheus, `/healthz` and `/readyz` for kubelet.

Answers come from the loop that does the work: where it is blocked nobody answers, which a probe takes for a failure.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_GRACE: Final = 1.0
"""Seconds that requests get at the end."""


class ListenError(Exception):
    """The address cannot be used; the text names it and the reason."""


def split_address(text: str, option: str = "--listen") -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPV6]:PORT` or `:PORT`, which is every address of this machine.

    Args:
        text: the address.
        option: where it was given, for the error.

    Raises:
        ListenError: it is none of these.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ListenError(f"{option} {text}: must be HOST:PORT")
    return host[1:-1] if bracketed else host, int(port)


async def listen(
    runner: web.AppRunner, address: str, option: str = "--listen", context: ssl.SSLContext | None = None
) -> str:
    """Has what is served listen; returns the address, with the port that was found where it is 0.

    Args:
        runner: set up already; cleaned up when this fails.
        address: `HOST:PORT`.
        option: where it was given, for the error.
        context: for TLS.

    Raises:
        ListenError: the address cannot be used.
    """
    try:
        host, port = split_address(address, option)
        await web.TCPSite(runner, host or None, port, ssl_context=context).start()
    except (ListenError, OSError, OverflowError) as error:
        await runner.cleanup()
        if isinstance(error, ListenError):
            raise
        raise ListenError(f"{option} {address}: {getattr(error, 'strerror', None) or error}") from None
    return f"{address.rpartition(':')[0]}:{runner.addresses[0][1]}"


class Probes:
    """A server; start it, and stop it at the end."""

    def __init__(
        self,
        registry: CollectorRegistry,
        refresh: Callable[[], Awaitable[None]],
        unhealthy: Callable[[], str],
        unready: Callable[[], str | Awaitable[str]],
        option: str = "--listen",
    ) -> None:
        """Does nothing yet.

        Args:
            registry: what is shown on `/metrics`.
            refresh: brings it up to date.
            unhealthy: why we have to be started again; empty where all is well.
            unready: why we could not take over now; empty where we could.
            option: of the command line, where the address is given.
        """
        self._registry = registry
        self._refresh = refresh
        self._unhealthy = unhealthy
        self._unready = unready
        self._option = option
        self._runner: web.AppRunner | None = None

    async def start(self, address: str) -> str:
        """Begins to listen; returns the address, with the port that was found where it is 0.

        Raises:
            ListenError: the address cannot be used.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._readiness)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE)
        await self._runner.setup()
        return await listen(self._runner, address, self._option)

    async def stop(self) -> None:
        """Ends it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _health(self, _: web.Request) -> web.Response:
        return _answer(self._unhealthy())

    async def _readiness(self, _: web.Request) -> web.Response:
        problem = self._unhealthy() or self._unready()
        return _answer(problem if isinstance(problem, str) else await problem)


def _answer(problem: str) -> web.Response:
    return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)
