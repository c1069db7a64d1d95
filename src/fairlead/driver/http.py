"""The API server over HTTP: `fairlead.kubernetes`, as `api.Api` asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import aiohttp

from fairlead.driver.api import JSON, ApiError
from fairlead.kubernetes import Access, AccessError, ServerError, Session

_REQUEST: Final = 15.0
"""Seconds for a request: kubelet waits 45 for all that a prepare takes."""
_SILENCE: Final = 660.0
"""Seconds without a byte after which a watch is dead: longer than the server is asked to keep one open."""


class HttpApi:
    """A session with one API server; an asynchronous context manager."""

    def __init__(self, access: Access) -> None:
        """Connects when the first request is made."""
        self._server: Final = access.server
        self._session: Final = Session(access)

    async def __aenter__(self) -> HttpApi:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.__aexit__(*error)

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = JSON
    ) -> bytes:
        """The body of the answer.

        Raises:
            ApiError: it is an error, or none came.
        """
        with self._failures():
            return await self._session.request(method, path, query, body, media, seconds=_REQUEST)

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The lines of the answer, as they come, until the server ends it.

        Raises:
            ApiError: it is an error, or it broke off.
        """
        with self._failures():
            async with self._session.stream(path, query, _SILENCE) as lines:
                async for line in lines:
                    yield line

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Makes whatever goes wrong an ApiError."""
        try:
            yield
        except ServerError as error:
            raise ApiError(error.status, str(error), error.retry_after) from None
        except AccessError as error:
            raise ApiError(0, f"{self._server}: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, f"{self._server}: {type(error).__name__} {error}".strip()) from None
