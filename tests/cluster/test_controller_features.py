"""Admin access, binding conditions, taint rules and device status beside the controller, on a real control plane.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

from typing import Any

import pytest
from running import GROUP, bound, claims, controller, held_twice, nodes, pinned, pod, replica_set, standalone, template

from kube import ControlPlane, add_cluster
from kube.api import Api, wait_for

pytestmark = pytest.mark.cluster


def devices_of(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Pool and device of each result."""
    allocation = status.get("allocation") or {"devices": {"results": []}}
    return [(one["pool"], one["device"]) for one in allocation["devices"]["results"]]


def report(api: Api, namespace: str, claim: str, **fields: Any) -> None:
    """What a driver does: writes the status of the first device of a claim."""
    path = f"{GROUP}/namespaces/{namespace}/resourceclaims/{claim}/status"
    result = api.get(path)["status"]["allocation"]["devices"]["results"][0]
    where = {name: result[name] for name in ("driver", "pool", "device")}
    api.patch(path, {"status": {"devices": [where | fields]}})


def condition(kind: str) -> dict[str, Any]:
    since = "2026-01-01T00:00:00Z"
    return {"type": kind, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": since}


def test_admin_access_observes_devices_that_others_hold(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("admins")
    path = f"/api/v1/namespaces/{namespace}"
    api.patch(path, {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}})
    add_cluster(api, nodes(1, "admin"))
    api.create(template(namespace, "admin", 8))
    every = template(namespace, "admin", 1)
    every["metadata"]["name"] = "monitor"
    every["spec"]["spec"]["devices"]["requests"][0]["exactly"] = {
        "deviceClassName": "admin",
        "allocationMode": "All",
        "adminAccess": True,
    }
    api.create(every)
    with controller(plane):
        api.create(pod(namespace, "worker", "admin-8"))
        wait_for(lambda: "worker" in bound(api, namespace), 30, "the worker to be bound")
        api.create(pod(namespace, "monitor", "monitor"))
        wait_for(lambda: "monitor" in bound(api, namespace), 30, "the monitor to be bound")
    (status,) = [one for name, one in claims(api, namespace).items() if name.startswith("monitor")]
    assert len(devices_of(status)) == 8
    assert all(one["adminAccess"] for one in status["allocation"]["devices"]["results"])
    assert held_twice(api) == []


def test_binding_conditions_are_waited_for_and_a_device_that_fails_is_replaced(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("attach")
    hardware = nodes(1, "fabric")
    for one in hardware:
        if one["kind"] == "ResourceSlice":
            for device in one["spec"]["devices"]:
                device |= {"bindingConditions": ["attached"], "bindingFailureConditions": ["failed"]}
    add_cluster(api, hardware)
    for name in ("good", "bad"):
        api.create(standalone(namespace, name, "fabric"))

    def user(name: str) -> dict[str, Any]:
        made = pod(namespace, name, "")
        made["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimName": name}]
        return made

    def device(name: str) -> list[tuple[str, str]]:
        return devices_of(claims(api, namespace)[name])

    with controller(plane, "--bind-patience", "1"):
        api.create(user("good"))
        wait_for(lambda: device("good"), 20, "a device")
        assert bound(api, namespace) == {}
        report(api, namespace, "good", conditions=[condition("attached")])
        wait_for(lambda: "good" in bound(api, namespace), 30, "the pod to be bound once its device is attached")
        api.create(user("bad"))
        (first,) = wait_for(lambda: device("bad"), 20, "a device")
        report(api, namespace, "bad", conditions=[condition("failed")])
        wait_for(lambda: device("bad") not in ([], [first]), 60, "another device")
        report(api, namespace, "bad", conditions=[condition("attached")])
        wait_for(lambda: "bad" in bound(api, namespace), 60, "the pod to be bound with it")
        wait_for(lambda: not pinned(api, namespace), 20, "the pins to go")
    assert held_twice(api) == []


def test_what_a_taint_rule_evicts_comes_back_elsewhere(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("taints")
    add_cluster(api, nodes(2, "taint"))
    api.create(template(namespace, "taint", 8))
    version = next(
        one
        for one in ("v1", "v1beta2", "v1alpha3")
        if f"resource.k8s.io/{one}" in versions(api) and has_rules(api, one)
    )
    with controller(plane):
        api.create(replica_set(namespace, "web", 1, pod(namespace, "web", "taint-8")))
        wait_for(lambda: bound(api, namespace), 30, "the pod to be bound")
        ((name, node),) = bound(api, namespace).items()
        rule = {
            "apiVersion": f"resource.k8s.io/{version}",
            "kind": "DeviceTaintRule",
            "metadata": {"name": "broken"},
            "spec": {
                "deviceSelector": {"driver": "taint.example.com", "pool": node, "device": "gpu-3"},
                "taint": {"key": "example.com/broken", "effect": "NoExecute"},
            },
        }
        api.create(rule)
        wait_for(lambda: set(bound(api, namespace)) - {name}, 60, "a successor to be bound")
    (other,) = {place for one, place in bound(api, namespace).items() if one != name}
    assert other != node
    assert held_twice(api) == []


def versions(api: Api) -> list[str]:
    return [one["groupVersion"] for one in api.get("/apis/resource.k8s.io")["versions"]]


def has_rules(api: Api, version: str) -> bool:
    found = api.get(f"/apis/resource.k8s.io/{version}")["resources"]
    return any(one["name"] == "devicetaintrules" for one in found)


def test_what_a_driver_says_of_its_devices_stays_when_another_pod_comes(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("status")
    add_cluster(api, nodes(1, "state"))
    api.create(standalone(namespace, "shared", "state"))

    def user(name: str) -> dict[str, Any]:
        made = pod(namespace, name, "")
        made["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimName": "shared"}]
        return made

    with controller(plane):
        api.create(user("first"))
        wait_for(lambda: "first" in bound(api, namespace), 30, "the first pod to be bound")
        network = {"interfaceName": "net1", "ips": ["10.1.2.3/24"], "hardwareAddress": "ea:9f:cb:40:b1:7b"}
        report(
            api, namespace, "shared", conditions=[condition("Ready")], data={"of": {"a": "driver"}}, networkData=network
        )
        before = claims(api, namespace)["shared"]["devices"]
        api.create(user("second"))
        wait_for(lambda: "second" in bound(api, namespace), 30, "the second pod to be bound")
    after = claims(api, namespace)["shared"]
    assert after["devices"] == before
    assert before[0]["data"] == {"of": {"a": "driver"}}
    assert sorted(one["name"] for one in after["reservedFor"]) == ["first", "second"]
