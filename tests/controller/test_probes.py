"""What is served on an address: probes that say why, metrics that Prometheus can read."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from fairlead.controller.metrics import Metrics
from fairlead.controller.rounds import PlannedRound
from fairlead.controller.service import Service
from fairlead.controller.state import Core
from fairlead.telemetry import ListenError, Probes, split_address


def asked(path: str, unready: str = "", unhealthy: str = "", accept: str = "") -> tuple[int, str]:
    """The answer to a request."""

    async def run() -> tuple[int, str]:
        async def refresh() -> None:
            return

        probes = Probes(Metrics().registry, refresh, lambda: unhealthy, lambda: unready)
        address = await probes.start("127.0.0.1:0")
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}{path}", headers={"Accept": accept}) as response,
            ):
                return response.status, await response.text()
        finally:
            await probes.stop()

    return asyncio.run(run())


def test_probes_say_why() -> None:
    assert asked("/healthz") == (200, "ok\n")
    assert asked("/readyz") == (200, "ok\n")
    assert asked("/readyz", unready="not listed yet: Pod") == (503, "not listed yet: Pod\n")
    assert asked("/healthz", unready="not listed yet: Pod") == (200, "ok\n")
    assert asked("/healthz", unhealthy="stuck") == (503, "stuck\n")
    assert asked("/readyz", unhealthy="stuck") == (503, "stuck\n")


@pytest.mark.parametrize(
    ("accept", "parse"), [("", plain), ("application/openmetrics-text; version=1.0.0", open_metrics)]
)
def test_metrics_are_in_the_format_that_was_asked_for(accept: str, parse: Any) -> None:
    status, text = asked("/metrics", accept=accept)
    assert status == 200
    assert "fairlead_leader" in {family.name for family in parse(text)}


def test_a_decision_that_never_ends_is_unhealthy_and_blocks_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.controller.service._STUCK", 0.05)
    monkeypatch.setattr("fairlead.controller.service._PATIENCE", 0.05)

    async def run() -> tuple[str, str]:
        core = Core(lambda cluster: PlannedRound(cluster, lambda: "share"))
        service = Service(lambda: core, lambda: True, lambda: "", lambda *_, **__: None)
        async with service.deciding():
            await asyncio.sleep(0.1)
            await service._refresh()
            during = service._unhealthy()
        return during, service._unhealthy()

    during, after = asyncio.run(run())
    assert "goes on" in during
    assert after == ""


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:8080", "::1", 8080), (":8080", "", 8080), ("h:0", "h", 0)],
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)


@pytest.mark.parametrize("text", ["8080", "host", "h:", "h:http", "::1:80", "h:70000", "h:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ListenError, match="must be HOST:PORT"):
        split_address(text)


def test_an_address_that_is_taken_is_one_line() -> None:
    async def run(address: str) -> None:
        async def refresh() -> None:
            return

        await Probes(Metrics().registry, refresh, str, str).start(address)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match=f"--listen {address}: .*in use"):
            asyncio.run(run(address))
