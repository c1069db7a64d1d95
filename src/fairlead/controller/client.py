"""What the controller reads and writes: lists, watches and our writes.

`Client.follow` is a reflector: it lists a kind, watches from there with bookmarks, resumes where a watch ended, lists
anew when the server has forgotten that version (410), and waits with jitter between failures, or as long as the server
asks. The list comes as the beginning of the watch (a streaming list), in pages where the server does not do that. A
watch that is silent for longer than bookmarks take is given up. Objects are decoded straight into our structs; nothing
else is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final
from urllib.parse import quote

import aiohttp
import msgspec

from fairlead.controller.events import UNKNOWN_OUTCOME, Event, Gone, Kind, Listed, Refused, Seen, Write, Written
from fairlead.controller.wire import at_admission, decode_bookmark, decode_event, decode_list, error_in
from fairlead.kubernetes import Access, AccessError, ServerError, Session
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    KubeObject,
    Node,
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
_LIST: Final = 60.0
"""Seconds for a page of a list, or for a streaming list."""
_DENIED: Final = 5.0
"""Seconds after which we take a refusal to let us read for true: a server that has just started refuses everybody."""
_NO_STREAM: Final = (400, 405, 422, 504)
"""How servers refuse a streaming list that do not do it, or whose cache is far behind the storage."""
_UNACKNOWLEDGED: Final = 4.0
"""Seconds after which a connection is dropped whose other end does not confirm what was sent: as long as a write may
outlive a lead (`election.Timing.write`)."""
_FIRST_DELAY, _LAST_DELAY = 0.8, 8.0

_Emit = Callable[[Event], None]
_Log = Callable[..., None]


class Client:
    """A session with one API server; an asynchronous context manager."""

    def __init__(self, access: Access, log: _Log) -> None:
        """Connects when the first request is made.

        Args:
            access: where the server is, and our credentials.
            log: is told about watches that end badly: an event's name, and fields.
        """
        self._log = log
        self._random = random.Random()
        self._decoders = {
            kind: msgspec.json.Decoder(struct, dec_hook=decode_hook).decode for kind, struct in _TYPES.items()
        }
        self._session = Session(access, _socket, compressed=False)

    async def __aenter__(self) -> Client:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.__aexit__(*error)

    async def cut(self) -> None:
        """Breaks every connection that writes go over: what was not sent or not confirmed will not be sent again."""
        await self._session.cut()

    async def follow(self, kind: Kind, emit: _Emit, known: bool = False) -> None:
        """Tells of all objects of a kind and of what becomes of them, for ever.

        Args:
            kind: which objects.
            emit: takes what is told.
            known: whether we may read the kind, as far as we know, so that a refusal passes.

        Raises:
            ServerError: we may not read the kind.
        """
        denied_at: float | None = None
        failures = 0
        version: str | None = None
        path: str | None = None
        stream = True
        while True:
            after = 0.0
            started = asyncio.get_running_loop().time()
            try:
                if path is None:
                    path = await self._place(kind)
                if path is None:
                    emit(Listed(kind, (), 0))
                    self._log("not served", kind=kind)
                    return
                if version is None and not stream:
                    version, known = await self._list(kind, path, emit), True
                heard = False
                async for latest in self._watch(kind, path, version, emit):
                    version, failures, heard, known = latest, 0, True, True
                if heard or asyncio.get_running_loop().time() - started > _FIRST_DELAY:
                    continue  # the server closes watches after some minutes, and those of clients that are too slow
                problem = "closed at once"
            except ServerError as error:
                if error.status in (401, 403) and not known:
                    denied_at = denied_at or asyncio.get_running_loop().time()
                    if asyncio.get_running_loop().time() - denied_at > _DENIED:
                        raise
                if version is None and stream and error.status in _NO_STREAM:
                    stream = False
                    continue
                if error.status == 410:
                    version = None
                if error.status == 404:
                    path = None  # the server was exchanged for one that serves other versions
                problem, after = f"{error.status} {error}", error.retry_after
            except (aiohttp.ClientError, TimeoutError, OSError, AccessError, msgspec.DecodeError, ValueError) as error:
                problem = f"{type(error).__name__} {error}".strip()
                if version is None and isinstance(error, TimeoutError):
                    stream = False
            failures += 1
            self._log("watch ended", kind=kind, problem=problem, after=asyncio.get_running_loop().time() - started)
            delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 10), _LAST_DELAY)
            await asyncio.sleep(max(after, delay * self._random.uniform(0.5, 1.5)))

    async def pods(self, namespace: str = "") -> Sequence[Pod]:
        """The pods as they are now, of one namespace or of all.

        Raises:
            ServerError: the server refuses.
            aiohttp.ClientError, TimeoutError, OSError, AccessError: it cannot be asked.
        """
        found: list[Pod] = []

        def take(event: Event) -> None:
            if isinstance(event, Listed):
                found.extend(one for one in event.objects if isinstance(one, Pod))

        await self._list("Pod", f"{_CORE}/namespaces/{quote(namespace)}/pods" if namespace else f"{_CORE}/pods", take)
        return found

    async def list(self, kind: Kind) -> Listed:
        """All objects of a kind, once.

        Raises:
            ServerError: the answer is not a success.
            aiohttp.ClientError, TimeoutError, OSError, AccessError: there is no answer.
        """
        events: list[Event] = []
        path = await self._place(kind)
        if path is None:
            return Listed(kind, (), 0)
        await self._list(kind, path, events.append)
        assert isinstance(events[0], Listed)
        return events[0]

    async def send(self, write: Write, seconds: float = _REQUEST) -> Written | Refused:
        """Makes a write; whatever goes wrong is in the answer.

        Args:
            write: what is to be written.
            seconds: how long it may take, for us and for the server, which gives it up after that time.
        """
        method, path, media = "PATCH", "", "application/merge-patch+json"
        match write.purpose:
            case "say":
                method, path, media = "POST", f"{_CORE}/namespaces/{write.namespace}/events", "application/json"
            case "evict":
                method, media = "POST", "application/json"
                path = f"{_CORE}/namespaces/{write.namespace}/pods/{write.name}/eviction"
            case "mark":
                path = f"{_CORE}/namespaces/{write.namespace}/pods/{write.name}/status"
                media = "application/strategic-merge-patch+json"
            case "open":
                path, media = f"{_CORE}/namespaces/{write.namespace}/pods/{write.name}", "application/json-patch+json"
            case _:
                path = f"{_RESOURCE}/v1/namespaces/{write.namespace}/resourceclaims/{write.name}"
                path += "" if write.purpose in ("finalizer", "unprotect", "touch") else "/status"
        body = msgspec.json.encode(write.body)
        try:
            query = {"fieldManager": "fairlead"}
            answer = await self._session.request(method, path, query, body, media, seconds=seconds, bounded=True)
            if write.kind == "Event" or write.purpose == "evict":
                return Written(write, None)
            return Written(write, self._decoders[write.kind](answer))
        except ServerError as error:
            unknown = (error.status >= 500 or error.status == 429) and not at_admission(str(error))
            return Refused(write, UNKNOWN_OUTCOME if unknown else error.status, str(error), error.retry_after)
        except (aiohttp.ClientError, TimeoutError, OSError, AccessError, msgspec.DecodeError) as error:
            return Refused(write, UNKNOWN_OUTCOME, f"{type(error).__name__} {error}".strip())

    async def _place(self, kind: Kind) -> str | None:
        """Where a kind is served; None where a kind that need not be there is not."""
        for path in _PLACES[kind]:
            try:
                await self._session.request("GET", path, {"limit": "1"}, seconds=_LIST)
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
            answer = await self._session.request("GET", path, query, seconds=_LIST)
            with collector_paused():
                page = decode_list(answer)
                objects += [decode(item) for item in page.items or ()]
            if not page.metadata.next:
                version = page.metadata.resource_version
                emit(Listed(kind, objects, int(version)))
                return version
            query["continue"] = page.metadata.next

    async def _watch(self, kind: Kind, path: str, version: str | None, emit: _Emit) -> AsyncIterator[str]:
        """Tells of events until the server ends the watch; yields the version to go on from.

        Without a version it begins with a list of all objects there are.
        """
        decode = self._decoders[kind]
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._random.randint(300, 600)),
        }
        if version is None:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = version
        async with self._session.stream(path, query, _SILENCE) as events:
            if version is None:
                async with asyncio.timeout(_LIST):
                    listed = await self._streamed(kind, events)
                emit(listed)
                yield str(listed.version)
            async for line in events:
                event = decode_event(line)
                match event.type:
                    case "BOOKMARK":
                        yield decode_bookmark(event.object).metadata.resource_version
                        continue
                    case "ERROR":
                        raise error_in(event.object)
                    case "ADDED" | "MODIFIED":
                        item = decode(event.object)
                        emit(Seen(kind, item))
                    case "DELETED":
                        item = decode(event.object)
                        emit(Gone(kind, item))
                    case _:
                        continue
                yield item.metadata.resource_version

    async def _streamed(self, kind: Kind, events: AsyncIterator[bytes]) -> Listed:
        """The list that a watch begins with."""
        decode = self._decoders[kind]
        objects: dict[str, KubeObject] = {}
        with collector_paused():
            async for line in events:
                event = decode_event(line)
                match event.type:
                    case "BOOKMARK":
                        bookmark = decode_bookmark(event.object)
                        if bookmark.ends_list:
                            return Listed(kind, list(objects.values()), int(bookmark.metadata.resource_version))
                    case "ERROR":
                        raise error_in(event.object)
                    case "ADDED" | "MODIFIED":
                        item = decode(event.object)
                        objects[item.key] = item
                    case "DELETED":
                        objects.pop(decode(event.object).key, None)
        raise aiohttp.ClientPayloadError("the watch ended before all objects were told")

    async def request(
        self, method: str, path: str, body: object = None, media: str = "", seconds: float = _LIST
    ) -> bytes:
        """One request for what is not watched.

        Raises:
            ServerError: the answer is not a success.
            aiohttp.ClientError, TimeoutError, OSError, AccessError: there is no answer.
        """
        data = None if body is None else msgspec.json.encode(body)
        return await self._session.request(method, path, {}, data, media, seconds=seconds, bounded=body is not None)


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket of which nothing arrives long after we gave it up, or were killed.

    Without this the kernel goes on sending for minutes what was written to a closed connection.
    """
    made = socket.socket(*address[:3])
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNACKNOWLEDGED * 1000))
    return made
