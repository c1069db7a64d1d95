"""Tells a driver of shared hardware which claims hold its devices: all of them, read anew when one may have changed.

Runs in the one process that has `--shared-pools`, for drivers with `Driver.settle`. Level-triggered: nothing is
remembered between two rounds, so a process that was killed loses nothing. Each round reads the claims from the API
server itself (no cache of it): a device that looks free for lack of news would be taken away from a pod.

A round follows a change of a claim that names the driver, the end or giving back of one that held a device at the last
round, a change of the driver's own view (`hurry`), and the time that the driver asked for. Needs get on nodes besides
list and watch on resourceclaims.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from fairlead.driver.api import RESOURCE, Api, ApiError
from fairlead.driver.author import Claim, ClaimDevice, Held
from fairlead.driver.binding import node_of
from fairlead.driver.steps import Log
from fairlead.resource import ResourceClaim, decode_hook

_FIRST_DELAY, _LAST_DELAY = 0.5, 60.0
"""Seconds between tries after failures of the API server."""
_WATCH: Final = 600
_PAGE: Final = 500
_LEAST: Final = 0.2
"""Seconds between two rounds at least."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw]


class _NodeMeta(msgspec.Struct):
    labels: dict[str, str] = {}


class _Node(msgspec.Struct):
    metadata: _NodeMeta


_page: Final = msgspec.json.Decoder(_Page)
_node: Final = msgspec.json.Decoder(_Node)
_claim: Final = msgspec.json.Decoder(ResourceClaim, dec_hook=decode_hook)


class Settler:
    """Follows the claims of one driver, on all nodes."""

    def __init__(self, api: Api, driver: str, settle: Callable[[Sequence[Held]], Awaitable[float]], log: Log) -> None:
        """Asks nothing yet.

        Args:
            api: the way to the API server.
            driver: its name.
            settle: the driver's, in its thread; an exception of it is told by who gives it.
            log: is told what went wrong.
        """
        self._api = api
        self._mark: Final = f'"{driver}"'.encode()
        self._driver: Final = driver
        self._settle = settle
        self._log = log
        self._news: Final = asyncio.Event()
        self._uids: frozenset[bytes] = frozenset()
        self._broken = False
        """Whether a watch failed since the last round."""
        self._random: Final = random.Random()

    def hurry(self) -> None:
        """Makes the next round come at once."""
        self._news.set()

    async def round(self) -> tuple[float, str]:
        """Reads all claims, and tells the driver.

        Returns:
            seconds until the next round at the latest, and the version from which to watch.

        Raises:
            ApiError: they cannot be read; the driver is not told anything.
            msgspec.MsgspecError: the answer makes no sense; likewise.
        """
        query = {"limit": str(_PAGE)}
        held = []
        labels: dict[str, Mapping[str, str]] = {}
        while True:
            page = _page.decode(await self._api.request("GET", f"{RESOURCE}/resourceclaims", query))
            for raw in page.items:
                if self._mark in bytes(raw) and (one := holding(_claim.decode(raw), self._driver)) is not None:
                    held.append(one)
            if not page.metadata.next:
                break
            query |= {"continue": page.metadata.next}
        for one in held:
            if one.node not in labels:
                labels[one.node] = await self._labels(one.node) if one.node else {}
        self._uids = frozenset(f'"{one.claim.uid}"'.encode() for one in held)
        full = [Held(one.claim, one.node, labels[one.node], one.since) for one in held]
        return await self._settle(full), page.metadata.resource_version

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        failures = 0
        watching: asyncio.Task[None] | None = None
        try:
            while True:
                self._news.clear()
                try:
                    wait, version = await self.round()
                    if watching is None or watching.done():
                        watching = asyncio.create_task(self._watch(version))
                    if failures or self._broken:
                        self._log("claims are followed again")
                    failures, self._broken = 0, False
                except (ApiError, msgspec.MsgspecError) as error:
                    failures += 1
                    self._log("claims cannot be followed", problem=str(error))
                    wait = min(_FIRST_DELAY * 2 ** min(failures, 10), _LAST_DELAY) * self._random.uniform(0.5, 1.5)
                    await asyncio.sleep(wait)  # nor does news hurry a server that has trouble
                    continue
                await asyncio.sleep(_LEAST)
                try:
                    async with asyncio.timeout(wait):
                        await self._news.wait()
                except TimeoutError:
                    pass
        finally:
            if watching is not None:
                watching.cancel()

    async def _watch(self, version: str) -> None:
        """Until the server ends it; its end is news, for what came after is not known."""
        query = {"watch": "true", "timeoutSeconds": str(_WATCH), "resourceVersion": version}
        try:
            async for line in self._api.stream(f"{RESOURCE}/resourceclaims", query):
                if b'"ERROR"' in line[:32]:
                    return
                if self._mark in line or any(uid in line for uid in self._uids):
                    self._news.set()
        except ApiError as error:
            self._log("claims cannot be followed", problem=str(error))
            self._broken = True
            await asyncio.sleep(_FIRST_DELAY)
        finally:
            self._news.set()

    async def _labels(self, node: str) -> Mapping[str, str]:
        try:
            return _node.decode(await self._api.request("GET", f"/api/v1/nodes/{node}", {})).metadata.labels
        except ApiError as error:
            if error.status != 404:
                raise
            return {}


def holding(claim: ResourceClaim, driver: str) -> Held | None:
    """What a claim holds or observes of the driver, without labels of the node; None for nothing."""
    allocation = claim.status.allocation
    if allocation is None:
        return None
    devices = []
    for result in allocation.devices.results:
        if result.driver == driver:
            request, _, alternative = result.request.partition("/")
            admin = bool(result.admin_access)
            devices.append(ClaimDevice(request, alternative, result.pool, result.device, None, result.share_id, admin))
    if not devices:
        return None
    uid, name = claim.metadata.uid, claim.metadata.name
    return Held(
        Claim(uid, claim.namespace, name, tuple(devices)), node_of(claim), {}, allocation.allocation_timestamp or ""
    )
