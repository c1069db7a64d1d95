"""One driver in the running process: the loop's side of the engine, of discovery and of health.

The author's code runs in one thread of the driver's own, through which all calls pass in order; `watch` and `health`
each have another. The loop fetches claims, hands them in, and writes what the driver says of its devices into claims'
statuses afterwards: a status that cannot be written is tried again, it keeps no pod from starting.

Nothing here is remembered that a new process would miss: what is prepared is in the store, what is there is discovered,
and statuses of all prepared claims are written anew after a start.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from prometheus_client import CollectorRegistry

from fairlead.driver.api import Api, ApiError, apply_device_status, get_claim
from fairlead.driver.author import Driver, Health, Held, Pool, PrepareError, Readiness
from fairlead.driver.batches import Batches
from fairlead.driver.binding import Binder
from fairlead.driver.claims import for_author, read_claim
from fairlead.driver.discovery import Discovery
from fairlead.driver.engine import Done, Engine
from fairlead.driver.health import Condition, HealthTracker, Hysteresis, Key, by_taints, tainted
from fairlead.driver.inventory import DiscoveryError
from fairlead.driver.metrics import DriverMetrics, Levels, NodeMetrics
from fairlead.driver.neighbours import Neighbours
from fairlead.driver.others import Others
from fairlead.driver.podresources import SOCKET
from fairlead.driver.record import Record
from fairlead.driver.services import ClaimRef, HealthOf
from fairlead.driver.settling import Settler
from fairlead.driver.slices import Publication
from fairlead.driver.steps import Answer, Log
from fairlead.driver.store import StoreError
from fairlead.resource import ResourceClaim, encode_hook

_Result = TypeVar("_Result")
HEALTH_TIMEOUT: Final = 30
"""Seconds after which kubelet forgets what it was told of a device's health."""
_HEALTH_AGAIN: Final = 10.0
_POLL_HEALTH: Final = 5.0
_FIRST_HEALTH: Final = 10.0
"""Seconds that the first report may take before devices are published without."""
_REDISCOVER: Final = 300.0
"""Seconds between discoveries when nothing changes."""
_ASK_KUBELET: Final = 30.0
"""Seconds between two questions to kubelet, what device plugins offer."""
_REST: Final = 1.0
"""Seconds between two discoveries at least."""
_FIRST_DELAY, _LAST_DELAY = 0.5, 60.0
_HOPELESS: Final = (404, 409, 422)
"""Answers to a device status: the claim has gone, or is another one, or is not allocated any more."""


