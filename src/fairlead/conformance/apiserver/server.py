"""The stand-in's HTTP: paths and verbs of the Kubernetes API to the store, with watches, patches and discovery.

Answers are JSON; a client that takes nothing but protobuf gets 406. What clients write may be either. Whoever asks may
do everything: rights are not what is judged here.

Every request is written down (`calls`), and may be answered by a `Fault` instead.

Source: the API conventions of Kubernetes, and what client-go 0.36 asks of a server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import yaml
from aiohttp import web

from fairlead.conformance.apiserver.discovery import describe
from fairlead.conformance.apiserver.patches import PatchError, apply, json_patch, merge, strategic_merge
from fairlead.conformance.apiserver.protobuf import MEDIA, ProtobufError, read
from fairlead.conformance.apiserver.resources import RESOURCES, Resource
from fairlead.conformance.apiserver.rules import Json
from fairlead.conformance.apiserver.selectors import matcher
from fairlead.conformance.apiserver.store import Change, RefusedError, Store

JSON: Final = "application/json"
_BOOKMARK_EVERY: Final = 5.0
_REASONS: Final = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 409: "Conflict"}
_NAMES: Final = ("json", "merge", "strategic-merge", "apply")


@dataclass(slots=True)
class Call:
    """One request of a client."""

    at: float
    """Of `time.monotonic`."""
    method: str
    resource: str
    """Plural, `/status` behind it for that part; the path for what is no resource."""
    namespace: str
    name: str
    status: int = 0
    message: str = ""
    injected: bool = False


@dataclass(slots=True, eq=False)
class Fault:
    """What happens to requests instead of being answered."""

    match: Callable[[Call], bool]
    status: int = 500
    """The answer; 0 to answer as usual once `release` is set."""
    times: int = -1
    """How many requests; below zero for all."""
    retry_after: int = 0
    release: asyncio.Event | None = None
    """Requests wait for it first."""
    hits: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, taken apart."""

    resource: Resource
    namespace: str
    name: str
    part: str


