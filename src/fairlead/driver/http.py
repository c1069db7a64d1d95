"""The API server over aiohttp: the transport that `api.Api` asks for, and nothing more."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import aiohttp
import msgspec

from fairlead.driver.api import JSON, ApiError

_REQUEST: Final = 15.0
"""Seconds for a request: kubelet waits 45 for all that a prepare takes."""
_SILENCE: Final = 660.0
"""Seconds without a byte after which a watch is dead: longer than the server is asked to keep one open."""


class _Status(msgspec.Struct):
    message: str = ""


class HttpApi:
    """A session with one API server; an asynchronous context manager."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, token: Callable[[], str]) -> None:
        """Connects when the first request is made.

        Args:
            server: its address, without a slash at the end.
            tls: what to trust, and our certificate; None for http.
            token: the bearer token to send now; empty for none.
        """
        self._server: Final = server
        self._tls = tls
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpApi:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True)
        headers = {"User-Agent": "fairlead", "Accept": "application/json"}
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = JSON
    ) -> bytes:
        """The body of the answer.

        Raises:
            ApiError: it is an error, or none came.
        """
        assert self._session is not None
        headers = self._headers() | ({"Content-Type": media} if body is not None else {})
        try:
            async with self._session.request(
                method,
                self._server + path,
                params=dict(query),
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=_REQUEST),
            ) as response:
                answer = await response.read()
                if response.status >= 300:
                    raise _error(response, answer)
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{self._server}: {type(error).__name__} {error}".strip()) from None

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of the answer, as they come, until the server ends it.

        Raises:
            ApiError: it is an error, or it broke off.
        """
        assert self._session is not None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST, sock_read=_SILENCE)
        try:
            async with self._session.get(
                self._server + path, params=dict(query), headers=self._headers(), timeout=timeout
            ) as response:
                if response.status != 200:
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

    def _headers(self) -> dict[str, str]:
        token = self._token()
        return {"Authorization": f"Bearer {token}"} if token else {}


def _error(response: aiohttp.ClientResponse, answer: bytes) -> ApiError:
    try:
        message = msgspec.json.decode(answer, type=_Status).message
    except msgspec.MsgspecError:
        message = answer[:200].decode(errors="replace")
    after = response.headers.get("Retry-After", "")
    return ApiError(response.status, message or "error", float(after) if after.isdigit() else 0.0)
