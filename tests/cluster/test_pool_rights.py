"""What publishes a fabric's pools, with exactly the rights that deploy/manifests/pools gives it, on a real API server.

The token is that of the Deployment's pod on a node that has no claim; the box is the emulator.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from driver_plane import NODE, account_of, driver_plane

from kube import Api, ControlPlane, fake_node
from kube.api import wait_for
from tests.drivers.fabric.bench import DRIVER, config
from tests.drivers.fabric.emulator import Emulator

pytestmark = pytest.mark.cluster

MANIFESTS = Path(__file__).parent.parent.parent / "deploy" / "manifests"
SYSTEM = "fairlead-system"
OTHER = "other.example.com"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
HERE = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}


def objects(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((MANIFESTS / name).read_text()) if one]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        plane.namespace("ml")
        plane.api.create(fake_node("system-1"))
        labels = {"metadata": {"labels": {"kubernetes.io/hostname": "node-1"}}}
        plane.api.patch(f"/api/v1/nodes/{NODE}", labels, "application/merge-patch+json")
        for file in ("00-namespace.yaml", "pools/10-rights.yaml", "pools/20-pools.yaml"):
            for one in objects(file):
                plane.api.create(one)
        yield plane


@pytest.fixture(scope="module")
def account(plane: ControlPlane) -> Api:
    """Who the Deployment's pod is; its pod is one as the Deployment makes it."""
    (deployment,) = objects("pools/20-pools.yaml")
    template = deployment["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "pools", "namespace": SYSTEM},
        "spec": template["spec"] | {"nodeName": "system-1", "priorityClassName": ""},
    }
    return account_of(plane, pod)


def claim(plane: ControlPlane, name: str, driver: str, pool: str) -> None:
    """A claim that has a device of a fabric's pool, as kube-scheduler writes it."""
    plane.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "ml"},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "fabric"}}]}},
        }
    )
    item = plane.api.get(f"{CLAIMS}/{name}")
    result = {
        "request": "gpu",
        "driver": driver,
        "pool": pool,
        "device": "gpu-gpu-0" if driver == DRIVER else "gpu-gpu-1",
        "bindingConditions": [f"{driver}/Attached"],
        "bindingFailureConditions": [f"{driver}/AttachFailed"],
    }
    item["status"] = {"allocation": {"devices": {"results": [result]}, "nodeSelector": HERE}}
    plane.api.request("PUT", f"{CLAIMS}/{name}/status", item)


def conditions(plane: ControlPlane, name: str) -> dict[str, str]:
    found = plane.api.get(f"{CLAIMS}/{name}").get("status", {}).get("devices", [])
    return {condition["type"]: condition["status"] for one in found for condition in one["conditions"]}


def devices(plane: ControlPlane) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in plane.api.items(SLICES):
        found.setdefault(one["spec"]["driver"], []).extend(device["name"] for device in one["spec"]["devices"])
    return found


def of_box(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the log has of an outage of the box, for each of the two drivers."""
    events = ("could not be discovered", "can be discovered again")
    return [(one["level"], one["event"]) for one in lines if one["event"] in events]


def test_they_are_enough_for_the_drivers_that_are_named(tmp_path: Path, plane: ControlPlane, account: Api) -> None:
    kubeconfig = account.write_kubeconfig(tmp_path / "kubeconfig")
    log = tmp_path / "log"

    def logged() -> list[dict[str, Any]]:
        return [json.loads(line) for line in log.read_text().splitlines()]

    with Emulator("connections") as box:
        path = config(tmp_path, box)
        rules = [
            {"match": {"id": "GPU-0"}},
            {"match": {"id": "GPU-1"}, "driver": OTHER},  # a driver that the manifests do not name
        ]
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"devices": rules}))
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--shared-pools"]
        command += ["--driver", f"tests.drivers.fabric.plain:make={path},", "--kubeconfig", str(kubeconfig)]
        command += ["--node-name", "system-1", "--plugins-dir", str(tmp_path / "none")]
        with log.open("wb") as stderr:
            process = subprocess.Popen(command, stderr=stderr)
        try:
            wait_for(lambda: devices(plane) == {DRIVER: ["gpu-gpu-0"], OTHER: ["gpu-gpu-1"]}, 60, "published")
            claim(plane, "ours", DRIVER, "rack-pcie-1")
            wait_for(lambda: conditions(plane, "ours") == {f"{DRIVER}/Attached": "True"}, 60, "told")
            assert box.attached == {"GPU-0": "Sys-1"}
            claim(plane, "theirs", OTHER, "rack-pcie-1")
            wait_for(
                lambda: [one for one in logged() if one["event"] == "binding conditions not written"], 60, "refused"
            )

            # A slice that somebody else broke is repaired, and one that is too many is removed: update and delete.
            item = next(one for one in plane.api.items(SLICES) if one["spec"]["driver"] == DRIVER)
            item["spec"]["devices"] = []
            plane.api.request("PUT", f"{SLICES}/{item['metadata']['name']}", item)
            extra = item | {"metadata": {"name": "one-too-many"}}
            extra["spec"] = item["spec"] | {"pool": item["spec"]["pool"] | {"name": "elsewhere"}, "devices": []}
            plane.api.request("POST", SLICES, extra)
            wait_for(
                lambda: len(plane.api.items(SLICES)) == 2 and devices(plane)[DRIVER] == ["gpu-gpu-0"], 60, "repaired"
            )

            plane.api.delete(f"{CLAIMS}/ours")
            wait_for(lambda: "GPU-0" not in box.attached, 60, "detached")
            told = [one["event"] for one in logged()]
            assert "could not be discovered" not in told
            box.denied = 500  # an outage of the box
            plane.api.delete(f"{CLAIMS}/theirs")
            wait_for(lambda: of_box(logged()) == [("warning", "could not be discovered")] * 2, 60, "told")
            time.sleep(6)  # over a second look
            box.denied = 0
            wait_for(lambda: len(of_box(logged())) == 4, 60, "over")
            wait_for(lambda: box.attached == {}, 60, "detached, too")
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    refused = {(one["driver"], one["event"]) for one in logged() if "orbidden" in one.get("problem", "")}
    assert refused == {(OTHER, "binding conditions not written")}
