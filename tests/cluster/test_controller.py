"""The controller as a process of its own, on a real control plane: kube-scheduler binds what Fairlead allocates.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube import ControlPlane, add_cluster
from kube.api import Api, wait_for
from kube.nodes import fake_node

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "src" / "fairlead" / "cli" / "demo"
GATE = {"name": "fairlead.dev/allocation"}
GROUP = "/apis/resource.k8s.io/v1"
RULES = [
    {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims", "resourceslices", "deviceclasses", "devicetaintrules"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["scheduling.k8s.io"], "resources": ["podgroups"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaims", "resourceclaims/status", "resourceclaims/binding"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]
"""All that docs/controller.md says the controller needs."""


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The control plane, with an account for the controller that has the documented rights and no others."""
    account = control_plane.service_account("fairlead", RULES)
    account.write_kubeconfig(control_plane.folder / "fairlead.kubeconfig")
    return control_plane


def start(plane: ControlPlane, *options: str) -> subprocess.Popen[bytes]:
    """The controller, with the rights of its own account only."""
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "controller", *options]
    kubeconfig = str(plane.folder / "fairlead.kubeconfig")
    with (plane.folder / "logs" / "fairlead.log").open("ab") as log:
        return subprocess.Popen([*command, "--kubeconfig", kubeconfig], stderr=log)


def log_size(plane: ControlPlane) -> int:
    """How much controllers have logged so far."""
    return (plane.folder / "logs" / "fairlead.log").stat().st_size


def has_logged(plane: ControlPlane, event: str, since: int) -> bool:
    """Whether a controller has logged an event after the log had a size."""
    return f'"event":"{event}"'.encode() in (plane.folder / "logs" / "fairlead.log").read_bytes()[since:]


@contextmanager
def controller(plane: ControlPlane) -> Iterator[subprocess.Popen[bytes]]:
    """The controller while the block runs; it must end well when it is told to."""
    process = start(plane)
    before = log_size(plane)
    try:
        wait_for(lambda: has_logged(plane, "synced", before), 30, "the controller to know the cluster")
        yield process
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def nodes(count: int, prefix: str) -> list[dict[str, Any]]:
    """Nodes with eight GPUs each, eight to a rack."""
    made = []
    for number in range(count):
        name = f"{prefix}-{number:03d}"
        made.append(fake_node(name, {"topology.fairlead.dev/rack": f"{prefix}-rack-{number // 8}"}))
        made.append(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": f"{name}-gpu"},
                "spec": {
                    "driver": f"{prefix}.example.com",
                    "nodeName": name,
                    "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
                    "devices": [{"name": f"gpu-{device}"} for device in range(8)],
                },
            }
        )
    selector = {"cel": {"expression": f'device.driver == "{prefix}.example.com"'}}
    made.append(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": prefix},
            "spec": {"selectors": [selector]},
        }
    )
    return made


def template(namespace: str, device_class: str, count: int) -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class, "count": count}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": f"{device_class}-{count}", "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def pod(namespace: str, name: str, of: str, labels: dict[str, str] | None = None, gang: str = "") -> dict[str, Any]:
    annotations = {"fairlead.dev/gang": gang} if gang else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations},
        "spec": {
            "schedulingGates": [GATE],
            "containers": [{"name": "main", "image": "none", "resources": {"claims": [{"name": "gpus"}]}}],
            "resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": of}],
        },
    }


def bound(api: Api, namespace: str) -> dict[str, str]:
    """The node of each pod that has one."""
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods")
    return {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods if one["spec"].get("nodeName")}


def held_twice(api: Api) -> list[tuple[str, str, str]]:
    """The devices that more than one claim holds."""
    seen: set[tuple[str, str, str]] = set()
    twice = []
    for claim in api.items(f"{GROUP}/resourceclaims"):
        allocation = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
        for result in allocation["devices"]["results"]:
            device = (result["driver"], result["pool"], result["device"])
            if device in seen:
                twice.append(device)
            seen.add(device)
    return twice