class ApiServer:
    """The stand-in; an asynchronous context manager that listens on loopback."""

    def __init__(self, store: Store, port: int = 0) -> None:
        """Listens when entered.

        Args:
            store: the objects.
            port: to listen on; any free one for 0.
        """
        self.store: Final = store
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.address = ""
        self._port = port
        self._applied: dict[tuple[str, str], dict[str, Json]] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> ApiServer:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._runner is not None
        for fault in self.faults:
            if fault.release is not None:
                fault.release.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(time.monotonic(), request.method, request.path, "", "")
        self.calls.append(call)
        try:
            _check_media(request)
            if (found := describe(request.path)) is not None:
                call.status = 200
                return web.json_response(found)
            asked = _take_apart(request.path)
            call.resource = asked.resource.plural + (f"/{asked.part}" if asked.part else "")
            call.namespace, call.name = asked.namespace, asked.name
            if request.method == "GET" and request.query.get("watch") in ("1", "true"):
                call.method = "WATCH"
            if (fault := await self._faulty(call)) is not None:
                call.injected = True
                call.status = fault.status
                return _failure(fault.status, _REASONS.get(fault.status, "Unknown"), "injected", fault.retry_after)
            if call.method == "WATCH":
                call.status = 200
                return await self._watch(request, asked)
            call.status, body = await self._answer(request, asked)
            return web.json_response(body, status=call.status)
        except RefusedError as error:
            call.status, call.message = error.status, str(error)
            return _failure(error.status, error.reason, str(error), details=error.details)

    async def _faulty(self, call: Call) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and fault.match(call):
                fault.times -= 1
                fault.hits += 1
                if fault.release is not None:
                    await fault.release.wait()
                return fault if fault.status else None
        return None

    async def _answer(self, request: web.Request, asked: _Asked) -> tuple[int, Json]:
        resource, store = asked.resource, self.store
        if request.method == "GET":
            if asked.name:
                return 200, store.get(resource, asked.namespace, asked.name)
            return 200, self._list(request, asked)
        dry = bool(request.query.getall("dryRun", []))
        if request.method == "DELETE":
            options = await _body(request, empty=True)
            if asked.name:
                return 200, store.delete(resource, asked.namespace, asked.name, options, "driver")
            for item in self._list(request, asked)["items"]:
                meta = item["metadata"]
                store.delete(resource, meta.get("namespace", ""), meta["name"], {}, "driver")
            return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        if request.method == "POST" and not asked.name:
            given = await _body(request)
            _check_kind(resource, given)
            return 201, given if dry else store.create(resource, asked.namespace, given, "driver")
        if request.method == "PUT" and asked.name:
            given = await _body(request)
            _check_kind(resource, given)
            if dry:
                return 200, given
            return 200, store.update(resource, asked.namespace, asked.name, given, asked.part, "driver")
        if request.method == "PATCH" and asked.name:
            return await self._patch(request, asked)
        raise RefusedError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")

    def _list(self, request: web.Request, asked: _Asked) -> Json:
        version = request.query.get("resourceVersion", "")
        if request.query.get("resourceVersionMatch") == "Exact" and version not in ("", str(self.store.version)):
            raise RefusedError(410, "Expired", f"too old resource version: {version}")
        matches = _matcher(request, asked)
        items = [item for item in self.store.list(asked.resource, asked.namespace) if matches(item)]
        return {
            "kind": f"{asked.resource.kind}List",
            "apiVersion": asked.resource.api_version,
            "metadata": {"resourceVersion": str(self.store.version)},
            "items": items,
        }

    async def _patch(self, request: web.Request, asked: _Asked) -> tuple[int, Json]:
        resource, store = asked.resource, self.store
        kind = request.content_type.removeprefix("application/").removesuffix("+json").removesuffix("+yaml")
        kind = kind.removesuffix("-patch")
        if kind not in _NAMES:
            raise RefusedError(415, "UnsupportedMediaType", f"{request.content_type}: is no kind of patch")
        patch = await _body(request)
        if kind == "apply":
            return self._apply(request, asked, patch)
        current = store.get(resource, asked.namespace, asked.name)
        try:
            change: Any = {"json": json_patch, "merge": merge, "strategic-merge": strategic_merge}[kind]
            patched = change(current, patch)
        except PatchError as error:
            raise RefusedError(422, "Invalid", str(error)) from None
        # A patch that names no version is tried on whatever is there.
        return 200, store.update(resource, asked.namespace, asked.name, patched, asked.part, "driver")

    def _apply(self, request: web.Request, asked: _Asked, given: Json) -> tuple[int, Json]:
        manager = request.query.get("fieldManager", "")
        if not manager:
            raise RefusedError(422, "Invalid", "fieldManager: Required value: is required for apply patch")
        resource, store = asked.resource, self.store
        _check_kind(resource, given)
        key = (f"{resource.plural}/{asked.part}", f"{asked.namespace}/{asked.name}")
        try:
            current = store.get(resource, asked.namespace, asked.name)
        except RefusedError:
            if asked.part:
                raise
            created = store.create(resource, asked.namespace, given, "driver")
            self._applied[key] = {manager: given}
            return 201, created
        managers = self._applied.setdefault(key, {})
        others = [one for name, one in managers.items() if name != manager]
        applied = {k: v for k, v in given.items() if k != "status"} if not asked.part else given
        meta = applied.get("metadata") or {}
        result = apply(current, applied, managers.get(manager), others)
        result["metadata"] = {
            **result["metadata"],
            **{k: v for k, v in meta.items() if k in ("uid", "resourceVersion")},
        }
        stored = store.update(resource, asked.namespace, asked.name, result, asked.part, "driver")
        managers[manager] = applied
        return 200, stored

    async def _watch(self, request: web.Request, asked: _Asked) -> web.StreamResponse:
        matches = _matcher(request, asked)
        given = request.query.get("resourceVersion", "")
        initial = request.query.get("sendInitialEvents") == "true"
        bookmarks = request.query.get("allowWatchBookmarks") in ("1", "true")
        since = self.store.version if initial or given in ("", "0") else int(given) if given.isdecimal() else -1
        if since < 0:
            raise RefusedError(400, "BadRequest", f"resourceVersion: {given!r}: is none")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        seconds = float(request.query.get("timeoutSeconds") or 600)
        try:
            await response.prepare(request)
            async with asyncio.timeout(seconds):
                if initial or given in ("", "0"):
                    for item in self.store.list(asked.resource, asked.namespace):
                        if matches(item):
                            await _send(response, "ADDED", item)
                    if initial:
                        await _send(response, "BOOKMARK", _bookmark(asked.resource, since, initial=True))
                async for line in self._events(asked, since, matches, bookmarks):
                    await _send(response, *line)
        except TimeoutError:
            pass  # a watch ends like this, and the client opens another
        except ConnectionResetError:
            return response
        await response.write_eof()
        return response

    async def _events(
        self, asked: _Asked, since: int, matches: Callable[[Json], bool], bookmarks: bool
    ) -> AsyncIterator[tuple[str, Json]]:
        while True:
            if since < self.store.oldest:
                status = _status(410, "Expired", f"too old resource version: {since} ({self.store.oldest})")
                yield "ERROR", status
                return
            for change in self.store.changes(asked.resource, since):
                since = change.version
                if asked.namespace in ("", change.item["metadata"].get("namespace", "")):
                    verb = _seen(change, matches)
                    if verb:
                        yield verb, change.item
            since = max(since, self.store.version)
            try:
                async with asyncio.timeout(_BOOKMARK_EVERY):
                    await self.store.wait()
            except TimeoutError:
                if bookmarks:
                    yield "BOOKMARK", _bookmark(asked.resource, since)