class DriverPlugin:
    """A driver, its engine and its view of the hardware; the `Plugin` of its services."""

    def __init__(
        self,
        driver: Driver,
        engine: Engine,
        api: Api,
        node: str,
        log: Log,
        metrics: DriverMetrics | None = None,
        shared_pools: bool = False,
        pod_resources: Path = SOCKET,
        neighbours: Neighbours | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            driver: the author's code.
            engine: prepares for it.
            api: the way to the API server.
            node: the node's name.
            log: is told what happens.
            metrics: where to count; nobody sees the figures where it is absent.
            shared_pools: whether the pools are published that many nodes reach, and not those of the node.
            pod_resources: kubelet's socket that says what device plugins offer.
            neighbours: the drivers of the process; None where this is the only one.
        """
        self.driver: Final = driver
        self.tells_health: Final = type(driver).health is not Driver.health
        self.changed: Final = asyncio.Event()
        """Set when `pools` has news; whoever publishes clears it."""
        self._engine: Final = engine
        self._api = api
        self._node = node
        self._shared_pools: Final = shared_pools
        self._log = log
        self._metrics: Final = metrics or NodeMetrics(CollectorRegistry()).of(driver.name)
        self._thread: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix=driver.name)
        self._stop: Final = threading.Event()
        self._discovery: Final = Discovery(driver, Publication(driver.name, node, "", self.tells_health), log)
        self._neighbours: Final = neighbours or Neighbours()
        self._others: Final = Others(api, node, driver.gives_way_to, self._neighbours, pod_resources, shared_pools, log)
        self._binder: Binder | None = None
        self._settler: Settler | None = None
        if shared_pools and type(driver).settle is not Driver.settle:
            self._settler = Settler(api, driver.name, self._settle, log)
        self._look: Final = asyncio.Event()
        self._neighbours.follow(driver.name, driver.gives_way_to, self._look.set)
        self._told: Final = asyncio.Condition()
        self._tracker: Final = HealthTracker(
            driver.name, driver.unhealthy_effect, node, Hysteresis(driver.recover_after, 20 * driver.recover_after)
        )
        self._conditions: dict[Key, Condition] = {}
        self._heard_at = 0.0
        self._recovered = False
        self._known = False
        self._discovery_failed = False
        self._left = False
        self._published = engine.inventory
        self._preparing: Final = Batches(self._thread, engine.prepare_all, log)
        self._unpreparing: Final = Batches(
            self._thread, lambda jobs, tell: engine.unprepare_all([uid for uid, _ in jobs], tell), log
        )
        self._unreported: asyncio.Queue[tuple[Record, float]] = asyncio.Queue()

    @property
    def pools(self) -> list[Pool] | None:
        """What is to be published now; None until devices and their health are known, so that no slice is removed and
        no taint lifted only because the driver was started again."""
        if not self._known:
            return None
        ours = [pool for pool in self._engine.inventory.pools if (pool.reach is not None) == self._shared_pools]
        return tainted(ours, self._conditions)

    async def start(self) -> None:
        """Discovers, and puts right what the last process left; trouble is told and tried again later."""
        await self.look()
        await self._recover()

    async def look(self) -> None:
        """Discovers only; trouble is told and tried again later."""
        if self.tells_health:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hear(), _FIRST_HEALTH)
        if self._settler is not None:
            try:
                await self._settler.round()
            except (ApiError, msgspec.MsgspecError) as error:
                self._log("claims cannot be followed", problem=str(error))
        await self._discover()

    async def run(self) -> None:
        """Follows the hardware and reports to claims, until it is cancelled."""
        loop = asyncio.get_running_loop()
        watcher = threading.Thread(
            target=self._watch, args=(lambda: loop.call_soon_threadsafe(self._look.set),), daemon=True
        )
        watcher.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._rediscover())
                tasks.create_task(self._report())
                tasks.create_task(self._follow_plugins())
                if type(self.driver).allocated is not Driver.allocated:
                    node = "" if self._shared_pools else self._node
                    self._binder = Binder(self._api, self.driver.name, node, lambda: self.pools, self._ready, self._log)
                    tasks.create_task(self._binder.run())
                if self._settler is not None:
                    tasks.create_task(self._settler.run())
                if self.tells_health:
                    tasks.create_task(self._ask_health())
        finally:
            self._stop.set()

    def close(self) -> None:
        """Waits for what the driver's thread is doing; nothing is begun any more."""
        self._stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def prepare(self, claims: Sequence[ClaimRef]) -> dict[str, tuple[Answer, ...] | str]:
        """For each claim's UID its devices, or why there are none."""
        await self._recover()
        return dict(await asyncio.gather(*map(self._prepare, claims)))

    async def unprepare(self, claims: Sequence[ClaimRef]) -> dict[str, str]:
        """For each claim's UID why it could not be unprepared; empty where it could."""
        await self._recover()
        return dict(await asyncio.gather(*map(self._unprepare, claims)))

    async def health(self) -> AsyncIterator[Sequence[HealthOf]]:
        """The health of all devices, again whenever it changes, and often enough that it does not grow stale."""
        while not self._left:
            told = self._conditions
            if time.time() - self._heard_at < HEALTH_TIMEOUT:  # what is older had better be forgotten
                yield [
                    HealthOf(pool, name, one.healthy, one.message, int(self._heard_at), HEALTH_TIMEOUT)
                    for (pool, name), one in sorted(told.items())
                ]
            try:
                async with self._told, asyncio.timeout(_HEALTH_AGAIN):
                    await self._told.wait_for(lambda before=told: self._left or self._conditions is not before)  # type: ignore[misc]
            except TimeoutError:
                continue

    async def leave(self) -> None:
        """Ends the streams of `health`: kubelet goes to another instance, or to none."""
        self._left = True
        async with self._told:
            self._told.notify_all()

    async def serving(self) -> bool:
        """Whether claims can be prepared at all: the store can be read."""
        try:
            await asyncio.to_thread(self._engine.records)
        except StoreError:
            return False
        return True

    async def levels(self, registered: bool) -> Levels:
        """How things are now; no claims where the state cannot be used."""
        try:
            states = [record.state for record in await asyncio.to_thread(self._engine.records)]
        except StoreError:
            states = []
        return Levels(
            registered,
            len(self._published.devices),
            sum(one.healthy is False for one in self._conditions.values()),
            states.count("completed"),
            states.count("started"),
        )

    async def _in_thread(self, work: Callable[..., _Result], *args: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def _fetch(self, ref: ClaimRef) -> Any:
        try:
            return await get_claim(self._api, ref.namespace, ref.name)
        except ApiError as error:
            return error
        except msgspec.MsgspecError as error:
            return ApiError(0, f"the API server's answer cannot be read: {error}")

    async def _prepare(self, ref: ClaimRef) -> tuple[str, tuple[Answer, ...] | str]:
        with self._metrics.call("prepare") as done:
            if self.driver.known_from_slices:
                await self._discover()
            claim = await self._fetch(ref)
            if isinstance(claim, ApiError):
                outcome: Any = PrepareError(f"{_label(ref)}: cannot be read from the API server: {claim}")
            else:
                outcome = await self._preparing.ask(ref.uid, claim)
            if isinstance(outcome, Done):
                done()
        if isinstance(outcome, Done):
            self._unreported.put_nowait((outcome.record, _FIRST_DELAY))
            return ref.uid, outcome.answers
        if isinstance(outcome, StoreError):
            self._metrics.store_failed()
        self._log("not prepared", claim=f"{ref.namespace}/{ref.name}", uid=ref.uid, problem=str(outcome))
        return ref.uid, str(outcome)

    async def _unprepare(self, ref: ClaimRef) -> tuple[str, str]:
        with self._metrics.call("unprepare") as done:
            outcome = await self._unpreparing.ask(ref.uid, None)
            if outcome is None:
                done()
        if outcome is None:
            return ref.uid, ""
        if isinstance(outcome, StoreError):
            self._metrics.store_failed()
        self._log("not unprepared", claim=f"{ref.namespace}/{ref.name}", uid=ref.uid, problem=str(outcome))
        return ref.uid, f"{_label(ref)}: {outcome}"

    async def _ready(self, claim: ResourceClaim) -> list[Readiness]:
        """What the driver says of an allocated claim; PrepareError where it cannot be told."""

        def ask() -> list[Readiness]:
            inventory = self._engine.inventory
            record = read_claim(claim, claim.metadata.uid, self.driver, inventory)
            return list(self.driver.allocated(for_author(record, self.driver, inventory)))

        try:
            return await self._in_thread(ask)
        except PrepareError:
            raise
        except Exception as error:  # whatever the author's code raises
            self._log("the driver failed", problem=repr(error), trace=traceback.format_exc())
            raise PrepareError(f"the driver failed: {type(error).__name__}: {error}") from error

    async def _settle(self, held: Sequence[Held]) -> float:
        """Tells the driver which claims hold its devices; seconds until the next time."""
        try:
            return await self._in_thread(self.driver.settle, held)
        except Exception as error:  # whatever the author's code raises
            self._log("the driver failed", problem=repr(error), trace=traceback.format_exc())
            return _POLL_HEALTH
        finally:
            if self._binder is not None:
                self._binder.hurry()

    async def _recover(self) -> None:
        """Puts right what the last process left, once; tried again with each call until it can be done."""
        if self._recovered:
            return
        try:
            for problem in await self._in_thread(self._engine.recover):
                self._log("could not be put right", problem=problem)
            records = await self._in_thread(self._engine.records)
        except StoreError as error:
            self._metrics.store_failed()
            self._log("state cannot be used", problem=str(error))
            return
        self._recovered = True
        for record in records:
            if record.state == "completed":
                self._unreported.put_nowait((record, _FIRST_DELAY))

    async def _discover(self) -> bool:
        """Whether discovery worked; what was known stays where it did not."""
        try:
            await self._others.ask()
            self._engine.inventory = await self._in_thread(
                self._discovery.look, self._others.offers, self._others.shared, self._others.taken
            )
        except DiscoveryError as error:
            self._neighbours.say(self.driver.name, None)
            self._metrics.discovery_failed()
            self._log("discovery failed", problem=str(error))
            self._discovery_failed = True
            return False
        if self._discovery_failed:
            self._log("discovery works again")
            self._discovery_failed = False
        self._known = self._others.known
        if self._known:
            self._neighbours.say(self.driver.name, self._engine.inventory.pools)
        await self._publish()
        return self._known

    async def _follow_plugins(self) -> None:
        while True:
            await asyncio.sleep(_ASK_KUBELET)
            if await self._others.ask_kubelet():
                self._look.set()

    async def _publish(self) -> None:
        inventory = self._engine.inventory
        conditions = self._tracker.conditions(inventory)
        if conditions != self._conditions or inventory is not self._published:
            self._conditions, self._published = conditions, inventory
            self.changed.set()
            async with self._told:
                self._told.notify_all()

    async def _rediscover(self) -> None:
        delay = 0.0
        while True:
            try:
                async with asyncio.timeout(delay or _REDISCOVER):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            delay = 0.0 if await self._discover() else min(max(delay * 2, _FIRST_DELAY), _LAST_DELAY)
            await asyncio.sleep(_REST)

    def _watch(self, changed: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                self.driver.watch(changed, self._stop)
                return
            except Exception as error:  # whatever the author's code raises
                self._log("the driver failed", problem=repr(error), trace=traceback.format_exc())
                self._stop.wait(_LAST_DELAY)

    async def _ask_health(self) -> None:
        while True:
            await asyncio.sleep(_POLL_HEALTH)
            await self._hear()

    async def _hear(self) -> None:
        try:
            reports: list[Health] = await asyncio.to_thread(lambda: list(self.driver.health()))
        except Exception as error:  # whatever the author's code raises
            self._log("the driver failed", problem=repr(error), trace=traceback.format_exc())
            return
        if self.driver.known_from_slices and not self._shared_pools:
            reports += by_taints(self.driver.name, self._engine.inventory.pools)
        self._tracker.report(reports, time.monotonic())
        self._heard_at = time.time()
        await self._publish()

    async def _report(self) -> None:
        """Writes what the driver says of its devices into claims' statuses."""
        while True:
            record, delay = await self._unreported.get()
            devices = [_status(device) for device in record.devices if device.status is not None]
            if not devices or await self._in_thread(self._engine.record, record.uid) != record:
                continue
            try:
                await apply_device_status(
                    self._api, self.driver.name, record.namespace, record.name, record.uid, devices
                )
            except ApiError as error:
                self._log("device status not written", claim=f"{record.namespace}/{record.name}", problem=str(error))
                if error.status not in _HOPELESS:
                    again = (record, min(delay * 2, _LAST_DELAY))
                    asyncio.get_running_loop().call_later(
                        max(delay, error.retry_after), self._unreported.put_nowait, again
                    )


def _label(ref: ClaimRef) -> str:
    return f"ResourceClaim {ref.namespace}/{ref.name}"


def _status(device: Any) -> dict[str, Any]:
    result = device.result
    value: dict[str, Any] = msgspec.to_builtins(device.status, enc_hook=encode_hook)
    value |= {"driver": result.driver, "pool": result.pool, "device": result.device}
    if result.share_id:
        value["shareID"] = result.share_id
    return value
