"""A pool on a fabric that two nodes reach: one process publishes it, the drivers on both nodes prepare its devices."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from driver_plane import driver_plane

from fairlead.cli import main
from kube import ControlPlane, fake_node

sys.path.insert(0, str(Path(__file__).parent.parent / "driver"))

from kubelet import Plugin, register

pytestmark = pytest.mark.cluster

FABRIC = "fabric.fairlead.dev"
NODES = ("h100-01", "h100-02")
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        plane.namespace("ml")
        for name in NODES:
            plane.api.create(fake_node(name))
        yield plane


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends a process with the block."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(true: Callable[[], bool], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)


def test_one_publishes_and_all_prepare(tmp_path: Path, plane: ControlPlane) -> None:
    hardware, faults = tmp_path / "hardware.yaml", tmp_path / "faults.yaml"
    made = CliRunner().invoke(main, ["cluster", "h100:nodes=2;fabric:devices=2", "--output", str(hardware)])
    assert made.exit_code == 0
    faults.write_text("[]")

    def start(node: str, *more: str) -> subprocess.Popen[bytes]:
        home = tmp_path / node
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--node-name", node]
        chosen = node if node in NODES else NODES[0]
        command += ["--driver", f"simulated={hardware},node={chosen},faults={faults},recover=2"]
        command += ["--kubeconfig", str(plane.kubeconfig), "--plugins-dir", str(home / "p")]
        command += ["--registry-dir", str(home / "r"), "--cdi-dir", str(home / "cdi"), *more]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def slices(driver: str) -> list[dict[str, Any]]:
        return [one for one in plane.api.items(SLICES) if one["spec"]["driver"] == driver]

    def devices() -> list[str]:
        return [one["name"] for item in slices(FABRIC) for one in item["spec"].get("devices", [])]

    def claim() -> tuple[str, str]:
        item = plane.api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": "one", "namespace": "ml"},
                "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": FABRIC}}]}},
            }
        )
        pool = slices(FABRIC)[0]["spec"]["pool"]["name"]
        results = [{"request": "r", "driver": FABRIC, "pool": pool, "device": "fabric-gpu-1"}]
        item["status"] = {"allocation": {"devices": {"results": results}}}
        plane.api.request("PUT", f"{CLAIMS}/one/status", item)
        return item["metadata"]["uid"], "one"

    async def fabric_of(node: str) -> Plugin:
        await until(lambda: len(list((tmp_path / node / "r").glob("*.sock"))) == 3)
        found = await register(tmp_path / node / "r")
        for one in found:
            if one.name != FABRIC:
                await one.close()
        return next(one for one in found if one.name == FABRIC)

    async def story() -> None:
        plugins = [await fabric_of(node) for node in NODES]
        await until(lambda: {one["spec"]["nodeName"] for one in slices("gpu.nvidia.com")} == set(NODES))
        assert slices(FABRIC) == []  # no node's driver publishes what is not its own

        shared = processes.enter_context(killed(start("publisher", "--shared-pools")))
        await until(lambda: devices() == ["fabric-gpu-0", "fabric-gpu-1"])
        (item,) = slices(FABRIC)
        assert "nodeName" not in item["spec"]
        assert "ownerReferences" not in item["metadata"]
        (term,) = item["spec"]["nodeSelector"]["nodeSelectorTerms"]
        assert term["matchExpressions"][0]["key"] == "cloud.provider.com/topology-rack"
        assert not (tmp_path / "publisher").exists()  # neither sockets nor files
        assert len(slices("gpu.nvidia.com")) == len(NODES)  # those of nodes are not its own

        uid, name = claim()
        for plugin in plugins:
            (device,), error = (await plugin.prepare((uid, name)))[uid]
            assert (error, device[3]) == ("", [b"fabric-gpu-1"])
            assert await plugin.unprepare((uid, name)) == {uid: ""}
            await plugin.close()

        faults.write_text("[{device: fabric-gpu-0, fault: unhealthy}, {device: fabric-gpu-1, fault: lost}]")
        await until(lambda: devices() == ["fabric-gpu-0"])
        await until(lambda: bool(slices(FABRIC)[0]["spec"]["devices"][0].get("taints")))
        faults.write_text("[]")
        await until(lambda: devices() == ["fabric-gpu-0", "fabric-gpu-1"])
        shared.terminate()
        assert await asyncio.to_thread(shared.wait, 20) == 0
        assert devices() == ["fabric-gpu-0", "fabric-gpu-1"]

    with ExitStack() as processes:
        for node in NODES:
            processes.enter_context(killed(start(node)))
        asyncio.run(story())
