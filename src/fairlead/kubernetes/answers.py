"""What the API server's answers look like, whatever was asked: errors, and the lines of a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import aiohttp
import msgspec


class ServerError(Exception):
    """The API server answered with an error; `retry_after` is how many seconds it asks to be left alone."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Status(msgspec.Struct):
    """What the server says of a request that went wrong."""

    code: int = 0
    message: str = ""


async def lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, however long: an object may be larger than a reader's own limit for lines."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        *whole, last = rest.split(b"\n")
        rest = bytearray(last)
        for line in whole:
            if line:
                yield bytes(line)


def error_of(status: int, answer: bytes, headers: Mapping[str, str]) -> ServerError:
    """What an answer says that is no success."""
    try:
        message = msgspec.json.decode(answer, type=Status).message
    except msgspec.DecodeError:
        message = answer[:200].decode(errors="replace")
    after = headers.get("Retry-After", "")
    return ServerError(status, message or f"HTTP {status}", float(after) if after.isdigit() else 0.0)
