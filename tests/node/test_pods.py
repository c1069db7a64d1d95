"""What containers get: the devices of their claims and nothing else, whoever allocated; and nothing of it stays."""

from __future__ import annotations

import json

import pytest
from node_objects import GPU, GPUS, NICS, RESOURCE, SHARED, container
from stage import NOTHING, Stage

pytestmark = pytest.mark.node


def test_devices_are_in_the_containers_that_claim_them(allocated: Stage) -> None:
    stage = allocated
    stage.template("pair", gpu=GPUS, nic=NICS)
    stage.claim("single", gpu=GPUS)
    stage.pod(
        "p",
        {"all": ["pair"], "part": ["pair/nic"], "both": ["pair/gpu", "one"], "none": []},
        {"pair": "*pair", "one": "single"},
    )
    stage.running("p")
    of = {key: name.partition("/")[2] for key, name in stage.results("p").items()}
    assert of["pair/gpu"] != of["one/gpu"]
    assert stage.given("p") == {
        "all": {of["pair/gpu"]: "gpu", of["pair/nic"]: "nic"},
        "part": {of["pair/nic"]: "nic"},
        "both": {of["pair/gpu"]: "gpu", of["one/gpu"]: "gpu"},
        "none": {},
    }
    assert len(stage.specs()) == 3
    stage.delete("p")
    assert stage.leftovers() == NOTHING


def test_two_containers_share_a_claim(allocated: Stage) -> None:
    stage = allocated
    stage.template("one", gpu=GPUS)
    stage.pod("p", {"a": ["gpu"], "b": ["gpu"], "c": []}, {"gpu": "*one"})
    stage.running("p")
    (device,) = stage.results("p").values()
    expected = {device.partition("/")[2]: "gpu"}
    assert stage.given("p") == {"a": expected, "b": expected, "c": {}}


def test_two_pods_share_a_claim(allocated: Stage) -> None:
    stage = allocated
    stage.claim("shared", gpu=GPUS)
    for name in ("p", "q"):
        stage.pod(name, {"c": ["gpu"], "other": []}, {"gpu": "shared"})
    stage.running("p", "q")
    assert stage.results("p") == stage.results("q")
    assert stage.given("p") == stage.given("q")
    assert stage.prepared()[GPU] == {stage.uid("shared"): "completed"}
    stage.delete("p")
    assert stage.prepared()[GPU] == {stage.uid("shared"): "completed"}
    assert stage.given("q")["c"] != {}
    stage.delete("q")
    assert stage.leftovers() == NOTHING


def test_more_pods_than_devices(allocated: Stage) -> None:
    stage = allocated
    stage.template("four", **{f"r{number}": GPUS for number in range(4)})
    names = ["p", "q", "r"]
    for name in names:
        stage.pod(name, {"c": ["gpus"]}, {"gpus": "*four"})
    stage.wait(lambda: sum(1 for name in names if stage.status(name)) == 2, "two pods to start")
    first, second = (name for name in names if stage.status(name))
    stage.running(first, second)
    assert not set(stage.results(first).values()) & set(stage.results(second).values())
    stage.delete(first)
    stage.running(*(set(names) - {first, second}))


def test_a_claim_says_what_its_devices_are(stage: Stage) -> None:
    stage.claim("mine", gpu=GPUS)
    stage.pod("p", {"c": ["mine"], "other": []}, {"mine": "mine"})
    stage.running("p")
    metadata = stage.report("p", "c")["metadata"]
    (path,) = metadata
    assert path == f"resourceclaims/mine/gpu/{GPU}-metadata.json"
    newest = json.loads(metadata[path].splitlines()[0])
    (device,) = newest["requests"][0]["devices"]
    assert f"{device['driver']}/{device['name']}" == stage.results("p")["mine/gpu"]
    assert "resource.kubernetes.io/pciBusID" in device["attributes"]
    assert stage.report("p", "other")["metadata"] == {}


