"""Keeps the API server's ResourceSlices as the driver's devices are: a loop around the pure plan of `slices.py`.

Level-triggered: news of the devices, any change of our slices by anybody, and failures lead to the same round, which
lists our slices, plans, and writes. Nothing is remembered that a list would not show, but for fields that the server
dropped. Failures are tried again with growing delays; so are repairs of what others change, lest two writers race.

Only the youngest instance of a driver publishes. Slices stay when the driver stops: kubelet removes those of drivers
that do not come back.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from fairlead.driver.api import (
    RESOURCE,
    Api,
    ApiError,
    create_slice,
    delete_slice,
    get_node_uid,
    list_slices,
    own_slices,
    update_slice,
)
from fairlead.driver.author import Pool
from fairlead.driver.metrics import DriverMetrics
from fairlead.driver.slices import Publication, SliceWrite, dropped_fields, plan
from fairlead.driver.steps import Log
from fairlead.resource import Device, ResourceSliceSpec

_FIRST_DELAY, _LAST_DELAY = 0.5, 60.0
"""Seconds between tries after failures."""
_RESYNC: Final = 300.0
"""Seconds after which we look although nothing happened."""
_LOOK_YOUNGER: Final = 2.0
"""Seconds between two looks whether this instance has become the one that publishes."""
_FIGHT: Final = 60.0
"""Seconds for which a repair counts when the next is delayed."""
_LONGEST_PAUSE: Final = 30.0
_WATCH: Final = 600


class Publisher:
    """The slices of one driver on one node."""

    def __init__(
        self,
        api: Api,
        driver: str,
        node: str,
        pools: Callable[[], Sequence[Pool] | None],
        changed: asyncio.Event,
        taints_come: bool,
        is_youngest: Callable[[], bool],
        log: Log,
        metrics: DriverMetrics | None = None,
        keeps: Callable[[str, Sequence[Device]], bool] = lambda pool, devices: False,
    ) -> None:
        """Asks nothing yet.

        Args:
            api: the way to the API server.
            driver: its name.
            node: the node's name; empty for pools that many nodes reach.
            pools: what is to be published now; None as long as that is not known.
            changed: set when `pools` has news; cleared here.
            taints_come: whether devices may get taints.
            is_youngest: whether this instance is to publish.
            log: is told what was written, and what went wrong.
            metrics: counts what was written; nobody does where it is absent.
            keeps: whether slices of a pool that is not to be published now stay; see `Driver.keeps`.
        """
        self._api = api
        self._driver: Final = driver
        self._node: Final = node
        self._pools = pools
        self._changed = changed
        self._taints_come: Final = taints_come
        self._is_youngest = is_youngest
        self._log = log
        self._metrics: Final = metrics
        self._keeps = keeps
        self._disturbed: Final = asyncio.Event()
        self._remembered: dict[str, tuple[ResourceSliceSpec, ResourceSliceSpec]] = {}
        self._repairs: deque[float] = deque()
        self._random: Final = random.Random()

    async def run(self) -> None:
        """Publishes until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._publish())

    async def _publish(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        wait = 0.0
        while True:
            if not self._is_youngest():
                await asyncio.sleep(_LOOK_YOUNGER)
                continue
            news, disturbed = self._changed.is_set(), self._disturbed.is_set()
            self._changed.clear()
            self._disturbed.clear()
            try:
                written = await self._round()
                if failures:
                    self._log("slices are published again")
                failures, wait = 0, _RESYNC
                if written and disturbed and not news:
                    self._repairs.append(loop.time())
            except (ApiError, msgspec.MsgspecError) as error:
                failures += 1
                asked = error.retry_after if isinstance(error, ApiError) else 0.0
                delay = min(_FIRST_DELAY * 2 ** min(failures - 1, 10), _LAST_DELAY)
                wait = max(asked, delay * self._random.uniform(0.5, 1.5))
                self._log("slices not published", problem=_explained(error, self._driver), retry=wait)
                if asked:
                    await asyncio.sleep(asked)  # nor does news hurry a server that has too much to do
            await asyncio.sleep(self._pause(loop.time()))
            await self._any_news(wait)

    async def _any_news(self, wait: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._changed, self._disturbed)]
        try:
            await asyncio.wait(waits, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _pause(self, now: float) -> float:
        """Seconds to wait before the next round: the more was repaired lately, the longer."""
        while self._repairs and now - self._repairs[0] > _FIGHT:
            self._repairs.popleft()
        return min(0.1 * 2.0 ** min(len(self._repairs), 10), _LONGEST_PAUSE)

    async def _round(self) -> int:
        """Makes the slices what they should be; how many writes that took."""
        pools = self._pools()
        if pools is None:
            return 0
        # Asked each time: a node that was made anew has another, and takes slices of the old one with it.
        node_uid = await get_node_uid(self._api, self._node) if self._node else ""
        listed, _ = await list_slices(self._api, self._driver, self._node)
        wanted = {pool.name for pool in pools}
        existing = [
            one
            for one in listed
            if one.spec.pool.name in wanted or not self._keeps(one.spec.pool.name, one.spec.devices)
        ]
        of = Publication(self._driver, self._node, node_uid, self._taints_come)
        writes = plan(of, pools, existing, self._remembered)
        for write in writes:
            await self._write(write)
        return len(writes)

    async def _write(self, write: SliceWrite) -> None:
        name = write.item.name
        self._log("slice", verb=write.verb, name=name, generation=write.item.spec.pool.generation)
        self._remembered.pop(name, None)
        if write.verb == "delete":
            await delete_slice(self._api, write.item)
            self._count(write)
            return
        stored = await (create_slice if write.verb == "create" else update_slice)(self._api, write.item)
        self._count(write)
        if fields := dropped_fields(write.item, stored):
            self._remembered[name] = (write.item.spec, stored.spec)
            self._log("the API server dropped fields, their features are off", name=name, fields=fields)

    def _count(self, write: SliceWrite) -> None:
        if self._metrics is not None:
            self._metrics.slice_written(write.verb)

    async def _follow(self) -> None:
        """Wakes the loop when anybody changes our slices."""
        failures = 0
        query = own_slices(self._driver, self._node) | {"watch": "true", "timeoutSeconds": str(_WATCH)}
        while True:
            try:
                _, version = await list_slices(self._api, self._driver, self._node)
                if failures:
                    self._log("slices are watched again")
                self._disturbed.set()  # whatever happened since the last watch
                async for line in self._api.stream(f"{RESOURCE}/resourceslices", query | {"resourceVersion": version}):
                    failures = 0
                    if b'"ERROR"' in line[:32]:
                        break  # that version is forgotten
                    self._disturbed.set()
            except (ApiError, msgspec.MsgspecError) as error:
                failures += 1
                self._log("watch ended", problem=str(error))
            delay = min(_FIRST_DELAY * 2 ** min(failures, 10), _LAST_DELAY)
            await asyncio.sleep(delay * self._random.uniform(0.5, 1.5))


def _explained(error: Exception, driver: str) -> str:
    if isinstance(error, ApiError) and error.status == 403:
        return (
            f"{error}; the driver's ServiceAccount needs get on nodes, and get, list, watch, create, update, delete on "
            f"resourceslices.resource.k8s.io ({driver})"
        )
    return str(error)