def test_the_demo_workload(plane: ControlPlane) -> None:
    api = plane.api
    for name in ("ml", "web"):
        plane.namespace(name)
    documents = [one for file in sorted(DEMO.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text()) if one]
    hardware = ("Node", "ResourceSlice", "DeviceClass")
    add_cluster(api, [one for one in documents if one["kind"] in hardware])

    def create(*names: str) -> None:
        for one in documents:
            if one["kind"] in hardware or (one["kind"] == "Job") != (one["metadata"]["name"] in names):
                continue
            if pods := one["spec"].get("template"):
                pods["spec"]["schedulingGates"] = [GATE]
                if one["metadata"]["name"] == "train":
                    pods["metadata"] = {"annotations": {"fairlead.dev/group-size": "4"}}
            api.create(one)

    with controller(plane):
        create("train")
        wait_for(lambda: len(bound(api, "ml")) == 4, 60, "training to be bound")
        wait_for(lambda: len(bound(api, "web")) == 2, 60, "inference to be bound")
        documents = [one for one in documents if one["metadata"]["name"] == "evaluate"]
        create("evaluate")

        def told() -> list[str]:
            events = api.items("/api/v1/namespaces/ml/events")
            mine = [one for one in events if one.get("source", {}).get("component") == "fairlead"]
            return [one["message"] for one in mine if one["involvedObject"]["name"].startswith("evaluate")]

        wait_for(lambda: bool(told()), 30, "the pod that has to wait to be told why")
    assert not any(name.startswith("evaluate") for name in bound(api, "ml"))
    assert "held by claim" in told()[0]
    assert "It would fit" in told()[0]
    assert held_twice(api) == []


def test_a_gang_of_16_pods_with_8_devices_on_64_nodes(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("gang")
    add_cluster(api, nodes(64, "gpu"))
    api.create(template(namespace, "gpu", 8))
    labels = {"fairlead.dev/group": "train", "fairlead.dev/group-size": "16"}
    with controller(plane):
        gang = '{"slices": {"level": "topology.fairlead.dev/rack", "size": 8}}'
        made = [pod(namespace, f"worker-{number}", "gpu-8", labels, gang) for number in range(16)]
        api.create_all(made[:15])
        time.sleep(2)
        assert bound(api, namespace) == {}, "one is missing"
        assert all(not one.get("status") for one in api.items(f"{GROUP}/namespaces/{namespace}/resourceclaims"))
        api.create(made[15])
        wait_for(lambda: len(bound(api, namespace)) == 16, 60, "the gang to be bound")
    places = bound(api, namespace)
    assert len(set(places.values())) == 16
    racks = {int(node.rpartition("-")[2]) // 8 for node in places.values()}
    assert len(racks) == 2
    assert held_twice(api) == []


def test_killed_at_random_moments_it_goes_on_where_it_was(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("killed")
    add_cluster(api, nodes(20, "acc"))
    for count in (1, 4):
        api.create(template(namespace, "acc", count))
    chance = random.Random(1)
    wrong: list[Any] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            wrong.extend(held_twice(api))
            time.sleep(0.02)

    def all_bound() -> bool:
        return len(bound(api, namespace)) == len(made)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        made = [pod(namespace, f"single-{number}", "acc-1") for number in range(60)]
        for gang in range(6):
            labels = {"fairlead.dev/group": f"g{gang}", "fairlead.dev/group-size": "4"}
            made += [pod(namespace, f"g{gang}-{number}", "acc-4", labels) for number in range(4)]
        chance.shuffle(made)
        api.create_all(made)
        for _ in range(8):
            before = log_size(plane)
            process = start(plane)
            wait_for(lambda since=before: has_logged(plane, "decided", since) or all_bound(), 30, "a decision")
            time.sleep(chance.uniform(0.1, 0.7))
            process.kill()
            process.wait()
        with controller(plane):
            wait_for(all_bound, 60, "every pod to be bound")
    finally:
        done.set()
        looking.join()
    assert wrong == []
    assert held_twice(api) == []
    assert start(plane, "--once").wait(30) == 0
