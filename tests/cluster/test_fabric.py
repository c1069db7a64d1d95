"""A fabric's devices on a real control plane: allocated, attached, bound, prepared, given back, never in two slices.

Kubernetes' scheduler and controllers act; the manager is the emulator, which hot-plugs into the trees of two nodes; the
processes are those of `fairlead node`: one with --shared-pools, and one on each node that runs the fabric's driver.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.driver import Claim, Driver, Pool, PreparedDevice
from fairlead.hardware import Machine
from fairlead.resource import Device, DeviceAttribute
from kube import ControlPlane, MissingProgramError, fake_node, find_programs
from kube import Options as PlaneOptions
from kube.api import wait_for
from tests.drivers.fabric.bench import DRIVER, config
from tests.drivers.fabric.emulator import Emulator
from tests.drivers.fabric.kernel import Kernel

sys.path.insert(0, str(Path(__file__).parent.parent / "driver"))

from kubelet import register

pytestmark = pytest.mark.cluster

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODES = {"node-1": "Sys-1", "node-2": "Sys-2"}
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/ml/resourceclaims"
PODS = "/api/v1/namespaces/ml/pods"
GPU = "gpu.example.com"


class LocalGpus(Driver):
    """The vendor's driver of a node: it publishes every GPU that it finds in the machine, wherever that came from."""

    name = GPU

    def __init__(self, machine: Machine) -> None:
        self._files = machine.files

    def discover(self) -> Pool:
        found = self._files.listed("/sys/bus/pci/devices")
        uuids = {one: self._files.text(f"/sys/bus/pci/devices/{one}/uuid") for one in found}
        return Pool(
            [
                Device(name=f"gpu-{number}", attributes={"uuid": DeviceAttribute(string=uuid)})
                for number, uuid in enumerate(uuids.values())
            ]
        )

    def prepare(self, claim: Claim) -> list[PreparedDevice]:
        return []

    def unprepare(self, claim: Claim) -> None:
        return None

    def watch(self, changed: Callable[[], None], stop: threading.Event) -> None:
        while not stop.wait(0.2):
            changed()


def local_gpus(argument: str, node: str, machine: Machine) -> list[Driver]:
    return [LocalGpus(machine)]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    try:
        find_programs(COMPONENTS)
    except MissingProgramError as error:
        pytest.skip(str(error))
    with ControlPlane(PlaneOptions(components=COMPONENTS, gates={})) as plane:
        plane.namespace("ml")
        for name in NODES:
            node = fake_node(name)
            node["metadata"].setdefault("labels", {})["kubernetes.io/hostname"] = name
            plane.api.create(node)
        plane.api.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": "fabric-gpu"},
                "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]},
            }
        )
        yield plane


