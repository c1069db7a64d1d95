"""`fairlead node` as a process: simulated hardware on a real API server, called by the kubelet of the driver's tests.

Two drivers in one process and claims with devices of both; the process is killed, told to stop, started twice for an
update, and its hardware fails by script. A real kubelet and a container runtime are in tests/node.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from driver_plane import NODE, driver_account, driver_plane

from fairlead.cli import main
from kube import Api, ControlPlane

sys.path.insert(0, str(Path(__file__).parent.parent / "driver"))

from kubelet import Plugin, dial, register, text

pytestmark = pytest.mark.cluster

GPU, NET = "gpu.nvidia.com", "dra.net"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        plane.namespace("ml")
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    account = driver_account(plane, GPU, NET)
    account.write_kubeconfig(plane.folder / "driver.kubeconfig")
    return account


class Host:
    """The folders of a node, and the processes on it."""

    def __init__(self, root: Path, plane: ControlPlane) -> None:
        self.root = root
        self.plane = plane
        self.registry = root / "r"
        self.cdi = root / "cdi"
        self.faults = root / "faults.yaml"
        self.faults.write_text("[]")
        self.hardware = root / "hardware.yaml"
        made = CliRunner().invoke(main, ["cluster", "h100:nodes=1", "--output", str(self.hardware)])
        assert made.exit_code == 0
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, uid: str = "", *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node"]
        command += ["--driver", f"simulated={self.hardware},faults={self.faults},recover=8", "--node-name", NODE]
        command += ["--plugins-dir", str(self.root / "p"), "--registry-dir", str(self.registry)]
        command += ["--cdi-dir", str(self.cdi), "--kubeconfig", str(self.plane.folder / "driver.kubeconfig")]
        command += ["--pod-uid", uid] if uid else []
        command += more
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(command, stderr=log)
        self.processes.append(process)
        return process

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "log").read_text().splitlines()]

    async def registered(self, count: int = 2) -> list[Plugin]:
        await until(lambda: len(list(self.registry.glob("*.sock"))) == count)
        return await register(self.registry)

    def claim(self, name: str, *devices: tuple[str, str]) -> tuple[str, str]:
        """UID and name of a claim that is allocated these devices (driver, device)."""
        requests = [{"name": f"r{i}", "exactly": {"deviceClassName": "c"}} for i in range(len(devices))]
        item = self.plane.api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": "ml"},
                "spec": {"devices": {"requests": requests}},
            }
        )
        results = [
            {"request": f"r{i}", "driver": driver, "pool": NODE, "device": device}
            for i, (driver, device) in enumerate(devices)
        ]
        item["status"] = {"allocation": {"devices": {"results": results}}}
        self.plane.api.request("PUT", f"{CLAIMS}/{name}/status", item)
        return item["metadata"]["uid"], name

    def specs(self) -> list[str]:
        return sorted(path.name for path in self.cdi.iterdir()) if self.cdi.is_dir() else []

    def published(self) -> dict[str, list[dict[str, Any]]]:
        items = self.plane.api.items(SLICES)
        return {item["spec"]["driver"]: item["spec"].get("devices", []) for item in items}


@asynccontextmanager
async def hosted(root: Path, plane: ControlPlane) -> AsyncIterator[Host]:
    plane.api.clear(SLICES)
    plane.api.clear(CLAIMS)
    host = Host(root, plane)
    try:
        yield host
    finally:
        for process in host.processes:
            process.kill()
            process.wait()


async def until(true: Callable[[], bool], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)


def on_a_host(story: Callable[[Host], Coroutine[Any, Any, None]], root: Path, plane: ControlPlane) -> None:
    async def told() -> None:
        async with hosted(root, plane) as host:
            await story(host)

    asyncio.run(told())


async def all_prepared(plugins: list[Plugin], claim: tuple[str, str]) -> list[Any]:
    answers = [await plugin.prepare(claim) for plugin in plugins]
    assert [answer[claim[0]][1] for answer in answers] == ["" for _ in plugins]
    return answers


async def closed(plugins: list[Plugin]) -> None:
    for plugin in plugins:
        await plugin.close()


def test_a_claim_of_two_drivers_through_a_kill_and_a_stop(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    async def story(host: Host) -> None:
        process = host.start("", "--health", f"unix:{host.root}/probe.sock")
        plugins = await host.registered()
        assert [plugin.name for plugin in plugins] == [NET, GPU]
        async with dial(f"{host.root}/probe.sock") as probe:
            answer = await probe.unary_unary("/grpc.health.v1.Health/Check")(b"")
        assert answer == b"\x08\x01"  # serving
        await until(lambda: {name: len(found) for name, found in host.published().items()} == {GPU: 8, NET: 8})
        nic = host.published()[NET][2]["name"]
        claim = host.claim("both", (GPU, "gpu-2"), (NET, nic))
        before = await all_prepared(plugins, claim)
        (device,) = before[1][claim[0]][0]
        assert (text(device, 1), text(device, 2), text(device, 3)) == ("r0", NODE, "gpu-2")
        spec = json.loads((host.cdi / f"k8s.{GPU}-claim_{claim[0]}.json").read_text())
        assert spec["devices"][0]["containerEdits"]["env"] == ["SIMULATED_GPU_NVIDIA_COM_GPU_2=r0"]
        assert len(host.specs()) == 2

        process.send_signal(signal.SIGKILL)
        process.wait()
        await closed(plugins)
        for path in host.cdi.iterdir():
            path.unlink()
        process = host.start()
        await until(lambda: len(host.specs()) == 2)  # made again, before anybody asks
        plugins = await host.registered()
        assert await all_prepared(plugins, claim) == before
        plane.api.delete(f"{CLAIMS}/both")
        assert [await plugin.unprepare(claim) for plugin in plugins] == [{claim[0]: ""}] * 2
        assert host.specs() == []

        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
        await closed(plugins)
        assert list(host.registry.iterdir()) == []
        assert list(host.root.glob("p/*/*.sock")) == []
        assert set(host.published()) == {GPU, NET}

    on_a_host(story, tmp_path, plane)


def test_an_update_without_a_gap(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    async def story(host: Host) -> None:
        old = host.start("old")
        of_old = await host.registered()
        first, second = host.claim("first", (GPU, "gpu-0")), host.claim("second", (GPU, "gpu-1"))
        await all_prepared(of_old[1:], first)
        host.faults.write_text("[{device: gpu-1, fault: slow, seconds: 2}]")
        host.start("new")
        of_both = await host.registered(4)
        of_new = [one for one in of_both if "dra-new" in one.endpoint and one.name == GPU]
        slow = asyncio.create_task(of_old[1].prepare(second))
        await asyncio.sleep(0.5)
        old.send_signal(signal.SIGTERM)
        assert (await slow)[second[0]][1] == ""  # what the old one was at is finished
        assert await asyncio.to_thread(old.wait, 20) == 0
        assert len(list(host.registry.glob("*-new-reg.sock"))) == 2
        await all_prepared(of_new, first)
        await all_prepared(of_new, second)
        assert await of_new[0].unprepare(first, second) == {first[0]: "", second[0]: ""}
        host.faults.write_text("[{device: gpu-7, fault: lost}]")
        await until(lambda: len(host.published()[GPU]) == 7)  # it publishes, now that it is alone
        await closed([*of_old, *of_both])

    on_a_host(story, tmp_path, plane)


def test_devices_that_fail_and_come_back(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    def tainted(host: Host) -> list[str]:
        return [device["name"] for device in host.published().get(GPU, []) if device.get("taints")]

    async def story(host: Host) -> None:
        host.start()
        plugins = await host.registered()
        await until(lambda: len(host.published().get(GPU, [])) == 8)
        host.faults.write_text("[{device: gpu-3, fault: unhealthy, message: XID 79}, {device: gpu-5, fault: lost}]")
        await until(lambda: tainted(host) == ["gpu-3"] and len(host.published()[GPU]) == 7)
        async for devices in plugins[1].watch():
            if devices.get("gpu-3") == (2, "XID 79"):
                break
        claim = host.claim("lost", (GPU, "gpu-5"))
        assert "device gpu-5 of pool node-1 is not on this node" in (await plugins[1].prepare(claim))[claim[0]][1]
        host.faults.write_text("[]")
        await until(lambda: len(host.published()[GPU]) == 8)
        assert tainted(host) == ["gpu-3"]  # recovery takes a while
        await until(lambda: tainted(host) == [])
        await closed(plugins)

    on_a_host(story, tmp_path, plane)


def test_a_second_process_without_a_uid_is_refused(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    async def story(host: Host) -> None:
        host.start()
        plugins = await host.registered()
        second = host.start()
        assert await asyncio.to_thread(second.wait, 20) == 2
        assert "another instance of the driver is running" in (host.root / "log").read_text()
        assert len(list(host.registry.iterdir())) == 2
        await closed(plugins)

    on_a_host(story, tmp_path, plane)
