"""What the API server's answers look like: lists, watch events, errors, and the lines of a watch.

Objects in lists and events stay undecoded here; whoever knows their kind decodes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
import msgspec

from fairlead.resource import ObjectMeta

_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends a streaming list."""


class ServerError(Exception):
    """The API server answered with an error; `retry_after` is how many seconds it asks to be left alone."""

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


def at_admission(message: str) -> bool:
    """Whether an error says that an admission webhook did not let a write pass: it was not stored."""
    return "admission webhook " in message or "failed calling webhook " in message


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Of which version a list is, and where its next page begins."""

    resource_version: str = "0"
    next: str = msgspec.field(default="", name="continue")


class List(msgspec.Struct):
    """A page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class Bookmark(msgspec.Struct):
    """How far a watch has come."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def ends_list(self) -> bool:
        """Whether all objects that there were when the watch began have been told."""
        return self.metadata.annotations.get(_INITIAL_EVENTS_END) == "true"


decode_event = msgspec.json.Decoder(WatchEvent).decode
decode_bookmark = msgspec.json.Decoder(Bookmark).decode
decode_list = msgspec.json.Decoder(List).decode


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
        message = msgspec.json.decode(answer, type=_Status).message
    except msgspec.DecodeError:
        message = answer[:200].decode(errors="replace")
    after = headers.get("Retry-After", "")
    return ServerError(status, message or f"HTTP {status}", float(after) if after.isdigit() else 0.0)


def error_in(event: msgspec.Raw) -> ServerError:
    """What an ERROR event of a watch says."""
    status = msgspec.json.decode(event, type=_Status)
    return ServerError(status.code, status.message)
