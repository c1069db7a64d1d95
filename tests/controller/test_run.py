"""The loop around the core, against a server in this process."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp import web

from fairlead.controller.run import run
from fairlead.kubernetes import Access

LAST = "nodes"


@contextmanager
def served(late: float) -> Iterator[str]:
    """The address of an API server without objects; its list of nodes comes `late` seconds after the others."""

    ended = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        kind = request.path.rpartition("/")[2]
        if "watch" not in request.query:
            if kind == LAST and request.query["limit"] != "1":
                await asyncio.sleep(late)
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": []})
        if "sendInitialEvents" in request.query:
            return web.json_response({"message": "forbidden for watch"}, status=422)
        response = web.StreamResponse()
        await response.prepare(request)
        await ended.wait()
        return response

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def begin() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def logged(address: str) -> list[dict[str, Any]]:
    """What the controller says until nothing is under way."""
    log = io.StringIO()
    assert run(Access(address), log, once=True) == 0
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("late", [0.0, 0.3])
def test_it_says_once_that_it_knows_the_cluster_also_when_one_kind_comes_alone_at_last(late: float) -> None:
    with served(late) as address:
        events = [line["event"] for line in logged(address)]
    assert events.count("synced") == 1
