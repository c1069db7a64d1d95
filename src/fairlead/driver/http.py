"""The API server over aiohttp: the transport that `api.Api` asks for, and nothing more."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

import aiohttp
import msgspec

from fairlead.driver.api import JSON, ApiError

_REQUEST: Final = 15.0
"""Seconds for a request: kubelet waits 45 for all that a prepare takes."""
_SILENCE: Final = 660.0
"""Seconds without a byte after which a watch is dead: longer than the server is asked to keep one open."""


class _Status(msgspec.Struct):
    message: str = ""


class Credentials(Protocol):
    """What shows who we are; whoever finds the way to the server makes them."""

    @property
    def token(self) -> str:
        """The bearer token to send now; empty for none."""

    @property
    def stale(self) -> bool:
        """Whether `renew` has to be called before a request."""

    def refused(self, token: str) -> bool:
        """Takes note that the server did not accept a token; returns whether something newer may be had."""

    def renew(self) -> bool:
        """Brings the token up to date; returns whether connections have to be made anew. May take long."""


class HttpApi:
    """A session with one API server; an asynchronous context manager."""

    def __init__(
        self, server: str, tls: ssl.SSLContext | None, credentials: Credentials, server_name: str = ""
    ) -> None:
        """Connects when the first request is made.

        Args:
            server: its address, without a slash at the end.
            tls: what to trust, and our certificate; None for http.
            credentials: our token.
            server_name: what the server's certificate has to be for, where that is not the host of the address.
        """
        self._server: Final = server
        self._server_name: Final = server_name or None
        self._tls = tls
        self._credentials: Final = credentials
        self._renewing: Final = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> HttpApi:
        self._session = self._connections()
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._session is not None
        await self._session.close()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = JSON
    ) -> bytes:
        """The body of the answer.

        Raises:
            ApiError: it is an error, or none came.
        """
        try:
            async with asyncio.timeout(_REQUEST):
                for attempt in (1, 2):
                    headers = await self._headers()
                    more = {"Content-Type": media} if body is not None else {}
                    assert self._session is not None
                    async with self._session.request(
                        method,
                        self._server + path,
                        params=dict(query),
                        data=body,
                        headers=headers | more,
                        server_hostname=self._server_name,
                    ) as response:
                        answer = await response.read()
                        if response.status < 300:
                            return answer
                        if response.status != 401 or not self._refused(headers) or attempt > 1:
                            raise _error(response, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{self._server}: {type(error).__name__} {error}".strip()) from None
        raise AssertionError("unreachable")

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of the answer, as they come, until the server ends it.

        Raises:
            ApiError: it is an error, or it broke off.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST, sock_read=_SILENCE)
        try:
            headers = await self._headers()
            assert self._session is not None
            async with self._session.get(
                self._server + path,
                params=dict(query),
                headers=headers,
                timeout=timeout,
                server_hostname=self._server_name,
            ) as response:
                if response.status != 200:
                    if response.status == 401:
                        self._refused(headers)
                    raise _error(response, await response.read())
                rest = bytearray()
                async for chunk in response.content.iter_any():
                    rest += chunk
                    *lines, last = rest.split(b"\n")
                    rest = bytearray(last)
                    for line in filter(None, lines):
                        yield bytes(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{self._server}: {type(error).__name__} {error}".strip()) from None

    async def _headers(self) -> dict[str, str]:
        if self._credentials.stale:
            async with self._renewing:
                try:
                    anew = await asyncio.to_thread(self._credentials.renew)
                except Exception as error:  # each kind of credentials has its own
                    raise ApiError(0, f"{self._server}: {error}") from error
                if anew:
                    assert self._session is not None
                    task = asyncio.create_task(_close_later(self._session))
                    self._closing.add(task)
                    task.add_done_callback(self._closing.discard)
                    self._session = self._connections()
        token = self._credentials.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _refused(self, headers: Mapping[str, str]) -> bool:
        return self._credentials.refused(headers.get("Authorization", "").removeprefix("Bearer "))

    def _connections(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True)
        headers = {"User-Agent": "fairlead", "Accept": "application/json"}
        return aiohttp.ClientSession(connector=connector, headers=headers)


async def _close_later(session: aiohttp.ClientSession) -> None:
    """Lets requests that are on their way come to their end."""
    try:
        await asyncio.sleep(_REQUEST)
    finally:
        await session.close()


def _error(response: aiohttp.ClientResponse, answer: bytes) -> ApiError:
    try:
        message = msgspec.json.decode(answer, type=_Status).message
    except msgspec.MsgspecError:
        message = answer[:200].decode(errors="replace")
    after = response.headers.get("Retry-After", "")
    return ApiError(response.status, message or "error", float(after) if after.isdigit() else 0.0)
