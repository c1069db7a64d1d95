"""The controller as a process of its own, on a real control plane: kube-scheduler binds what Fairlead allocates.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import GATE, GROUP, bound, controller, has_logged, held_twice, log_size, nodes, pod, start, template, told

from kube import ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "src" / "fairlead" / "cli" / "demo"


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

        wait_for(lambda: bool(told(api, "ml", "evaluate")), 30, "the pod that has to wait to be told why")
    assert not any(name.startswith("evaluate") for name in bound(api, "ml"))
    assert "held by claim" in told(api, "ml", "evaluate")[0]
    assert "It would fit" in told(api, "ml", "evaluate")[0]
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
