"""The reflector against a server in this process that can close watches, forget versions and refuse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from fairlead.controller import UNKNOWN_OUTCOME, Event, Gone, Listed, Refused, Seen, Write, Written
from fairlead.controller.client import Client
from fairlead.kubernetes import Access, Credentials, ServerError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def item(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version), "uid": f"uid-{name}"}}


class Server:
    """Says what a test tells it to; remembers what it was asked."""

    def __init__(self) -> None:
        self.lists: list[web.Response] = []
        self.streams: list[list[dict[str, Any]] | web.Response] | None = None
        """Watches that begin with a list; None where the server does not do that."""
        self.watches: list[list[dict[str, Any]] | int] = []
        self.asked: list[dict[str, str]] = []
        self.patches: list[tuple[str, str, Any]] = []
        self.answer = web.json_response({})

    async def nodes(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            if request.query.get("limit") == "1":
                return web.json_response({})  # whether it is served
            return self.lists.pop(0)
        if "sendInitialEvents" in request.query:
            if self.streams is None:
                return web.json_response({"message": "sendInitialEvents is forbidden"}, status=422)
            stream = self.streams.pop(0)
            if isinstance(stream, web.Response):
                return stream
            return await self.tell(request, stream, keep=not self.streams)
        script = self.watches.pop(0) if self.watches else None
        if isinstance(script, int):
            return web.json_response({"message": "too old", "code": script}, status=script)
        return await self.tell(request, script or [], keep=script is None)

    async def tell(self, request: web.Request, script: list[dict[str, Any]], keep: bool) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in script:
            await response.write(json.dumps(event).encode() + b"\n")
        if keep:
            await asyncio.sleep(30)
        return response

    async def patch(self, request: web.Request) -> web.StreamResponse:
        self.patches.append((request.path, request.content_type, await request.json()))
        return self.answer


def listed(version: int, *names: str, more: str = "") -> web.Response:
    meta = {"resourceVersion": str(version), "continue": more}
    return web.json_response({"metadata": meta, "items": [item(name, version) for name in names]})


def added(name: str, version: int) -> dict[str, Any]:
    return {"type": "ADDED", "object": item(name, version)}


def bookmark(version: int, ends_list: bool = False) -> dict[str, Any]:
    made = item("", version)
    if ends_list:
        made["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"type": "BOOKMARK", "object": made}


def talk(server: Server, enough: int, write: Write | None = None) -> tuple[list[Event], Any]:
    """The first events that come of following nodes, and the answer to a write."""

    async def run() -> tuple[list[Event], Any]:
        app = web.Application()
        app.router.add_get("/api/v1/nodes", server.nodes)
        app.router.add_patch("/{path:.*}", server.patch)
        app.router.add_post("/{path:.*}", server.patch)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        events: list[Event] = []
        done = asyncio.Event()

        def emit(event: Event) -> None:
            events.append(event)
            if len(events) >= enough:
                done.set()

        try:
            async with Client(
                Access(f"http://127.0.0.1:{port}", None, Credentials("secret")), lambda *_, **__: None
            ) as one:
                if write is not None:
                    return events, await one.send(write)
                task = asyncio.create_task(one.follow("Node", emit))
                waiting = asyncio.create_task(done.wait())
                await asyncio.wait({task, waiting}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if task.done():
                    await task
                task.cancel()
                return events, None
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def told(events: list[Event]) -> list[str]:
    """What came, in a word each."""
    words = []
    for event in events:
        match event:
            case Listed(_, objects, version):
                words.append(f"list@{version}:{','.join(one.name for one in objects)}")
            case Seen(_, one):
                words.append(f"{one.name}@{one.metadata.resource_version}")
            case Gone(_, one):
                words.append(f"-{one.name}")
    return words


def test_it_lists_in_pages_then_watches_from_there() -> None:
    server = Server()
    server.lists = [listed(7, "a", more="next"), listed(7, "b")]
    server.watches = [[{"type": "ADDED", "object": item("c", 8)}, {"type": "DELETED", "object": item("a", 9)}]]
    events, _ = talk(server, 3)
    assert told(events) == ["list@7:a,b", "c@8", "-a"]
    assert [one.get("continue") for one in server.asked if "watch" not in one] == [None, None, "next"]
    assert next(one["resourceVersion"] for one in server.asked if "resourceVersion" in one) == "7"


def test_a_streaming_list_is_one_list_and_the_watch_goes_on_from_it() -> None:
    server = Server()
    gone = {"type": "DELETED", "object": item("b", 6)}
    server.streams = [[added("a", 3), bookmark(5), added("b", 4), gone, bookmark(7, ends_list=True), added("c", 8)]]
    events, _ = talk(server, 2)
    assert told(events) == ["list@7:a", "c@8"]
    (asked,) = [one for one in server.asked if "watch" in one]
    assert (asked["resourceVersionMatch"], "resourceVersion" in asked) == ("NotOlderThan", False)


def test_a_streaming_list_that_breaks_off_tells_nothing_and_is_begun_anew() -> None:
    server = Server()
    server.streams = [[added("a", 3)], [added("b", 4), bookmark(9, ends_list=True)]]
    events, _ = talk(server, 1)
    assert told(events) == ["list@9:b"]


@pytest.mark.parametrize("status", [400, 422])
def test_where_the_server_does_no_streaming_lists_pages_are_asked_for(status: int) -> None:
    server = Server()
    server.streams = [web.json_response({"message": "forbidden for watch"}, status=status)]
    server.lists = [listed(7, "a")]
    server.watches = [[added("b", 8)]]
    events, _ = talk(server, 2)
    assert told(events) == ["list@7:a", "b@8"]


def test_a_server_that_refuses_everybody_while_it_starts_is_asked_again() -> None:
    server = Server()
    server.lists = [web.json_response({"message": "nodes is forbidden"}, status=403), listed(7, "a")]
    events, _ = talk(server, 1)
    assert told(events) == ["list@7:a"]


def test_once_it_knows_a_kind_a_server_that_does_not_know_our_rights_is_asked_again() -> None:
    server = Server()
    server.lists = [listed(7, "a")]
    server.watches = [403, [added("b", 8)]]
    events, _ = talk(server, 2)
    assert told(events) == ["list@7:a", "b@8"]


def test_a_watch_that_ends_goes_on_from_the_last_event_or_bookmark() -> None:
    server = Server()
    server.lists = [listed(7, "a")]
    server.watches = [
        [{"type": "MODIFIED", "object": item("a", 8)}, {"type": "BOOKMARK", "object": item("", 20)}],
        [{"type": "MODIFIED", "object": item("a", 21)}],
    ]
    events, _ = talk(server, 3)
    assert told(events) == ["list@7:a", "a@8", "a@21"]
    assert [one["resourceVersion"] for one in server.asked if "resourceVersion" in one][:2] == ["7", "20"]


@pytest.mark.parametrize("how", ["status", "event"])
def test_a_forgotten_version_is_listed_anew(how: str) -> None:
    server = Server()
    server.lists = [listed(7, "a"), listed(30, "b")]
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
    server.watches = [410 if how == "status" else [gone]]
    events, _ = talk(server, 2)
    assert told(events) == ["list@7:a", "list@30:b"]


def test_an_object_larger_than_any_buffer_comes_whole() -> None:
    large = item("a", 8)
    large["metadata"]["annotations"] = {"text": "x" * 3_000_000}
    server = Server()
    server.lists = [listed(7)]
    server.watches = [[{"type": "ADDED", "object": large}]]
    events, _ = talk(server, 2)
    assert told(events) == ["list@7:", "a@8"]


def test_what_we_may_not_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.controller.client._DENIED", -1.0)
    server = Server()
    server.lists = [web.json_response({"message": "nodes is forbidden"}, status=403)]
    with pytest.raises(ServerError, match="nodes is forbidden"):
        talk(server, 1)


@pytest.mark.parametrize(("status", "known"), [(409, 409), (422, 422), (404, 404), (403, 403), (500, 0), (429, 0)])
def test_a_refusal_is_known_or_its_outcome_is_not(status: int, known: int) -> None:
    server = Server()
    server.answer = web.json_response({"message": "no", "code": status}, status=status)
    write = Write("clear", "ResourceClaim", "ml", "a", "uid", 3, {"status": None})
    _, answer = talk(server, 0, write)
    assert isinstance(answer, Refused)
    assert (answer.status, answer.message) == (known, "no")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, 'Internal error occurred: failed calling webhook "lock.fairlead.dev": EOF'),
        (503, 'admission webhook "lock.fairlead.dev" denied the request: try again'),
    ],
)
def test_what_admission_refused_was_not_done_whatever_the_status(status: int, message: str) -> None:
    server = Server()
    server.answer = web.json_response({"message": message, "code": status}, status=status)
    _, answer = talk(server, 0, Write("clear", "ResourceClaim", "ml", "a", "uid", 3, {"status": None}))
    assert isinstance(answer, Refused)
    assert answer.status == status


def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown() -> None:
    server = Server()
    server.answer = web.Response(text="{")
    _, answer = talk(server, 0, Write("clear", "ResourceClaim", "ml", "a", "uid", 3, {"status": None}))
    assert isinstance(answer, Refused)
    assert answer.status == UNKNOWN_OUTCOME


def test_a_server_that_is_busy_says_for_how_long() -> None:
    server = Server()
    server.answer = web.json_response({"message": "busy"}, status=429, headers={"Retry-After": "7"})
    _, answer = talk(server, 0, Write("clear", "ResourceClaim", "ml", "a", "uid", 3, {"status": None}))
    assert isinstance(answer, Refused)
    assert (answer.status, answer.retry_after) == (UNKNOWN_OUTCOME, 7)


@pytest.mark.parametrize(
    ("purpose", "kind", "path", "media"),
    [
        ("finalizer", "ResourceClaim", "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims/a", "merge-patch+json"),
        (
            "allocate",
            "ResourceClaim",
            "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims/a/status",
            "merge-patch+json",
        ),
        ("open", "Pod", "/api/v1/namespaces/ml/pods/a", "json-patch+json"),
        ("mark", "Pod", "/api/v1/namespaces/ml/pods/a/status", "strategic-merge-patch+json"),
        ("say", "Event", "/api/v1/namespaces/ml/events", "json"),
    ],
)
def test_each_write_goes_to_its_place(purpose: Any, kind: Any, path: str, media: str) -> None:
    server = Server()
    server.answer = web.json_response(item("a", 4))
    _, answer = talk(server, 0, Write(purpose, kind, "ml", "a", "uid", 3, {"x": 1}))
    assert isinstance(answer, Written)
    assert server.patches == [(path, f"application/{media}", {"x": 1})]


def test_cutting_breaks_a_write_with_a_reset_so_that_nothing_of_it_arrives_later() -> None:
    async def run() -> tuple[str, Any, bytes]:
        heard = asyncio.Event()
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        request = b""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal request
            request = await reader.readuntil(b"\r\n")
            heard.set()
            try:
                while await reader.read(1000):
                    pass
                ended.set_result("closed")
            except ConnectionResetError:
                ended.set_result("reset")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Client(Access(f"http://127.0.0.1:{port}"), lambda *_, **__: None) as client:
            write = Write("clear", "ResourceClaim", "ml", "a", "uid", 3, {"status": None})
            sending = asyncio.create_task(client.send(write, 7))
            await heard.wait()
            await client.cut()
            result = await asyncio.wait_for(ended, 5), await sending, request
        server.close()
        return result

    how, answer, request = asyncio.run(run())
    assert how == "reset"
    assert isinstance(answer, Refused)
    assert answer.status == 0
    seconds = request.decode().split("timeout=")[1].split("s")[0]
    assert 6 < float(seconds) <= 7, "the server gives the write up as well"