class Watcher(threading.Thread):
    """Follows all slices, and notes whenever a UUID is in two of them."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(daemon=True)
        self.slices: dict[str, dict[str, Any]] = {}
        self.events = 0
        self.doubles: list[str] = []
        self.seen: set[str] = set()
        self.taints: set[str] = set()
        self._plane = plane

    def run(self) -> None:
        for event in self._plane.api.watch(SLICES):
            item = event["object"]
            self.slices[item["metadata"]["name"]] = item
            if event["type"] == "DELETED":
                del self.slices[item["metadata"]["name"]]
            self.events += 1
            places: dict[str, list[str]] = {}
            for one in self.slices.values():
                for device in one["spec"].get("devices", []):
                    self.taints |= {taint["key"] for taint in device.get("taints", [])}
                    uuid = device.get("attributes", {}).get("uuid", {}).get("string", "")
                    if uuid and uuid != "GPU-of-the-board":
                        places.setdefault(uuid, []).append(one["spec"]["driver"])
            self.seen |= places.keys()
            self.doubles += [f"{uuid}: {where}" for uuid, where in places.items() if len(where) > 1]


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pod_with_claim(plane: ControlPlane, name: str) -> None:
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "fabric-gpu"}}]}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": name}],
        },
    }
    plane.api.create(claim)
    plane.api.create(pod)


def test_from_pool_to_pod_and_back(plane: ControlPlane, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")

    def start(name: str, *more: str, root: Path | None = None) -> subprocess.Popen[bytes]:
        home = tmp_path / "h" / name
        command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--node-name", name]
        command += ["--driver", f"tests.drivers.fabric.plain:make={path},{root or ''}"]
        command += ["--kubeconfig", str(plane.kubeconfig), "--plugins-dir", str(home / "p"), *more]
        command += ["--registry-dir", str(home / "r"), "--cdi-dir", str(home / "cdi")]
        if root is not None:
            command += ["--root", str(root), "--driver", "tests.cluster.test_fabric:local_gpus"]
        return subprocess.Popen(command, stderr=log)

    def fabric_devices() -> list[str]:
        found = [one for one in plane.api.items(SLICES) if one["spec"]["driver"] == DRIVER]
        return sorted(device["name"] for one in found for device in one["spec"].get("devices", []))

    def free() -> list[str]:
        found = [one for one in plane.api.items(SLICES) if one["spec"]["driver"] == DRIVER]
        devices = [device for one in found for device in one["spec"].get("devices", [])]
        return sorted(one["name"] for one in devices if not one.get("taints"))

    async def on_node(node: str, call: str, uid: str, name: str) -> Any:
        plugins = await register(tmp_path / "h" / node / "r")
        ours = next(one for one in plugins if one.name == DRIVER)
        try:
            return (await getattr(ours, call)((uid, name)))[uid]
        finally:
            for one in plugins:
                await one.close()

    with ExitStack() as stack:
        kernel = stack.enter_context(Kernel(tmp_path, NODES, own=True))
        box = stack.enter_context(Emulator(seconds=0.5, on_change=kernel.change))
        path = config(tmp_path, box)
        watcher = Watcher(plane)
        watcher.start()
        for node in NODES:
            stack.enter_context(killed(start(node, root=tmp_path / node)))
        shared = stack.enter_context(killed(start("pub", "--shared-pools")))
        wait_for(lambda: fabric_devices() == ["gpu-gpu-0", "gpu-gpu-1"], 60, "published")
        local = lambda: [one for one in watcher.slices.values() if one["spec"]["driver"] == GPU]  # noqa: E731
        wait_for(lambda: len(local()) == len(NODES), 60, "the vendor's driver publishes its own")
        for node in NODES:
            wait_for(lambda node=node: len(list((tmp_path / "h" / node / "r").glob("*.sock"))) == 2, 60, "sockets")

        box.seconds = 3.0
        pod_with_claim(plane, "train")
        status = wait_for(lambda: plane.api.get(f"{CLAIMS}/train").get("status", {}).get("allocation"), 60, "allocated")
        assert status["devices"]["results"][0]["bindingConditions"] == [f"{DRIVER}/Attached"]
        wait_for(lambda: box.writes, 60, "attaching has begun")
        assert "nodeName" not in plane.api.get(f"{PODS}/train")["spec"]
        shared.kill()  # while the device is being attached
        shared.wait()
        shared = stack.enter_context(killed(start("pub", "--shared-pools")))
        node = wait_for(lambda: plane.api.get(f"{PODS}/train")["spec"].get("nodeName"), 60, "bound")
        (entry,) = plane.api.get(f"{CLAIMS}/train")["status"]["devices"]
        assert [(one["type"], one["status"]) for one in entry["conditions"]] == [(f"{DRIVER}/Attached", "True")]
        (unit,) = box.attached
        assert box.attached == {unit: NODES[node]}
        assert box.writes == [f"attach {unit} {NODES[node]}"]

        uid = plane.api.get(f"{CLAIMS}/train")["metadata"]["uid"]
        (device,), error = asyncio.run(on_node(node, "prepare", uid, "train"))
        assert error == ""
        assert device
        (spec,) = (tmp_path / "h" / node / "cdi").iterdir()
        edits = json.loads(spec.read_text())["devices"][0]["containerEdits"]
        assert [one["path"] for one in edits["deviceNodes"]] == [f"/dev/dri/renderD{128 + int(unit[-1])}"]
        assert fabric_devices() == ["gpu-gpu-0", "gpu-gpu-1"]
        found = b"is not published: it belongs to pool rack-zone-1 of fabric.fairlead.dev"
        wait_for(
            lambda: found in (tmp_path / "log").read_bytes(), 60, "the vendor's driver finds the device, and leaves it"
        )
        assert {len(one["spec"]["devices"]) for one in local()} == {1}

        assert asyncio.run(on_node(node, "unprepare", uid, "train")) == ""
        assert not kernel.shows(unit)
        plane.api.delete(f"{PODS}/train", 0)
        plane.api.delete(f"{CLAIMS}/train")
        wait_for(lambda: f"{DRIVER}/returning" in watcher.taints, 60, "it is not offered before it is back")
        wait_for(lambda: box.attached == {}, 60, "detached")
        wait_for(lambda: free() == ["gpu-gpu-0", "gpu-gpu-1"], 60, "back in the pool")
        assert kernel.events == [f"attach {unit}", f"remove {unit}", f"detach {unit} after removal"]
        assert box.violations == []
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [line for line in lines if line["level"] != "info"] == []
        assert watcher.doubles == []
        assert watcher.seen == {"GPU-1111-0", "GPU-1111-1"}
        assert watcher.events >= 5
