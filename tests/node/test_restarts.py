"""Kubelet, driver and machine end and come back under pods: what runs goes on, and what starts gets its devices."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
from node_objects import GPU, GPUS, NET, NICS
from stage import NOTHING, Stage

pytestmark = pytest.mark.node


@pytest.fixture
def pods(stage: Stage) -> Stage:
    """Two pods that run: one with claims from templates of both drivers, one with a claim of its own."""
    stage.template("pair", gpu=GPUS, nic=NICS)
    stage.claim("single", gpu=GPUS)
    stage.pod("p", {"c": ["pair"], "other": []}, {"pair": "*pair"})
    stage.pod("q", {"c": ["one"]}, {"one": "single"})
    stage.running("p", "q")
    return stage


def slow(stage: Stage, seconds: float) -> None:
    stage.script("".join(f"- {{device: gpu-{n}, fault: slow, seconds: {seconds}}}\n" for n in range(8)))


def check_new_pods(stage: Stage) -> None:
    """A pod that is made now gets its devices, and leaves nothing."""
    before = stage.prepared()
    stage.pod("new", {"c": ["pair"], "other": []}, {"pair": "*pair"})
    stage.running("new")
    given = stage.given("new")
    assert sorted(given["c"].values()) == ["gpu", "nic"]
    assert given["other"] == {}
    stage.delete("new")
    stage.wait(lambda: stage.prepared() == before, "only the pods of before to be prepared")


def check_container_again(stage: Stage, pod: str) -> None:
    """A container that ends is started again by kubelet, from what it remembers, and has its devices again."""
    before, given = stage.containers(pod)["c"], stage.given(pod)
    stage.node.kill(before)
    stage.wait(lambda: stage.containers(pod)["c"] != before, "another container")
    stage.running(pod)
    assert stage.given(pod) == given


def test_kubelet_is_started_again(pods: Stage) -> None:
    stage = pods
    before = stage.containers("p"), stage.containers("q"), stage.given("p"), stage.prepared(), stage.specs()
    taken = len(stage.told("driver", "registered"))
    stage.node.halt("kubelet")
    stage.node.run_kubelet()
    stage.registered("driver", taken)
    stage.wait(stage.all_published, "the slices")
    check_new_pods(stage)
    assert (stage.containers("p"), stage.containers("q"), stage.given("p"), stage.prepared(), stage.specs()) == before
    check_container_again(stage, "p")


def test_the_runtime_is_started_again(pods: Stage) -> None:
    stage = pods
    before = stage.containers("p"), stage.given("p"), stage.prepared()
    stage.node.halt("containerd")
    stage.node.run_containerd()
    check_new_pods(stage)
    assert (stage.containers("p"), stage.given("p"), stage.prepared()) == before
    check_container_again(stage, "p")


def test_kubelet_is_killed_while_a_claim_is_prepared(pods: Stage) -> None:
    stage = pods
    slow(stage, 3)
    stage.pod("new", {"c": ["pair"]}, {"pair": "*pair"})
    stage.wait(stage.being_prepared, "the claim to be prepared")
    stage.node.signal("kubelet", signal.SIGKILL)
    stage.node.halt("kubelet")
    stage.node.run_kubelet()
    stage.running("new")
    assert sorted(stage.given("new")["c"].values()) == ["gpu", "nic"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_driver_is_started_again(pods: Stage, how: signal.Signals) -> None:
    stage = pods
    before = stage.containers("p"), stage.prepared(), stage.specs()
    if how == signal.SIGKILL:
        stage.node.signal("driver", how)
    assert stage.node.halt("driver") == (0 if how == signal.SIGTERM else -how)
    check_container_again(stage, "q")
    stage.api.delete(stage.path("pods", "q"))
    stage.pod("new", {"c": ["pair"]}, {"pair": "*pair"})
    stage.wait(lambda: any(GPU in text or NET in text for text in stage.events("new")), "kubelet to miss the driver")
    assert (stage.prepared(), stage.specs()) == before[1:]
    stage.start_driver()
    stage.wait(lambda: not stage.exists("pods", "q"), "pod q to be gone")
    stage.running("new")
    assert sorted(stage.given("new")["c"].values()) == ["gpu", "nic"]
    stage.delete("new")
    assert stage.containers("p") == before[0]
    assert [len(claims) for claims in stage.prepared().values()] == [1, 1, 0]


def test_the_driver_is_killed_while_a_claim_is_prepared(pods: Stage) -> None:
    stage = pods
    slow(stage, 2)
    stage.pod("new", {"c": ["pair"]}, {"pair": "*pair"})
    stage.wait(stage.being_prepared, "the claim to be prepared")
    stage.node.signal("driver", signal.SIGKILL)
    stage.node.halt("driver")
    assert stage.being_prepared()
    stage.start_driver()
    stage.running("new")
    assert sorted(stage.given("new")["c"].values()) == ["gpu", "nic"]


@pytest.fixture
def updated(pods: Stage) -> Iterator[Stage]:
    """The driver as a DaemonSet runs it: an instance `old` that has a UID. Afterwards there is one without again."""
    pods.node.halt("driver")
    pods.start_driver("old")
    yield pods
    pods.node.halt("driver-old")
    pods.node.halt("driver-new")
    pods.start_driver()


def test_an_update_under_pods(updated: Stage) -> None:
    stage = updated
    before = stage.containers("p"), stage.containers("q"), stage.prepared(), stage.specs()
    stage.start_driver("new")
    check_new_pods(stage)  # both are there
    assert stage.node.halt("driver-old") == 0
    check_new_pods(stage)
    check_container_again(stage, "q")
    stage.script("[{device: gpu-7, fault: lost}]")
    stage.wait(lambda: len(stage.published()[GPU]) == 7, "the new instance to publish")
    stage.script("[]")
    stage.wait(stage.all_published, "all devices")
    assert (stage.containers("p"), stage.prepared(), stage.specs()) == (before[0], *before[2:])
    stage.delete("p", "q")
    assert stage.leftovers() == NOTHING


def test_an_update_that_is_taken_back(updated: Stage) -> None:
    stage = updated
    before = stage.prepared()
    stage.start_driver("new")
    stage.node.signal("driver-new", signal.SIGKILL)
    stage.node.halt("driver-new")
    check_new_pods(stage)
    assert stage.prepared() == before


def test_an_update_while_a_claim_is_prepared(updated: Stage) -> None:
    stage = updated
    slow(stage, 6)
    stage.pod("new", {"c": ["pair"]}, {"pair": "*pair"})
    stage.wait(stage.being_prepared, "the claim to be prepared")
    ended: list[int | None] = []
    stage.start_driver("new")
    stop = threading.Thread(target=lambda: ended.append(stage.node.halt("driver-old")))
    stop.start()
    stop.join()
    assert ended == [0]
    stage.running("new")
    assert sorted(stage.given("new")["c"].values()) == ["gpu", "nic"]
    stage.script("[]")
    stage.delete("new")
    check_new_pods(stage)


def test_the_machine_is_switched_off(pods: Stage) -> None:
    stage = pods
    before = stage.containers("p"), stage.containers("q"), stage.given("p"), stage.results("p")
    stage.pod("gone", {"c": ["pair"]}, {"pair": "*pair"})
    stage.running("gone")
    boot = stage.node.boot_id
    stage.node.power_off()
    stage.api.delete(stage.path("pods", "gone"), grace_seconds=0)
    stage.node.start()
    assert stage.node.boot_id != boot
    assert stage.specs() == []
    stage.start_driver()
    stage.wait(lambda: stage.containers("p") != before[0] and stage.containers("q") != before[1], "other containers")
    stage.running("p", "q")
    assert (stage.given("p"), stage.results("p")) == before[2:]
    assert sorted(stage.prepared()[GPU].values()) == ["completed", "completed"]
    assert len(stage.prepared()[NET]) == 1
    assert len(stage.specs()) == 3
    check_new_pods(stage)
