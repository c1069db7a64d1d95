"""The transport to an API server: tokens that run out, errors, and answers that break off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fairlead.driver.api import ApiError
from fairlead.driver.http import HttpApi
from fairlead.kubernetes import Access


class Tokens:
    """A token that is exchanged when it is refused; the new one takes new connections where `anew` says so."""

    def __init__(self, *tokens: str, anew: bool = False) -> None:
        self.tokens = list(tokens)
        self.anew = anew
        self.stale = False
        self.renewed = 0

    @property
    def token(self) -> str:
        return self.tokens[0]

    def refused(self, token: str) -> bool:
        self.stale = token == self.token and len(self.tokens) > 1
        return True

    def renew(self) -> bool:
        del self.tokens[0]
        self.stale = False
        self.renewed += 1
        return self.anew


def told(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], story: Callable[[str], Awaitable[None]]
) -> None:
    """Runs a story with the address of a server."""

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            await story(str(server.make_url("")).rstrip("/"))

    asyncio.run(run())


async def only_new(request: web.Request) -> web.Response:
    """Answers those who have the new token."""
    if request.headers.get("Authorization") != "Bearer new":
        return web.json_response({"kind": "Status", "message": "Unauthorized"}, status=401)
    return web.Response(body=await request.read() or b"{}")


@pytest.mark.parametrize("anew", [False, True])
def test_a_refused_token_is_renewed_and_the_request_made_again(anew: bool) -> None:
    async def story(server: str) -> None:
        tokens = Tokens("old", "new", anew=anew)
        async with HttpApi(Access(server, None, tokens)) as api:
            assert await api.request("PUT", "/x", {}, b"body") == b"body"
            assert await api.request("GET", "/x", {}) == b"{}"
        assert tokens.renewed == 1

    told(only_new, story)


def test_a_token_that_stays_refused_is_told() -> None:
    async def story(server: str) -> None:
        async with HttpApi(Access(server, None, Tokens("old"))) as api:
            with pytest.raises(ApiError, match="401 Unauthorized"):
                await api.request("GET", "/x", {})
            with pytest.raises(ApiError, match="401 Unauthorized"):
                await anext(aiter(api.stream("/x", {})))

    told(only_new, story)


def test_the_time_that_a_server_asks_for() -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})

    async def story(server: str) -> None:
        async with HttpApi(Access(server, None, Tokens(""))) as api:
            with pytest.raises(ApiError) as caught:
                await api.request("GET", "/x", {})
            assert (caught.value.status, caught.value.retry_after) == (429, 7.0)

    told(busy, story)


def test_lines_come_as_they_are_sent_until_the_answer_breaks_off() -> None:
    async def lines(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        for part in (b"one\ntw", b"o\n", b"thr"):
            await response.write(part)
            await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()
        return response

    async def story(server: str) -> None:
        async with HttpApi(Access(server, None, Tokens(""))) as api:
            stream = api.stream("/x", {})
            assert [await anext(stream), await anext(stream)] == [b"one", b"two"]
            with pytest.raises(ApiError) as caught:
                await anext(stream)
            assert caught.value.status == 0

    told(lines, story)


def test_a_server_that_is_not_there() -> None:
    async def story() -> None:
        async with HttpApi(Access("http://127.0.0.1:9", None, Tokens(""))) as api:
            with pytest.raises(ApiError) as caught:
                await api.request("GET", "/x", {})
            assert caught.value.status == 0
            assert "http://127.0.0.1:9" in str(caught.value)

    asyncio.run(story())
