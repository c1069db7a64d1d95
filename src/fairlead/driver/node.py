"""Hosts the drivers of a node in one process, from the first socket to the last.

Each driver has its own thread, sockets, store and publisher; what goes wrong in one is told, and that one is started
again, while the others go on. When told to stop, drivers leave kubelet first and then finish what they are at.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio

from fairlead.driver.api import Api
from fairlead.driver.author import Driver
from fairlead.driver.cdi import DEFAULT_FOLDER, SpecFolder
from fairlead.driver.engine import Engine
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.metrics import DriverMetrics, MeteredApi, NodeMetrics
from fairlead.driver.neighbours import Neighbours
from fairlead.driver.plugin import DriverPlugin
from fairlead.driver.podresources import SOCKET
from fairlead.driver.publisher import Publisher
from fairlead.driver.server import GRACE, KubeletServer
from fairlead.driver.services import check_service
from fairlead.driver.slices import driver_name_faults
from fairlead.driver.sockets import PLUGINS, REGISTRY, Instance, SocketError, endpoints
from fairlead.driver.spells import Spells
from fairlead.driver.steps import Log, Steps
from fairlead.driver.store import Store, boot_id
from fairlead.telemetry import Level, Probes, new_registry

_AGAIN: Final = 5.0
"""Seconds before a driver that failed is started again."""
_WARNINGS: Final = (
    "not prepared",
    "not unprepared",
    "not begun",
    "not registered by kubelet",
    "slices not published",
    "discovery failed",
    "could not be discovered",
    "not known what many nodes reach",
    "kubelet does not say what device plugins offer",
    "device status not written",
    "binding conditions not written",
    "claims cannot be followed",
    "not known whether devices are ready",
    "not known what other drivers have",
    "could not be put right",
    "the API server dropped fields, their features are off",
    "watch ended",
)
_ERRORS: Final = ("the driver failed", "failed", "a bug in the kit", "state cannot be used")
LEVELS: Final[dict[str, Level]] = {**dict.fromkeys(_WARNINGS, "warning"), **dict.fromkeys(_ERRORS, "error")}
"""How much the events of drivers matter; those that are not listed are `info`."""


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Where the drivers run."""

    node: str
    """The node's name."""
    pod_uid: str = ""
    """Of the pod that they run in; empty where no second instance is ever started beside this one."""
    plugins: Path = PLUGINS
    registry: Path = REGISTRY
    cdi: Path = DEFAULT_FOLDER
    check: str = ""
    """HOST:PORT for grpc.health.v1, for kubelet's probes; empty for none."""
    listen: str = ""
    """HOST:PORT for metrics, and probes by HTTP; empty for none."""
    shared_pools: bool = False
    """Publish the pools that many nodes reach, and do nothing else: no kubelet, no claims, no files."""
    boot: str = field(default_factory=boot_id)
    pod_resources: Path = SOCKET
    """Kubelet's socket that says what device plugins offer."""


class _Hosted:
    """One driver, from its first socket to its last."""

    def __init__(
        self,
        driver: Driver,
        api: Api,
        options: NodeOptions,
        order: float,
        log: Log,
        metrics: DriverMetrics,
        neighbours: Neighbours,
    ) -> None:
        def of_driver(event: str, **fields: object) -> None:
            log(event, driver=driver.name, **fields)

        told = Spells(of_driver)

        folder = options.plugins / driver.name
        api = MeteredApi(api, metrics)
        self.driver: Final = driver
        self.registered = False
        """Whether kubelet said last that it took us."""
        self._shared_pools: Final = options.shared_pools
        self.log: Final[Log] = told
        self._sockets: Final = endpoints(driver.name, options.pod_uid, options.plugins, options.registry)
        self._instance: Final = Instance(folder, options.pod_uid, order)
        store = Store(folder, options.boot)
        metadata = MetadataFolder(driver.name, folder)
        steps = Steps(driver, SpecFolder(driver.name, options.cdi), metadata, told)
        self._engine: Final = Engine(driver, store, steps, told)
        self.plugin: Final = DriverPlugin(
            driver,
            self._engine,
            api,
            options.node,
            told,
            metrics,
            options.shared_pools,
            options.pod_resources,
            neighbours,
        )
        self._publisher: Final = Publisher(
            api,
            driver.name,
            "" if options.shared_pools else options.node,
            lambda: self.plugin.pools,
            self.plugin.changed,
            self.plugin.tells_health,
            (lambda: True) if options.shared_pools else self._instance.is_youngest,
            told,
            metrics,
            driver.keeps,
        )

    async def run(self, ready: asyncio.Event) -> None:
        """Serves until it is cancelled."""
        if self._shared_pools:
            await self._publish_shared(ready)
            return
        self._instance.acquire(self._sockets)
        server = KubeletServer(self.driver.name, self.plugin, self._sockets, self.plugin.tells_health, self._registered)
        try:
            for path in self._instance.bury():
                self.log("removed a dead instance's socket", path=str(path))
            await self.plugin.start()
            await server.start()
            self.log("listening", socket=str(self._sockets.service))
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.plugin.run())
                tasks.create_task(self._publisher.run())
        finally:
            self.registered = False
            await asyncio.shield(server.stop(GRACE))
            await asyncio.to_thread(self.plugin.close)
            self._instance.release()

    async def _publish_shared(self, ready: asyncio.Event) -> None:
        """Publishes the pools that many nodes reach until it is cancelled."""
        try:
            await self.plugin.look()
            ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.plugin.run())
                tasks.create_task(self._publisher.run())
        finally:
            await asyncio.to_thread(self.plugin.close)

    def _registered(self, taken: bool, why: str) -> None:
        self.registered = taken
        self.log("registered" if taken else "not registered by kubelet", **({} if taken else {"problem": why}))


