"""A proxy on loopback between the controller and the API server, which does what a scenario's faults say.

Plain HTTP to the controller, TLS to the server. It knows the purposes of the controller's requests and the lines of
watches, and nothing else of Kubernetes. Everything here runs in one event loop.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from plan import Fault

DELAY = 1.0
"""Seconds for which a write, or the answer to it, is held back."""
HOLD = 5.0
"""Seconds for which the events of a watch are held back."""
_PLURALS = {
    "pods": "Pod",
    "nodes": "Node",
    "podgroups": "PodGroup",
    "resourceclaims": "ResourceClaim",
    "resourceslices": "ResourceSlice",
    "deviceclasses": "DeviceClass",
    "devicetaintrules": "DeviceTaintRule",
}
_DROPPED = {"host", "accept-encoding", "content-length", "transfer-encoding", "connection"}


@dataclass
class Hooks:
    """What the proxy asks others to do."""

    kill: Callable[[], None]
    """Ends the controller with SIGKILL; another one starts soon."""
    restart_server: Callable[[], Awaitable[None]]
    written: Callable[[str, str], Awaitable[None]]
    """Is told of a write's purpose and object before the controller hears of it."""


@dataclass
class Proxy:
    """One proxy; `faults` may be exchanged at any time."""

    server: str
    tls: ssl.SSLContext
    hooks: Hooks
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    writing: int = 0
    """Writes that are on their way to the server."""
    address: str = ""

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.tls), read_bufsize=2**20, auto_decompress=False
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def begin(self, faults: list[Fault]) -> None:
        """A scenario begins: its requests are counted anew."""
        self.faults = list(faults)
        self.counts.clear()

    def _due(self, where: str) -> str:
        """Counts a request, and tells which fault it meets; empty for none."""
        self.counts[where] += 1
        for fault in self.faults:
            if not fault.injected and (fault.where, fault.number) == (where, self.counts[where]):
                fault.injected = True
                return fault.how
        return ""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        try:
            if "watch" in request.query:
                return await self._watch(request)
            where = _purpose(request, body)
            if where.startswith(("list", "probe")):
                return await self._read(request, where)
            return await self._write(request, body, where)
        except (aiohttp.ClientError, OSError):  # the server or the controller is gone
            return _cut(request)

    async def _write(self, request: web.Request, body: bytes, where: str) -> web.StreamResponse:
        how = self._due(where)
        what, _, when = how.rpartition(" ")
        if when == "before":
            if what == "delay":
                await asyncio.sleep(DELAY)
            else:
                return await self._instead(request, what)
        self.writing += 1
        try:
            async with self._forward(request, body) as response:
                answer, status = await response.read(), response.status
                headers = _kept(response.headers)
        finally:
            self.writing -= 1
        if status < 300:
            await self.hooks.written(where, _name(request.path))
        if when == "after":
            if what == "delay":
                await asyncio.sleep(DELAY)
            else:
                return await self._instead(request, what)
        return web.Response(body=answer, status=status, headers=headers)

    async def _instead(self, request: web.Request, what: str) -> web.StreamResponse:
        """What comes in place of the server's answer."""
        if what == "kill":
            self.hooks.kill()
            return _cut(request)
        if what == "restart server":
            await self.hooks.restart_server()
            return _cut(request)
        if what == "cut":
            return _cut(request)
        return _answer(int(what))

    async def _read(self, request: web.Request, where: str) -> web.StreamResponse:
        how = self._due(where)
        if how and how not in ("kill after", "cut half-way"):
            return await self._instead(request, how.removesuffix(" before"))
        async with self._forward(request, b"") as response:
            answer = await response.read()
            if how == "cut half-way":
                half = web.StreamResponse(headers={"Content-Length": str(len(answer))})
                await half.prepare(request)
                await half.write(answer[: len(answer) // 2])
                return _cut(request)
            if how:
                return await self._instead(request, "kill")
            return web.Response(body=answer, status=response.status, headers=_kept(response.headers))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        kind = _PLURALS[request.path.rpartition("/")[2]]
        listing = "sendInitialEvents" in request.query
        how = self._due(f"list {kind}") if listing else ""
        if how and how not in ("kill after", "cut half-way"):
            return await self._instead(request, how.removesuffix(" before"))
        async with self._forward(request, b"") as response:
            passed = web.StreamResponse(status=response.status, headers=_kept(response.headers))
            await passed.prepare(request)
            rest = b""
            with suppress(ConnectionError):
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        ended = listing and b"initial-events-end" in line
                        if listing and how and (ended or how == "cut half-way"):
                            return await self._instead(request, how.split()[0])
                        if not listing and b'"BOOKMARK"' not in line[:30]:
                            told = await self._event(request, passed, f"watch {kind}")
                            if told is not None:
                                return told
                        listing = listing and not ended
                        await passed.write(line + b"\n")
            if request.transport is None or request.transport.is_closing():
                return _cut(request)
            await passed.write_eof()
            return passed

    async def _event(self, request: web.Request, passed: web.StreamResponse, where: str) -> web.StreamResponse | None:
        """What an event meets; None where it is passed on."""
        match self._due(where):
            case "cut":
                return _cut(request)
            case "kill after":
                return await self._instead(request, "kill")
            case "410 event":
                status = {"kind": "Status", "code": 410, "message": "injected: too old resource version"}
                await passed.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
                await passed.write_eof()
                return passed
            case "hold events":
                await asyncio.sleep(HOLD)
        return None

    def _forward(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        return self._session.request(
            request.method,
            self.server + request.raw_path,
            data=body or None,
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=timeout,
        )


def _purpose(request: web.Request, body: bytes) -> str:
    """A request's purpose: that of a write, or `list KIND`; `probe KIND` where it is asked whether it is served."""
    plural = request.path.rpartition("/")[2]
    if request.method == "GET":
        what = "probe" if request.query.get("limit") == "1" else "list"
        return f"{what} {_PLURALS.get(plural, plural)}"
    if request.method == "POST":
        return "say"
    if plural == "status":
        if "/pods/" in request.path:
            return "mark"
        return "clear" if json.loads(body)["status"].get("allocation", ...) is None else "allocate"
    return "finalizer" if "/resourceclaims/" in request.path else "open"


def _name(path: str) -> str:
    parts = path.removesuffix("/status").split("/")
    return parts[-1]


def _kept(headers: aiohttp.typedefs.LooseHeaders) -> dict[str, str]:
    return {name: value for name, value in dict(headers).items() if name.lower() not in _DROPPED}  # type: ignore[arg-type]


def _answer(status: int) -> web.Response:
    """An answer as the API server would give it."""
    message = f"injected: {status}"
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": message}
    headers = {"Retry-After": "1"} if status in (429, 503) else {}
    return web.json_response(body, status=status, headers=headers)


def _cut(request: web.Request) -> web.StreamResponse:
    """Resets the connection; the response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
