"""A driver over real Unix sockets, called by a kubelet that writes its own bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from apiserver import Answers
from kubelet import Plugin, register, text
from workshop import BOOT, DRIVER, NODE, Bench, Workshop, claim, result

from fairlead.driver.api import ApiError
from fairlead.driver.author import Claim, Health
from fairlead.driver.plugin import DriverPlugin
from fairlead.driver.server import KubeletServer
from fairlead.driver.sockets import endpoints
from fairlead.driver.store import Store


class Watched(Workshop):
    """Tells health, and can be slow."""

    reports: list[Health]
    wait: Callable[[], Any] | None = None

    def health(self) -> list[Health]:
        return self.reports

    def prepare(self, claim: Claim) -> Any:
        if self.wait is not None:
            self.wait()
        return super().prepare(claim)


class Running:
    """A driver that listens, and what stands around it."""

    def __init__(self, root: Path, driver: type[Workshop] = Workshop, uid: str = "") -> None:
        self.bench = Bench(root)
        self.api = Answers()
        self.engine, self.driver = self.bench.engine(kind=driver)
        self.heard: list[tuple[bool, str]] = []
        log: Callable[..., None] = lambda event, **fields: self.bench.log.append((event, fields))  # noqa: E731
        self.plugin = DriverPlugin(self.driver, self.engine, self.api, NODE, log)
        self.sockets = endpoints(DRIVER, uid, root / "p", root / "r")
        self.server = KubeletServer(
            DRIVER,
            self.plugin,
            self.sockets,
            self.plugin.tells_health,
            lambda taken, why: self.heard.append((taken, why)),
        )

    async def kubelet(self) -> Plugin:
        (plugin,) = await register(self.sockets.registration.parent)
        return plugin


@asynccontextmanager
async def running(root: Path, driver: type[Workshop] = Workshop, uid: str = "") -> AsyncIterator[Running]:
    here = Running(root, driver, uid)
    await here.plugin.start()
    await here.server.start()
    task = asyncio.create_task(here.plugin.run())
    try:
        yield here
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await here.server.stop(1)
        here.plugin.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def test_registration(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as here:
            plugin = await here.kubelet()
            assert (plugin.kind, plugin.name, plugin.endpoint) == ("DRAPlugin", DRIVER, str(here.sockets.service))
            assert plugin.supported == ["v1.DRAPlugin", "v1beta1.DRAPlugin"]
            assert here.heard == [(True, "")]
            await register(here.sockets.registration.parent, tell="no thanks")
            assert here.heard[-1] == (False, "no thanks")
            await plugin.close()
        assert not here.sockets.service.exists()
        assert not here.sockets.registration.exists()

    asyncio.run(story())


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_prepare_and_unprepare(tmp_path: Path, version: str) -> None:
    async def story() -> None:
        async with running(tmp_path) as here:
            here.api.add(claim("u", result("gpu-0", "main/big"), result("gpu-1", "nic", share_id="s")))
            plugin = await here.kubelet()
            done = await plugin.prepare(("u", "claim-u"), ("v", "claim-v"), version=version)
            devices, error = done["u"]
            assert error == ""
            assert [(text(one, 1), text(one, 2), text(one, 3), text(one, 5)) for one in devices] == [
                ("main", NODE, "gpu-0", ""),
                ("nic", NODE, "gpu-1", "s"),
            ]
            assert 5 not in devices[0]  # no share is not an empty share
            kind = f"k8s.{DRIVER}/claim"
            assert devices[0][4] == [f"{kind}=u_0_gpu-0".encode(), f"{kind}=u_metadata_main".encode()]
            assert done["v"][0] == []
            assert "ResourceClaim ml/claim-v: cannot be read from the API server: 404" in done["v"][1]
            await until(lambda: "claim-u" in here.api.statuses)
            assert here.api.statuses["claim-u"][1] == {
                "driver": DRIVER,
                "pool": NODE,
                "device": "gpu-1",
                "shareID": "s",
                "networkData": {"interfaceName": "if-gpu-1"},
            }
            here.api.claims.clear()  # unpreparing needs no API server
            undone = await plugin.unprepare(("u", "claim-u"), ("never", "claim-n"), version=version)
            assert undone == {"u": "", "never": ""}
            assert here.bench.held() == {}
            assert here.bench.specs() == []
            await plugin.close()

    asyncio.run(story())


def test_a_status_that_cannot_be_written_is_tried_again_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as here:
            here.api.add(claim("u", result("gpu-1")))
            plugin = await here.kubelet()
            real = here.api.request
            fails = [ApiError(500, "sorry"), ApiError(429, "later", 0.1)]

            async def failing(method: str, *rest: Any) -> bytes:
                if method == "PATCH" and fails:
                    raise fails.pop()
                return await real(method, *rest)

            here.api.request = failing  # type: ignore[method-assign]
            assert (await plugin.prepare(("u", "claim-u")))["u"][1] == ""
            await until(lambda: "claim-u" in here.api.statuses)
            assert fails == []
            await plugin.close()

    asyncio.run(story())


def test_many_calls_at_once(tmp_path: Path) -> None:
    """A hundred claims of two calls each, of which four at a time fit."""

    async def story() -> None:
        async with running(tmp_path) as here:
            plugin = await here.kubelet()

            async def life(number: int) -> None:
                uid, name = f"u{number}", f"claim-u{number}"
                here.api.add(claim(uid, result("gpu-1", share_id=uid)))
                first, second = await asyncio.gather(plugin.prepare((uid, name)), plugin.prepare((uid, name)))
                assert first == second
                assert first[uid][1] == ""
                assert await plugin.unprepare((uid, name)) == {uid: ""}

            await asyncio.gather(*map(life, range(50)))
            assert here.bench.states() == {}
            assert here.bench.held() == {}
            await plugin.close()

    asyncio.run(story())


def test_nothing_is_published_before_discovery_works(tmp_path: Path) -> None:
    class Broken(Workshop):
        fails = True

        def discover(self) -> Any:
            if self.fails:
                raise RuntimeError("the hardware does not answer")
            return super().discover()

    async def story() -> None:
        async with running(tmp_path, Broken) as here:
            assert here.plugin.pools is None
            plugin = await here.kubelet()
            here.api.add(claim("u", result("gpu-1")))
            assert await plugin.unprepare(("u", "claim-u")) == {"u": ""}
            Broken.fails = False
            here.plugin._look.set()  # as a driver's watch does
            await until(lambda: here.plugin.pools is not None)
            assert (await plugin.prepare(("u", "claim-u")))["u"][1] == ""
            await plugin.close()

    asyncio.run(story())


def test_health(tmp_path: Path) -> None:
    Watched.reports = [Health("gpu-0", False, "fell off the bus"), Health("gpu-3", None, "no answer")]

    async def story() -> None:
        async with running(tmp_path, Watched) as here:
            plugin = await here.kubelet()
            assert plugin.supported[2:] == ["v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"]
            for version in ("v1", "v1alpha1"):
                async for devices in plugin.watch(version):
                    if devices.get("gpu-0") != (2, "fell off the bus"):
                        continue  # what was known before the first report
                    assert devices["gpu-1"] == (1, "")
                    assert devices["gpu-3"] == (0, "no answer")
                    assert devices["half-0a"] == (2, "gpu-0: fell off the bus")
                    break
            taints = {device.name: device.taints for pool in here.plugin.pools or [] for device in pool.devices}
            assert {name for name, of in taints.items() if of} == {"gpu-0", "half-0a", "half-0b", "half-0c"}
            assert taints["gpu-0"][0].key == f"{DRIVER}/unhealthy"
            await plugin.close()

    asyncio.run(story())


def test_an_open_health_stream_does_not_hold_up_the_end(tmp_path: Path) -> None:
    Watched.reports = []

    async def story() -> None:
        async with running(tmp_path, Watched) as here:
            plugin = await here.kubelet()
            stream = plugin.watch()
            assert "gpu-0" in await anext(stream)
            async with asyncio.timeout(10):
                await here.server.stop(40)
                assert [one async for one in stream] == []
            await plugin.close()

    asyncio.run(story())


def test_a_damaged_state_is_told_and_the_driver_stays_up(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        engine, _ = bench.engine()
        engine.prepare(claim("u", result("gpu-1")), "u")
        state = Store(bench.plugin, BOOT).path
        state.write_bytes(state.read_bytes() + b"x")
        async with running(tmp_path) as here:
            here.api.add(claim("v", result("gpu-2")))
            plugin = await here.kubelet()
            assert await plugin.check() == 2
            assert "drain the node, then move the file away" in (await plugin.prepare(("v", "claim-v")))["v"][1]
            assert "drain the node, then move the file away" in (await plugin.unprepare(("u", "claim-u")))["u"]
            state.rename(state.with_suffix(".damaged"))
            assert (await plugin.prepare(("v", "claim-v")))["v"][1] == ""
            assert await plugin.check() == 1
            assert bench.specs() == [f"k8s.{DRIVER}-claim_v.json"]  # that of the claim that nobody knows has gone
            await plugin.close()

    asyncio.run(story())


def test_a_rolling_update_leaves_no_gap(tmp_path: Path) -> None:
    """Two instances share the state; a prepare that the old one is at is finished, and the new one goes on from it."""

    async def story() -> None:
        async with running(tmp_path, Watched, "new") as new:
            Watched.reports = []
            async with running(tmp_path, Watched, "old") as old:
                plugins = await register(tmp_path / "r")
                assert [Path(one.endpoint).name for one in plugins] == ["dra-new.sock", "dra-old.sock"]
                of_new, of_old = plugins
                for here in (old, new):
                    here.api.add(claim("u", result("gpu-1")))
                entered, leave = asyncio.Event(), asyncio.Event()
                loop = asyncio.get_running_loop()

                def wait() -> None:
                    loop.call_soon_threadsafe(entered.set)
                    asyncio.run_coroutine_threadsafe(leave.wait(), loop).result()

                assert isinstance(old.driver, Watched)
                old.driver.wait = wait
                calling = asyncio.create_task(of_old.prepare(("u", "claim-u")))
                await asyncio.wait_for(entered.wait(), 20)
                stopping = asyncio.create_task(old.server.stop(30))
                await until(lambda: not old.sockets.registration.exists())
                busy = (await of_new.unprepare(("u", "claim-u")))["u"]
                assert "another instance of the driver has held the lock" in busy
                leave.set()
                first = await calling
                await stopping
                assert first["u"][1] == ""
                assert await of_new.prepare(("u", "claim-u")) == first
                assert new.driver.seen == []
                assert new.sockets.service.exists()
                assert not old.sockets.service.exists()
                assert await of_new.unprepare(("u", "claim-u")) == {"u": ""}
                await of_old.close()
                await of_new.close()

    asyncio.run(story())