class _AllOf:
    """All drivers together: serving when every driver is, and their figures."""

    def __init__(self, names: Sequence[str], shared_pools: bool) -> None:
        self._needs_kubelet: Final = not shared_pools
        self.metrics: Final = NodeMetrics(new_registry())
        self.neighbours: Final = Neighbours(names)
        self.up: dict[str, _Hosted] = {}
        self._names: Final = names

    async def serving(self) -> bool:
        """Whether all drivers are up and can prepare."""
        if len(self.up) < len(self._names):
            return False
        return all([await one.plugin.serving() for one in self.up.values()])

    async def unready(self) -> str:
        """Why an instance that this one replaces must not end yet; empty where it may."""
        for name in self._names:
            if (one := self.up.get(name)) is None:
                return f"driver {name}: has failed and is started again"
            if self._needs_kubelet and not one.registered:
                return f"driver {name}: is not registered by kubelet"
            if not await one.plugin.serving():
                return f"driver {name}: its state cannot be used"
        return ""

    async def show(self) -> None:
        """Brings the metrics up to date."""
        self.metrics.show({name: await one.plugin.levels(one.registered) for name, one in list(self.up.items())})


async def serve(drivers: Sequence[Driver], api: Api, options: NodeOptions, log: Log, stop: asyncio.Event) -> None:
    """Runs drivers until `stop` is set.

    Args:
        drivers: with names that differ.
        api: the way to the API server.
        options: where they run.
        log: is told what happens; every event of a driver has its name.
        stop: ends it: registrations go at once, calls that are under way come to their end.

    Raises:
        SocketError: a driver cannot listen, because of its name, its paths, or another instance.
        ListenError: `options.listen` cannot be used.
    """
    names = [driver.name for driver in drivers]
    for name in names:
        if names.count(name) > 1:
            raise SocketError(f"driver {name}: is given twice")
        if faults := driver_name_faults(name):
            raise SocketError(f"driver {name!r}: {faults}")
        endpoints(name, options.pod_uid, options.plugins, options.registry)
    together = _AllOf(names, options.shared_pools)
    shown = Probes(together.metrics.registry, together.show, str, together.unready)
    async with AsyncExitStack() as opened:
        opened.push_async_callback(shown.stop)
        if options.listen:
            log("listening", address=await shown.start(options.listen))
        if options.check:
            opened.push_async_callback((await _probes(options.check, together)).stop, 0)
        order = time.time()
        tasks = [asyncio.create_task(_keep(driver, api, options, order, log, together)) for driver in drivers]
        stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a driver ends by itself only when it can not listen
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)


async def _keep(driver: Driver, api: Api, options: NodeOptions, order: float, log: Log, together: _AllOf) -> None:
    """Runs one driver, again and again; a driver that never came up cannot, and says why."""
    ready = asyncio.Event()
    metrics = together.metrics.of(driver.name)
    while True:
        hosted = _Hosted(driver, api, options, order, log, metrics, together.neighbours)
        together.up[driver.name] = hosted
        try:
            await hosted.run(ready)
        except (SocketError, OSError) as error:
            if not ready.is_set():
                raise SocketError(f"driver {driver.name}: {error}") from None
            log("failed", driver=driver.name, problem=str(error))
        except Exception as error:
            log("failed", driver=driver.name, problem=repr(error), trace=traceback.format_exc())
        del together.up[driver.name]
        metrics.restarted()
        await asyncio.sleep(_AGAIN)


async def _probes(address: str, together: _AllOf) -> grpc.aio.Server:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((check_service(together),))
    try:
        server.add_insecure_port(address)
        await server.start()
    except RuntimeError as error:
        raise SocketError(f"{address}: cannot be listened on: {error}") from None
    return server
