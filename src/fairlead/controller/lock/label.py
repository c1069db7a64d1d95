"""The label of the pod that answers: the Service selects it, so that nobody else is asked.

Readiness would not do: a Deployment of which all replicas but one are never ready cannot be rolled out or drained.
A replica that was cut off may keep its label; whoever answers next takes it off. It is no part of what makes the lock
safe: who is asked and does not lead refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec

from fairlead.controller.client import Client
from fairlead.kubernetes import AccessError, ServerError

LABEL: Final = "fairlead.dev/lock"
VALUE: Final = "answers"
_AGAIN: Final = 1.0
"""Seconds until what failed is tried again."""
_NO_ANSWER: Final = (ServerError, aiohttp.ClientError, TimeoutError, OSError, AccessError, msgspec.DecodeError)


class _Meta(msgspec.Struct):
    name: str = ""


class _Item(msgspec.Struct):
    metadata: _Meta


class _List(msgspec.Struct):
    items: list[_Item] | None = None


class Label:
    """Keeps the label as it is wanted; does nothing for a process that is no pod."""

    def __init__(self, client: Client, namespace: str, pod: str, log: Callable[..., Any]) -> None:
        """Wants none, and takes off one from before.

        Args:
            client: the API server.
            namespace: of our pod.
            pod: its name; empty where there is none.
            log: takes an event's name and fields.
        """
        self._client = client
        self._namespace = namespace
        self._pod = pod
        self._log = log
        self._wanted = False
        self._changed = asyncio.Event()
        self._changed.set()

    def want(self, wanted: bool) -> None:
        """Says whether we answer."""
        self._wanted = wanted
        self._changed.set()

    async def run(self) -> None:
        """Brings it about, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._apply(self._wanted)
            except _NO_ANSWER as error:
                self._log("label not set", wanted=self._wanted, problem=f"{type(error).__name__} {error}".strip())
                self._changed.set()
                await asyncio.sleep(_AGAIN)

    async def remove(self) -> None:
        """Takes the label off at the end, if that can be done at once."""
        try:
            await self._apply(False)
        except _NO_ANSWER as error:
            self._log("label not set", wanted=False, problem=f"{type(error).__name__} {error}".strip())

    async def _apply(self, wanted: bool) -> None:
        if not self._pod:
            return
        if wanted:
            for other in await self._labelled():
                if other != self._pod:
                    await self._set(other, None)
        await self._set(self._pod, VALUE if wanted else None)

    async def _labelled(self) -> list[str]:
        path = f"/api/v1/namespaces/{self._namespace}/pods?labelSelector={LABEL}"
        answer = msgspec.json.decode(await self._client.request("GET", path, seconds=5.0), type=_List)
        return [item.metadata.name for item in answer.items or ()]

    async def _set(self, pod: str, value: str | None) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod}"
        body = {"metadata": {"labels": {LABEL: value}}}
        try:
            await self._client.request("PATCH", path, body, "application/merge-patch+json", seconds=5.0)
        except ServerError as error:
            if error.status != 404 or pod == self._pod:
                raise
