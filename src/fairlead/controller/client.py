"""The API server over HTTP: lists, watches and our writes.

`Client.follow` is a reflector: it lists a kind, watches from there with bookmarks, resumes where a watch ended, lists
anew when the server has forgotten that version (410), and waits with jitter between failures. A watch that is silent
for longer than bookmarks take is given up. Objects are decoded straight into our structs; nothing else is kept.

Why aiohttp: docs/decisions/009-client.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
import msgspec

from fairlead.controller.access import Access, AccessError
from fairlead.controller.events import UNKNOWN_OUTCOME, Event, Gone, Kind, Listed, Refused, Seen, Write, Written
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    KubeObject,
    Node,
    ObjectMeta,
    Pod,
    PodGroup,
    ResourceClaim,
    ResourceSlice,
    collector_paused,
    decode_hook,
)

_CORE: Final = "/api/v1"
_RESOURCE: Final = "/apis/resource.k8s.io"
_SCHEDULING: Final = "/apis/scheduling.k8s.io"
_TYPES: Final[dict[Kind, type[KubeObject]]] = {
    "Node": Node,
    "Pod": Pod,
    "PodGroup": PodGroup,
    "ResourceClaim": ResourceClaim,
    "ResourceSlice": ResourceSlice,
    "DeviceClass": DeviceClass,
    "DeviceTaintRule": DeviceTaintRule,
}
_PLACES: Final[dict[Kind, tuple[str, ...]]] = {
    "Node": (f"{_CORE}/nodes",),
    "Pod": (f"{_CORE}/pods",),
    "PodGroup": tuple(f"{_SCHEDULING}/{version}/podgroups" for version in ("v1beta1", "v1alpha3", "v1alpha2")),
    "ResourceClaim": (f"{_RESOURCE}/v1/resourceclaims",),
    "ResourceSlice": (f"{_RESOURCE}/v1/resourceslices",),
    "DeviceClass": (f"{_RESOURCE}/v1/deviceclasses",),
    "DeviceTaintRule": tuple(f"{_RESOURCE}/{version}/devicetaintrules" for version in ("v1", "v1beta2", "v1alpha3")),
}
_OPTIONAL: Final[tuple[Kind, ...]] = ("PodGroup", "DeviceTaintRule")
"""Kinds that a cluster need not serve."""
_PAGE: Final = 500
_SILENCE: Final = 150.0
"""Seconds without a byte after which a watch is dead: the server sends a bookmark about every minute."""
_REQUEST: Final = 15.0
"""Seconds for a write."""
_FIRST_DELAY, _LAST_DELAY = 0.8, 30.0

_Emit = Callable[[Event], None]
_Log = Callable[..., None]


class ServerError(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = "0"
    next: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta = _ListMeta()
    items: list[msgspec.Raw] | None = None


class _WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class _Bookmark(msgspec.Struct):
    metadata: ObjectMeta = ObjectMeta()


_decode_event = msgspec.json.Decoder(_WatchEvent).decode


class Client:
    """A session with one API server; an asynchronous context manager."""

    def __init__(self, access: Access, log: _Log) -> None:
        """Connects when the first request is made.

        Args:
            access: where the server is, and our credentials.
            log: is told about watches that end badly: an event's name, and fields.
        """
        self._access = access
        self._log = log
        self._random = random.Random()
        self._decoders = {
            kind: msgspec.json.Decoder(struct, dec_hook=decode_hook).decode for kind, struct in _TYPES.items()
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls if self._access.tls is not None else True)
        self._session = aiohttp.ClientSession(
            connector=connector, read_bufsize=2**20, headers={"User-Agent": "fairlead", "Accept": "application/json"}
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def follow(self, kind: Kind, emit: _Emit) -> None:
        """Tells of all objects of a kind and of what becomes of them, for ever.

        Raises:
            ServerError: we may not read the kind.
        """
        failures = 0
        version: str | None = None
        path: str | None = None
        while True:
            started = asyncio.get_running_loop().time()
            try:
                if path is None:
                    path = await self._place(kind)
                if path is None:
                    emit(Listed(kind, (), 0))
                    self._log("not served", kind=kind)
                    return
                if version is None:
                    version = await self._list(kind, path, emit)
                heard = False
                async for latest in self._watch(kind, path, version, emit):
                    version, failures, heard = latest, 0, True
                if heard or asyncio.get_running_loop().time() - started > _FIRST_DELAY:
                    continue  # the server closes watches after some minutes, and those of clients that are too slow
                problem = "closed at once"
            except ServerError as error:
                if error.status in (401, 403):
                    raise
                if error.status == 410:
                    version = None
                problem = f"{error.status} {error}"
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError, ValueError) as error:
                problem = f"{type(error).__name__} {error}".strip()
            failures += 1
            self._log("watch ended", kind=kind, problem=problem, after=asyncio.get_running_loop().time() - started)
            delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 10), _LAST_DELAY)
            await asyncio.sleep(delay * self._random.uniform(0.5, 1.5))

    async def send(self, write: Write) -> Written | Refused:
        """Makes a write; whatever goes wrong is in the answer."""
        method, path, media = "PATCH", "", "application/merge-patch+json"
        match write.purpose:
            case "say":
                method, path, media = "POST", f"{_CORE}/namespaces/{write.namespace}/events", "application/json"
            case "evict":
                method, media = "POST", "application/json"
                path = f"{_CORE}/namespaces/{write.namespace}/pods/{write.name}/eviction"
            case "open":
                path, media = f"{_CORE}/namespaces/{write.namespace}/pods/{write.name}", "application/json-patch+json"
            case _:
                path = f"{_RESOURCE}/v1/namespaces/{write.namespace}/resourceclaims/{write.name}"
                path += "" if write.purpose in ("finalizer", "unprotect") else "/status"
        body = msgspec.json.encode(write.body)
        try:
            answer = await self._request(method, path, {"fieldManager": "fairlead"}, body, media)
        except ServerError as error:
            unknown = error.status >= 500 or error.status == 429
            return Refused(write, UNKNOWN_OUTCOME if unknown else error.status, str(error))
        except (aiohttp.ClientError, TimeoutError, OSError, AccessError) as error:
            return Refused(write, UNKNOWN_OUTCOME, f"{type(error).__name__} {error}".strip())
        if write.kind == "Event" or write.purpose == "evict":
            return Written(write, None)
        return Written(write, self._decoders[write.kind](answer))

    async def _place(self, kind: Kind) -> str | None:
        """Where a kind is served; None where a kind that need not be there is not."""
        for path in _PLACES[kind]:
            try:
                await self._request("GET", path, {"limit": "1"})
            except ServerError as error:
                if error.status == 404 and kind in _OPTIONAL:
                    continue
                raise
            return path
        return None

    async def _list(self, kind: Kind, path: str, emit: _Emit) -> str:
        decode = self._decoders[kind]
        objects: list[KubeObject] = []
        query = {"limit": str(_PAGE)}
        while True:
            answer = await self._request("GET", path, query)
            with collector_paused():
                page = msgspec.json.decode(answer, type=_List)
                objects += [decode(item) for item in page.items or ()]
            if not page.metadata.next:
                version = page.metadata.resource_version
                emit(Listed(kind, objects, int(version)))
                return version
            query["continue"] = page.metadata.next

    async def _watch(self, kind: Kind, path: str, version: str, emit: _Emit) -> AsyncIterator[str]:
        """Tells of events until the server ends the watch; yields the version to go on from."""
        decode = self._decoders[kind]
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self._random.randint(300, 600)),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST, sock_read=_SILENCE)
        assert self._session is not None
        url = self._access.server + path
        async with self._session.get(url, params=query, headers=self._headers(), timeout=timeout) as response:
            if response.status != 200:
                raise _error(response.status, await response.read())
            async for line in _lines(response.content):
                event = _decode_event(line)
                match event.type:
                    case "BOOKMARK":
                        yield msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
                        continue
                    case "ERROR":
                        status = msgspec.json.decode(event.object, type=_Status)
                        raise ServerError(status.code, status.message)
                    case "ADDED" | "MODIFIED":
                        item = decode(event.object)
                        emit(Seen(kind, item))
                    case "DELETED":
                        item = decode(event.object)
                        emit(Gone(kind, item))
                    case _:
                        continue
                yield item.metadata.resource_version

    def _headers(self) -> dict[str, str]:
        token = self._access.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _request(
        self, method: str, path: str, query: dict[str, str], body: bytes | None = None, media: str = ""
    ) -> bytes:
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = media
        timeout = aiohttp.ClientTimeout(total=_REQUEST if body is not None else 60.0)
        assert self._session is not None
        async with self._session.request(
            method, self._access.server + path, params=query, data=body, headers=headers, timeout=timeout
        ) as response:
            answer = await response.read()
            if response.status >= 300:
                raise _error(response.status, answer)
            return answer


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream, however long: an object may be larger than a reader's own limit for lines."""
    rest = bytearray()
    async for chunk in stream.iter_any():
        rest += chunk
        *lines, last = rest.split(b"\n")
        rest = bytearray(last)
        for line in lines:
            if line:
                yield bytes(line)


def _error(status: int, answer: bytes) -> ServerError:
    try:
        message = msgspec.json.decode(answer, type=_Status).message
    except msgspec.DecodeError:
        message = answer[:200].decode(errors="replace")
    return ServerError(status, message or f"HTTP {status}")
