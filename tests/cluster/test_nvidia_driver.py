"""The NVIDIA driver as a process that runs from recordings, on a real API server, called by the tests' kubelet."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_plane import NODE, driver_account, driver_plane

from fairlead.drivers.nvidia import make
from fairlead.hardware import Recording, RecordingMachine, write_recording
from kube import Api, ControlPlane
from tests.drivers.nvidia import machines

sys.path.insert(0, str(Path(__file__).parent.parent / "driver"))

from kubelet import register

pytestmark = pytest.mark.cluster

GPU, CHANNELS = "gpu.nvidia.com", "compute-domain.nvidia.com"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        plane.namespace("ml")
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    account = driver_account(plane, GPU, CHANNELS)
    account.write_kubeconfig(plane.folder / "driver.kubeconfig")
    return account


def claim(plane: ControlPlane, name: str, config: list[dict[str, Any]], *results: tuple[str, str]) -> tuple[str, str]:
    """UID and name of a claim that is allocated these devices (driver, device)."""
    requests = [{"name": f"r{at}", "exactly": {"deviceClassName": "c"}} for at in range(len(results))]
    head = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name, "namespace": "ml"}}
    item = plane.api.create(head | {"spec": {"devices": {"requests": requests, "config": config}}})
    found = [
        {"request": f"r{at}", "driver": driver, "pool": NODE, "device": device}
        for at, (driver, device) in enumerate(results)
    ]
    applied = [{"source": "FromClaim"} | one for one in config]
    item["status"] = {"allocation": {"devices": {"results": found, "config": applied}}}
    plane.api.request("PUT", f"{CLAIMS}/{name}/status", item)
    return item["metadata"]["uid"], name


@pytest.mark.parametrize(
    ("machine", "options", "devices", "channel"),
    [
        (machines.h100, "mig=dynamic,shares=memory", 8 * 26, "channel-0"),
        (machines.gb200, "shares=4,channels=2", 4, "channel-1"),
    ],
)
def test_a_recorded_machine(tmp_path, plane, account, machine, options, devices, channel):
    recording = Recording()
    box = machine(tmp_path / "tree")
    for driver in make(options, NODE, RecordingMachine(box, recording)):
        driver.discover()
    file = tmp_path / "machine.yaml"
    write_recording(recording, file)
    plane.api.clear(SLICES)
    plane.api.clear(CLAIMS)

    def published(name: str) -> list[dict[str, Any]]:
        return [
            one
            for item in plane.api.items(SLICES)
            if item["spec"]["driver"] == name
            for one in item["spec"].get("devices", [])
        ]

    async def story() -> None:
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node"]
        command += ["--driver", f"nvidia={options}", "--recording", str(file), "--node-name", NODE]
        command += ["--plugins-dir", str(tmp_path / "p"), "--registry-dir", str(tmp_path / "r")]
        command += ["--cdi-dir", str(tmp_path / "cdi"), "--kubeconfig", str(plane.folder / "driver.kubeconfig")]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log)
        try:
            async with asyncio.timeout(60):
                while len(await asyncio.to_thread(published, GPU)) != devices:
                    assert process.poll() is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.1)
            plugins = {one.name: one for one in await register(tmp_path / "r")}
            config = {
                "requests": ["r1"],
                "opaque": {
                    "driver": CHANNELS,
                    "parameters": {
                        "apiVersion": "resource.nvidia.com/v1beta1",
                        "kind": "ComputeDomainChannelConfig",
                        "domainID": "d",
                    },
                },
            }
            both = claim(plane, "both", [config], (GPU, "gpu-2"), (CHANNELS, channel))
            for name in (GPU, CHANNELS):
                assert (await plugins[name].prepare(both))[both[0]][1] == ""
            assert len(list((tmp_path / "cdi").iterdir())) == 2
            for name in (CHANNELS, GPU):
                assert await plugins[name].unprepare(both) == {both[0]: ""}
            assert list((tmp_path / "cdi").iterdir()) == []
            for plugin in plugins.values():
                await plugin.close()
        finally:
            process.terminate()
            process.wait()

    asyncio.run(story())
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [one for one in events if "problem" in one or "dropped" in str(one.get("event"))] == []
    [first] = [one for one in published(GPU) if one["name"] == "gpu-0"]
    assert first["allowMultipleAllocations"]
    assert bool(first.get("consumesCounters")) == ("dynamic" in options)
