"""The publisher when the API server fails, on answers that a real one gives rarely; the rest is in tests/cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from fairlead.driver.api import ApiError
from fairlead.driver.author import Pool
from fairlead.driver.publisher import Publisher
from fairlead.resource import Device


class Script:
    """An API server that holds slices and fails as it is told."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.errors: list[ApiError] = []
        self.streams = 0
        self.lists = 0
        self.line = asyncio.Queue[bytes]()

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = ""
    ) -> bytes:
        if path.startswith("/api/v1/nodes/"):
            return b'{"metadata":{"uid":"n"}}'
        if method == "GET":
            self.lists += 1
            return json.dumps({"metadata": {"resourceVersion": "7"}, "items": list(self.items.values())}).encode()
        if self.errors:
            raise self.errors.pop(0)
        if method == "DELETE":
            del self.items[path.rpartition("/")[2]]
            return b"{}"
        assert body is not None
        item = json.loads(body)
        self.items[item["metadata"]["name"]] = item
        return body

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        assert query["resourceVersion"] == "7"
        self.streams += 1
        while True:
            line = await self.line.get()
            if line == b"":
                raise ApiError(0, "connection reset")
            yield line


async def told(api: Script, log: list[dict[str, Any]], enough: Any, keeps: Any = lambda pool, devices: False) -> None:
    """Runs a publisher until something is so."""
    changed = asyncio.Event()

    def pools() -> list[Pool]:
        return [Pool([Device(name="d")], name="p")]

    publisher = Publisher(
        api,
        "d.example.com",
        "n",
        pools,
        changed,
        False,
        lambda: True,
        lambda event, **more: log.append({"e": event} | more),
        keeps=keeps,
    )
    task = asyncio.create_task(publisher.run())
    async with asyncio.timeout(20):
        while not enough():
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_a_server_that_asks_to_wait_is_given_the_time() -> None:
    async def story() -> None:
        api, log = Script(), list[dict[str, Any]]()
        api.errors = [ApiError(429, "slow down", 1.0), ApiError(409, "conflict"), ApiError(500, "etcd")]
        began = asyncio.get_running_loop().time()
        await told(api, log, lambda: api.items)
        assert asyncio.get_running_loop().time() - began >= 1.0
        assert [one["problem"] for one in log if one["e"] == "slices not published"] == [
            "429 slow down",
            "409 conflict",
            "500 etcd",
        ]

    asyncio.run(story())


def test_a_watch_whose_version_is_forgotten_starts_from_a_new_list() -> None:
    async def story() -> None:
        api = Script()
        api.line.put_nowait(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}')
        await told(api, [], lambda: api.streams == 2 and api.items)

    asyncio.run(story())


def test_a_watch_that_breaks_off_is_started_again() -> None:
    async def story() -> None:
        api, log = Script(), list[dict[str, Any]]()
        api.line.put_nowait(b"")
        await told(api, log, lambda: api.streams == 2)
        assert {"e": "watch ended", "problem": "connection reset"} in log

    asyncio.run(story())


def test_a_slice_that_somebody_removes_is_made_again() -> None:
    async def story() -> None:
        api = Script()
        removed: list[str] = []

        def enough() -> bool:
            if api.items and not removed:
                removed.extend(api.items)
                api.items.clear()
                api.line.put_nowait(b'{"type":"DELETED","object":{}}')
            return bool(removed and api.items)

        await told(api, [], enough)

    asyncio.run(story())


def test_pools_of_which_it_is_not_known_what_became_stay() -> None:
    def left(name: str) -> dict[str, Any]:
        pool = {"name": name, "generation": 3, "resourceSliceCount": 1}
        spec = {"driver": "d.example.com", "nodeName": "n", "pool": pool, "devices": [{"name": f"{name}-0"}]}
        return {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "spec": spec}

    async def story() -> None:
        api = Script()
        api.items = {name: left(name) for name in ("kept", "gone")}
        await told(
            api,
            [],
            lambda: len(api.items) == 2 and "gone" not in api.items,
            lambda pool, devices: [pool, *(one.name for one in devices)] == ["kept", "kept-0"],
        )
        assert api.items.pop("kept") == left("kept")
        (new,) = api.items.values()
        assert new["spec"]["pool"]["name"] == "p"

    asyncio.run(story())
