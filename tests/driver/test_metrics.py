"""What drivers show of themselves over HTTP, while a kubelet and an API server use them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from apiserver import Answers
from kubelet import register
from prometheus_client.parser import text_string_to_metric_families
from workshop import BOOT, DRIVER, NODE, Workshop, claim, result

import fairlead.driver
from fairlead.driver.api import ApiError
from fairlead.driver.author import Health, Pool
from fairlead.driver.node import LEVELS, NodeOptions, serve
from fairlead.telemetry import ListenError


class Failing(Answers):
    """Has claims, and is out of order for everything else."""

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = ""
    ) -> bytes:
        if "/resourceclaims/" not in path:
            raise ApiError(503, "out of order")
        return await super().request(method, path, query, body, media)


class Ailing(Workshop):
    """Two of its devices are unhealthy: a partition and the whole that contains it."""

    def health(self) -> list[Health]:
        return [Health("half-0a", False, "broken")]


class Blind(Workshop):
    """Cannot discover."""

    name = "blind.example.com"

    def discover(self) -> Pool:
        raise OSError("no bus")


class Node:
    """A node process whose figures can be asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.api = Failing()
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.stop = asyncio.Event()

    def told(self, event: str, **fields: Any) -> None:
        self.log.append((event, fields))

    def address(self) -> str:
        return next((fields["address"] for event, fields in self.log if "address" in fields), "")

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.address()}{path}") as answer:
            return answer.status, await answer.text()

    async def figures(self, driver: str = DRIVER) -> dict[str, float]:
        """Samples of a driver by name and values of the other labels; histograms by their count."""
        _, text = await self.get("/metrics")
        return {
            " ".join([sample.name, *(value for label, value in sorted(sample.labels.items()) if label != "driver")]): (
                sample.value
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("driver") == driver and not sample.name.endswith(("_bucket", "_created", "_sum"))
        }


@asynccontextmanager
async def node(root: Path, *kinds: type[Workshop]) -> AsyncIterator[Node]:
    here = Node(root)
    (root / "hardware").mkdir()
    options = NodeOptions(NODE, "", root / "p", root / "r", root / "cdi", "", "127.0.0.1:0", boot=BOOT)
    drivers = [kind(root / "hardware") for kind in kinds]
    task = asyncio.create_task(serve(drivers, here.api, options, here.told, here.stop))
    try:
        await until(lambda: len(list((root / "r").glob("*.sock"))) == len(kinds))
        yield here
    finally:
        here.stop.set()
        await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def test_calls_claims_and_devices_are_counted(tmp_path: Path) -> None:
    async def story() -> None:
        async with node(tmp_path, Ailing) as here:
            begun = await here.figures()
            assert begun["fairlead_driver_calls_total prepare done"] == 0
            assert begun["fairlead_driver_registered"] == 0
            assert await here.get("/healthz") == (200, "ok\n")
            assert await here.get("/readyz") == (503, f"driver {DRIVER}: is not registered by kubelet\n")

            (plugin,) = await register(tmp_path / "r")
            assert await here.get("/readyz") == (200, "ok\n")
            for uid, device in (("u", "gpu-1"), ("v", "gpu-2"), ("w", "none")):
                here.api.add(claim(uid, result(device)))
            await plugin.prepare(("u", "claim-u"), ("v", "claim-v"), ("w", "claim-w"), ("x", "claim-x"))
            await plugin.unprepare(("v", "claim-v"))
            await plugin.close()

            found = await here.figures()
            assert found["fairlead_driver_registered"] == 1
            assert found["fairlead_driver_calls_total prepare done"] == 2
            assert found["fairlead_driver_calls_total prepare failed"] == 2
            assert found["fairlead_driver_calls_total unprepare done"] == 1
            assert found["fairlead_driver_call_seconds_count prepare"] == 4
            assert found["fairlead_driver_prepared_claims"] == 1
            assert found["fairlead_driver_unfinished_claims"] == 0
            assert found["fairlead_driver_devices"] == 7
            assert found["fairlead_driver_unhealthy_devices"] == 2
            assert found["fairlead_driver_slice_writes_total create"] == 0
            assert found["fairlead_driver_api_errors_total 404"] == 1
            assert found["fairlead_driver_api_errors_total 503"] >= 1
            assert found["fairlead_driver_store_errors_total"] == 0

    asyncio.run(story())


def test_what_goes_wrong_is_counted_for_the_driver_that_it_concerns(tmp_path: Path) -> None:
    async def story() -> None:
        async with node(tmp_path, Workshop, Blind) as here:
            plugins = await register(tmp_path / "r")
            assert await here.get("/readyz") == (200, "ok\n")
            (tmp_path / "p" / DRIVER / "prepared.json").write_text("broken")
            assert await here.get("/readyz") == (503, f"driver {DRIVER}: its state cannot be used\n")
            (ours,) = [one for one in plugins if one.name == DRIVER]
            here.api.add(claim("u", result("gpu-1")))
            await ours.prepare(("u", "claim-u"))
            mine, other = await here.figures(), await here.figures(Blind.name)
            assert (mine["fairlead_driver_store_errors_total"], other["fairlead_driver_store_errors_total"]) == (1, 0)
            assert mine["fairlead_driver_discovery_failures_total"] == 0
            assert other["fairlead_driver_discovery_failures_total"] >= 1
            for plugin in plugins:
                await plugin.close()

    asyncio.run(story())


def test_an_address_that_cannot_be_used_ends_the_process(tmp_path: Path) -> None:
    async def story() -> None:
        options = NodeOptions(NODE, "", tmp_path / "p", tmp_path / "r", tmp_path / "cdi", "", "nowhere", boot=BOOT)
        await serve([Workshop(tmp_path)], Failing(), options, lambda *_, **__: None, asyncio.Event())

    with pytest.raises(ListenError, match="--listen nowhere: must be HOST:PORT"):
        asyncio.run(story())


def test_levels_are_of_events_that_there_are() -> None:
    folder = Path(fairlead.driver.__file__).parent
    sources = [path for path in folder.glob("*.py") if path.name not in ("node.py", "spells.py")]
    told = {text for path in sources for text in re.findall(r'"([^"\n]+)"', path.read_text())}
    told |= {"failed", "not registered by kubelet"}  # of node.py itself
    assert set(LEVELS) <= told
