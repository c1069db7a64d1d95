"""`fairlead node` with exactly the rights that deploy/manifests/node gives it, on a real API server.

Two drivers of a page each, which write the status of their devices, and a third one that the manifests do not name.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from driver_plane import NODE, account_of, driver_plane, rules

from kube import Api, ControlPlane

sys.path.insert(0, str(Path(__file__).parent.parent / "driver"))

from kubelet import register

pytestmark = pytest.mark.cluster

MANIFESTS = Path(__file__).parent.parent.parent / "deploy" / "manifests" / "node"
NAMESPACE = "fairlead-drivers"
NAMED = ("dra.net", "gpu.nvidia.com")
OTHER = "other.example.com"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
DRIVER = """
from fairlead.driver import DeviceStatus, Driver, Edits, Pool
from fairlead.resource import Device


class Cards(Driver):
    def __init__(self, name):
        self.name = name

    def discover(self):
        return Pool([Device(name="card-0")])

    def prepare(self, claim):
        for device in claim.devices:
            yield device.prepared(Edits(env={"CARD": "0"}), DeviceStatus(data={"by": self.name}))

    def unprepare(self, claim):
        pass
"""


def objects(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((MANIFESTS / name).read_text()) if one]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        plane.namespace("ml")
        for one in [*objects("10-rights.yaml"), *objects("20-drivers.yaml")]:
            plane.api.create(one)
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    """Who the DaemonSet's pod on the node is; its pod is one as the DaemonSet makes it."""
    (daemonset,) = objects("20-drivers.yaml")
    template = daemonset["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "drivers", "namespace": NAMESPACE},
        "spec": template["spec"] | {"nodeName": NODE},
    }
    return account_of(plane, pod)


def test_the_rights_are_those_of_the_other_tests() -> None:
    (role,) = [one for one in objects("10-rights.yaml") if one["kind"] == "ClusterRole"]
    given = [rule | {"resourceNames": sorted(rule.get("resourceNames", []))} for rule in role["rules"]]
    assert given == [rule | {"resourceNames": sorted(rule.get("resourceNames", []))} for rule in rules(*NAMED)]


def allocated(plane: ControlPlane) -> dict[str, Any]:
    """A claim that has the device of each driver."""
    drivers = [*NAMED, OTHER]
    requests = [{"name": f"r{i}", "exactly": {"deviceClassName": "c"}} for i in range(len(drivers))]
    item = plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "all", "namespace": "ml"},
            "spec": {"devices": {"requests": requests}},
        }
    )
    results = [
        {"request": f"r{i}", "driver": driver, "pool": NODE, "device": "card-0"} for i, driver in enumerate(drivers)
    ]
    # As whoever allocates writes it; by this the API server knows whose node may write the status.
    here = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
    item["status"] = {"allocation": {"devices": {"results": results}, "nodeSelector": here}}
    plane.api.request("PUT", f"{CLAIMS}/all/status", item)
    return item


async def until(true: Callable[[], bool], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(true):
            await asyncio.sleep(0.05)


def test_they_are_enough_for_the_drivers_that_are_named(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    (tmp_path / "cards.py").write_text(DRIVER)
    kubeconfig = account.write_kubeconfig(tmp_path / "kubeconfig")
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--kubeconfig", str(kubeconfig)]
    command += [f"--driver=cards:Cards={name}" for name in (*NAMED, OTHER)]
    command += ["--node-name", NODE, "--pod-uid", "a", "--plugins-dir", str(tmp_path / "p")]
    command += ["--registry-dir", str(tmp_path / "r"), "--cdi-dir", str(tmp_path / "cdi")]
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def log() -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

    def published() -> dict[str, list[str]]:
        return {one["spec"]["driver"]: [d["name"] for d in one["spec"]["devices"]] for one in plane.api.items(SLICES)}

    def statuses() -> dict[str, Any]:
        item = plane.api.request("GET", f"{CLAIMS}/all")
        return {one["driver"]: one["data"] for one in item["status"].get("devices", [])}

    async def story() -> None:
        await until(lambda: len(list((tmp_path / "r").glob("*.sock"))) == 3)
        plugins = await register(tmp_path / "r")
        await until(lambda: set(published()) == {*NAMED, OTHER})
        claim = allocated(plane)
        uid = claim["metadata"]["uid"]
        for plugin in plugins:
            assert (await plugin.prepare((uid, "all")))[uid][1] == ""
        await until(lambda: statuses() == {name: {"by": name} for name in NAMED})
        await until(lambda: any(one["event"] == "device status not written" for one in log()))
        for plugin in plugins:
            assert await plugin.unprepare((uid, "all")) == {uid: ""}
            await plugin.close()

        # A slice that somebody else broke is repaired, and one that is too many is removed: update and delete.
        item = next(one for one in plane.api.items(SLICES) if one["spec"]["driver"] == NAMED[0])
        broken = item | {"spec": item["spec"] | {"devices": [{"name": "nonsense"}]}}
        plane.api.request("PUT", f"{SLICES}/{item['metadata']['name']}", broken)
        elsewhere = item["spec"]["pool"] | {"name": "elsewhere"}
        extra = item | {"metadata": {"name": "one-too-many"}, "spec": item["spec"] | {"pool": elsewhere}}
        plane.api.request("POST", SLICES, extra)
        await until(lambda: len(plane.api.items(SLICES)) == 3 and published()[NAMED[0]] == ["card-0"])

    with (tmp_path / "log").open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=os.environ | {"PYTHONPATH": paths})
    try:
        asyncio.run(story())
    finally:
        process.kill()
        process.wait()
    refused = {(one["driver"], one["event"]) for one in log() if "orbidden" in one.get("problem", "")}
    assert refused == {(OTHER, "device status not written")}
