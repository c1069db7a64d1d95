"""Pods that the controller opened and kube-scheduler cannot bind, on a real control plane.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

from typing import Any

import pytest
from running import GATE, bound, controller, held_twice, nodes, pod, replica_set, template, told, volume_on, with_volume

from kube import ControlPlane, add_cluster
from kube.api import Api, wait_for
from kube.nodes import fake_node

pytestmark = pytest.mark.cluster

PATIENCE = ("--bind-patience", "1")


def leaked(api: Api, namespace: str) -> list[str]:
    """The claims that hold devices though no pod of that name has a node."""
    claims = api.items(f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims")
    places = bound(api, namespace)
    return [
        one["metadata"]["name"]
        for one in claims
        if one.get("status", {}).get("allocation")
        and not any(user["name"] in places for user in one["status"].get("reservedFor", ()))
    ]


def test_a_pod_whose_volume_is_elsewhere_is_evicted_until_its_successor_is_there(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("volume")
    add_cluster(api, nodes(2, "vol"))
    api.create(template(namespace, "vol", 8))
    api.create_all(volume_on(namespace, "vol-001"))
    with controller(plane, *PATIENCE):
        api.create(replica_set(namespace, "web", 1, with_volume(pod(namespace, "web", "vol-8"))))
        wait_for(lambda: bound(api, namespace), 60, "the successor to be bound")
    assert list(bound(api, namespace).values()) == ["vol-001"]
    assert any("evicted, so that ReplicaSet web makes it anew" in one for one in told(api, namespace))
    wait_for(lambda: not leaked(api, namespace), 20, "the claims of the evicted pods to be gone")


def test_a_pod_without_a_controller_is_told_what_keeps_it(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("told")
    add_cluster(api, nodes(2, "tell"))
    api.create(template(namespace, "tell", 8))
    api.create_all(volume_on(namespace, "tell-001"))
    with controller(plane, *PATIENCE):
        api.create(with_volume(pod(namespace, "alone", "tell-8")))
        wait_for(lambda: told(api, namespace, "alone"), 60, "the pod to be told")
    (text,) = told(api, namespace, "alone")
    assert text.startswith("cannot be bound on node tell-000: ")
    assert "volume" in text.lower()
    assert text.endswith("delete the pod and create it again")
    assert bound(api, namespace) == {}


def test_a_gang_that_must_be_spread_ends_up_spread(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("spread")
    hardware = nodes(4, "zone")
    for number, one in enumerate(one for one in hardware if one["kind"] == "Node"):
        one["metadata"]["labels"] |= {"zone": "ab"[number // 2]}
    add_cluster(api, hardware)
    api.create(template(namespace, "zone", 4))
    made = pod(namespace, "train", "zone-4", {"fairlead.dev/group-size": "4"})
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "Ignore"}
    made["spec"]["topologySpreadConstraints"] = [spread | {"labelSelector": {"matchLabels": {"app": "train"}}}]
    with controller(plane, *PATIENCE):
        api.create(replica_set(namespace, "train", 4, made))
        wait_for(lambda: len(bound(api, namespace)) == 4, 90, "all four to be bound")
    zones = sorted("ab"[int(node[-1]) // 2] for node in bound(api, namespace).values())
    assert zones == ["a", "a", "b", "b"]
    assert held_twice(api) == []


def test_a_pod_that_was_not_opened_by_the_controller_is_left_alone(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("others")
    api.create(fake_node("others-0"))
    made = pod(namespace, "web", "none")
    made["spec"] |= {"resourceClaims": [], "schedulingGates": [], "nodeSelector": {"nowhere": "yes"}}
    made["spec"]["containers"][0]["resources"] = {}
    with controller(plane, *PATIENCE):
        api.create(replica_set(namespace, "web", 1, made))
        (first,) = wait_for(lambda: api.items(f"/api/v1/namespaces/{namespace}/pods"), 20, "the pod")
        api.create(template(namespace, "vol", 1))
        marker = with_gate_only(namespace)
        api.create(marker)
        wait_for(lambda: bound(api, namespace), 30, "a pod that the controller opens")
    names = {one["metadata"]["name"] for one in api.items(f"/api/v1/namespaces/{namespace}/pods")}
    assert first["metadata"]["name"] in names


def with_gate_only(namespace: str) -> dict[str, Any]:
    """A pod without claims that waits for the controller."""
    spec = {"schedulingGates": [GATE], "containers": [{"name": "main", "image": "none"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gated", "namespace": namespace},
        "spec": spec,
    }