def _seen(change: Change, matches: Callable[[Json], bool]) -> str:
    """What a watch with a selector shows of a change; empty for nothing."""
    before = change.before is not None and matches(change.before)
    after = change.after is not None and matches(change.after)
    if after:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _bookmark(resource: Resource, version: int, initial: bool = False) -> Json:
    meta: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if initial:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    item: Json = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
    if resource.plural == "resourceslices":
        item["spec"] = {"driver": "", "pool": {"name": "", "generation": 0, "resourceSliceCount": 0}}
    return item


async def _send(response: web.StreamResponse, verb: str, item: Json) -> None:
    await response.write(json.dumps({"type": verb, "object": item}).encode() + b"\n")


def _matcher(request: web.Request, asked: _Asked) -> Callable[[Json], bool]:
    query = request.query
    fields = query.get("fieldSelector", "")
    if asked.name:
        fields = f"{fields},metadata.name={asked.name}"
    return matcher(asked.resource, fields, query.get("labelSelector", ""))


def _take_apart(path: str) -> _Asked:
    parts = [part for part in path.split("/") if part]
    group = ""
    if parts[:2] == ["api", "v1"]:
        version, rest = "v1", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise RefusedError(404, "NotFound", "the server could not find the requested resource")
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, part = (*rest, "", "", "")[:3]
    found = [one for one in RESOURCES if (one.group, one.version, one.plural) == (group, version, plural)]
    if not found or len(rest) > 3 or part not in ("", "status"):
        raise RefusedError(404, "NotFound", "the server could not find the requested resource")
    return _Asked(found[0], namespace, name, part)


def _check_media(request: web.Request) -> None:
    accept = request.headers.get("Accept", "")
    if accept and not any(kind in accept for kind in ("json", "*/*", "application/*", "text/plain")):
        raise RefusedError(406, "NotAcceptable", "only application/json is served here")
    taken = (JSON, "application/octet-stream", "application/yaml", MEDIA)
    if request.can_read_body and request.method in ("POST", "PUT") and request.content_type not in taken:
        raise RefusedError(415, "UnsupportedMediaType", f"{request.content_type}: is none of {', '.join(taken)}")


def _check_kind(resource: Resource, given: Json) -> None:
    kind, version = given.get("kind", resource.kind), given.get("apiVersion", resource.api_version)
    if kind not in ("", resource.kind) or version not in ("", resource.api_version):
        raise RefusedError(
            400, "BadRequest", f"{version}, {kind}: does not match {resource.api_version}, {resource.kind}"
        )


async def _body(request: web.Request, empty: bool = False) -> Any:
    data = await request.read()
    if not data and empty:
        return {}
    if request.content_type == MEDIA:
        try:
            return read(data)
        except ProtobufError as error:
            raise RefusedError(415, "UnsupportedMediaType", str(error)) from None
    try:
        value = yaml.safe_load(data) if "yaml" in request.content_type and data[:1] != b"{" else json.loads(data)
    except (ValueError, yaml.YAMLError) as error:
        raise RefusedError(400, "BadRequest", f"the body cannot be read: {error}") from None
    if not isinstance(value, dict) and "json-patch" not in request.content_type:
        raise RefusedError(400, "BadRequest", "the body is no object")
    return value


def _status(code: int, reason: str, message: str) -> Json:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _failure(code: int, reason: str, message: str, retry_after: int = 0, details: Json | None = None) -> web.Response:
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    body = _status(code, reason, message) | ({"details": details} if details else {})
    if retry_after:
        body["details"] = {"retryAfterSeconds": retry_after}
    return web.json_response(body, status=code, headers=headers)