def test_a_user_is_told_why_a_device_is_not_ready(stage: Stage) -> None:
    stage.script("".join(f"- {{device: gpu-{number}, fault: failing, message: no answer}}\n" for number in range(8)))
    stage.claim("mine", gpu=GPUS)
    stage.pod("p", {"c": ["mine"]}, {"mine": "mine"})
    stage.wait(lambda: any("no answer" in text for text in stage.events("p")), "an event")
    assert stage.leftovers() == NOTHING
    stage.script("[]")
    stage.running("p")


def test_the_health_of_a_device_is_in_the_status_of_its_pod(stage: Stage) -> None:
    def health() -> list[tuple[str, str]]:
        shown = stage.status("p")["c"].get("allocatedResourcesStatus", ())
        return [(one["health"], one.get("message", "")) for status in shown for one in status["resources"]]

    stage.claim("mine", gpu=GPUS)
    stage.pod("p", {"c": ["mine"]}, {"mine": "mine"})
    stage.running("p")
    device = stage.results("p")["mine/gpu"].partition("/")[2]
    stage.wait(lambda: health() == [("Healthy", "")], "a healthy device")
    stage.script(f"[{{device: {device}, fault: unhealthy, message: XID 79}}]")
    stage.wait(lambda: health() == [("Unhealthy", "XID 79")], "an unhealthy device")
    stage.script("[]")
    stage.wait(lambda: health() == [("Healthy", "")], "the device to recover")


def test_a_pod_that_has_ended_leaves_nothing(stage: Stage) -> None:
    stage.claim("mine", gpu=GPUS)
    stage.pod("p", {"c": ["mine"]}, {"mine": "mine"}, restartPolicy="Never")
    stage.running("p")
    stage.node.kill(stage.containers("p")["c"])
    stage.wait(lambda: stage.leftovers() == NOTHING, "nothing to be left of the claim")
    assert stage.exists("pods", "p")


def test_an_init_container_and_the_one_after_it(stage: Stage) -> None:
    stage.template("pair", gpu=GPUS, nic=NICS)
    init = container("init", {"claims": [{"name": "pair", "request": "nic"}]}, "report")
    stage.pod("p", {"c": ["pair/gpu"]}, {"pair": "*pair"}, initContainers=[init])
    stage.running("p")
    of = {key: name.partition("/")[2] for key, name in stage.results("p").items()}
    assert stage.given("p") == {"c": {of["pair/gpu"]: "gpu"}}
    assert stage.printed("p", "init")["devices"].keys() == {of["pair/nic"]}


def test_the_first_choice_that_is_there(stage: Stage) -> None:
    choices = [{"name": "none", "deviceClassName": "mig.nvidia.com"}, {"name": "whole", "deviceClassName": GPUS}]
    stage.claim_of("mine", {"requests": [{"name": "gpu", "firstAvailable": choices}]})
    stage.pod("p", {"c": ["mine/gpu"], "other": []}, {"mine": "mine"})
    stage.running("p")
    assert list(stage.results("p")) == ["mine/gpu/whole"]
    assert list(stage.given("p")["c"].values()) == ["gpu"]
    assert stage.given("p")["other"] == {}
    assert list(stage.report("p", "c")["metadata"]) == [f"resourceclaims/mine/gpu/{GPU}-metadata.json"]


def test_two_claims_share_a_device(stage: Stage) -> None:
    requests = [{"name": "part", "exactly": {"deviceClassName": SHARED, "capacity": {"requests": {"units": "3"}}}}]
    for name in ("mine", "yours"):
        stage.claim_of(name, {"requests": requests})
        stage.pod(name, {"c": [name], "other": []}, {name: name})
    stage.running("mine", "yours")
    for name in ("mine", "yours"):
        assert stage.given(name) == {"c": {"shared-0": "part"}, "other": {}}
    stage.delete("mine")
    assert stage.given("yours")["c"] == {"shared-0": "part"}
    assert len(stage.specs()) == 1


def test_devices_that_are_asked_for_by_a_resource_name(stage: Stage) -> None:
    limits = {"one": {RESOURCE: "1"}, "two": {RESOURCE: "2"}}
    stage.pod("p", {"one": [], "two": []}, {}, limits)
    stage.running("p")
    given = stage.given("p")
    assert [len(given[name]) for name in ("one", "two")] == [1, 2]
    assert not set(given["one"]) & set(given["two"])
