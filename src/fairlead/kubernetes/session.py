"""Requests to one API server over kept connections: who we are is shown and renewed here, and nowhere else.

Requests with a body go over connections of their own, so that these can be cut without an end to what is read. A
request that the server does not let pass (401) is made a second time where newer credentials may be had.

Why aiohttp: docs/decisions/009-client.md.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from fairlead.kubernetes.access import Access
from fairlead.kubernetes.answers import error_of, lines

_CONNECT: Final = 15.0
"""Seconds for a connection of a stream, and for requests on their way when all connections are made anew."""

SocketFactory = Callable[[aiohttp.AddrInfoType], socket.socket]


class Session:
    """A session with one API server; an asynchronous context manager."""

    def __init__(self, access: Access, sockets: SocketFactory | None = None, compressed: bool = True) -> None:
        """Connects when the first request is made.

        Args:
            access: where the server is, and our credentials.
            sockets: makes the sockets; plain ones where it is absent.
            compressed: whether answers may be compressed. The server does so for long lists and, event by event, for
                watches that begin with a list, which takes its time and ours.
        """
        self._access: Final = access
        self._base: Final = str(URL(access.server)).rstrip("/")
        self._sockets: Final = sockets
        self._compressed: Final = compressed
        self._reading: aiohttp.ClientSession | None = None
        self._writing: aiohttp.ClientSession | None = None
        self._renewing: Final = asyncio.Lock()
        self._retiring: Final[set[asyncio.Task[None]]] = set()

    async def __aenter__(self) -> Session:
        self._reading, self._writing = self._connections(), self._connections()
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._reading is not None
        assert self._writing is not None
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._reading.close()
        await self._writing.close()

    async def cut(self) -> None:
        """Breaks every connection that bodies go over: what was not sent or not confirmed will not be sent again."""
        assert self._writing is not None
        cut, self._writing = self._writing, self._connections()
        await cut.close()

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes | None = None,
        media: str = "",
        *,
        seconds: float,
        bounded: bool = False,
    ) -> bytes:
        """One request, and a second one where the server does not accept credentials that may be outdated.

        Args:
            method: of HTTP.
            path: from the root of the server, quoted.
            query: its parameters.
            body: what is sent.
            media: what kind of thing the body is.
            seconds: for all of it.
            bounded: whether the server is asked to give up when that time is over.

        Raises:
            ServerError: the answer is not a success.
            aiohttp.ClientError, TimeoutError, OSError, AccessError: there is no answer.
        """
        ends_at = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout(seconds):
            for attempt in (1, 2):
                headers = await self._headers()
                parameters = dict(query)
                if bounded:
                    left = ends_at - asyncio.get_running_loop().time()
                    parameters["timeout"] = f"{max(left, 0.001):.3f}s"
                session = self._reading
                if body is not None:
                    headers["Content-Type"] = media
                    session = self._writing
                assert session is not None
                async with session.request(
                    method,
                    self._url(path, parameters),
                    data=body,
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=None),
                    server_hostname=self._access.server_name or None,
                ) as response:
                    answer = await response.read()
                    if response.status < 300:
                        return answer
                    if response.status != 401 or not self._refused(headers) or attempt > 1:
                        raise error_of(response.status, answer, response.headers)
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that does not end soon.

        Args:
            path: from the root of the server, quoted.
            query: its parameters.
            silence: seconds without a byte after which it is dead.

        Raises:
            ServerError: the answer is not a success.
            aiohttp.ClientError, TimeoutError, OSError, AccessError: there is none, or it broke off.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=silence)
        headers = await self._headers()
        assert self._reading is not None
        async with self._reading.get(
            self._url(path, query),
            headers=headers,
            timeout=timeout,
            server_hostname=self._access.server_name or None,
        ) as response:
            if response.status != 200:
                if response.status == 401:
                    self._refused(headers)
                raise error_of(response.status, await response.read(), response.headers)
            yield lines(response.content)

    def _connections(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._access.tls if self._access.tls is not None else True, socket_factory=self._sockets
        )
        headers = {"User-Agent": "fairlead", "Accept": "application/json"}
        if not self._compressed:
            headers["Accept-Encoding"] = "identity"
        return aiohttp.ClientSession(connector=connector, read_bufsize=2**20, headers=headers)

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        """An address that is not looked through for what has to be quoted: paths here are, and so is the query."""
        return URL(f"{self._base}{path}?{urlencode(query)}" if query else f"{self._base}{path}", encoded=True)

    async def _headers(self) -> dict[str, str]:
        """What shows who we are, brought up to date before."""
        credentials = self._access.credentials
        if credentials.stale:
            async with self._renewing:
                if await asyncio.to_thread(credentials.renew):
                    self._reconnect()
        token = credentials.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _refused(self, headers: Mapping[str, str]) -> bool:
        """Takes note that the server did not accept us; returns whether trying again may help."""
        return self._access.credentials.refused(headers.get("Authorization", "").removeprefix("Bearer "))

    def _reconnect(self) -> None:
        """Has all connections made anew, with another client certificate; requests on their way get time to end."""
        old = [one for one in (self._reading, self._writing) if one is not None]
        self._reading, self._writing = self._connections(), self._connections()

        async def retire() -> None:
            try:
                await asyncio.sleep(_CONNECT)
            finally:
                for one in old:
                    await one.close()

        task = asyncio.create_task(retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
