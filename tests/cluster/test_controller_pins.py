"""Pods that their claims hold, and claims that are cleaned up, on a real control plane.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from running import (
    bound,
    claims,
    controller,
    held_twice,
    job,
    nodes,
    pinned,
    pod,
    standalone,
    start,
    template,
    told,
    volume_on,
    with_volume,
)

from kube import ControlPlane, add_cluster
from kube.api import wait_for

pytestmark = pytest.mark.cluster

PATIENCE = ("--bind-patience", "1")


def movable(one: dict[str, Any], claim: str = "") -> dict[str, Any]:
    """The pod, held by its claims; with a claim that it does not own."""
    one["metadata"]["annotations"]["fairlead.dev/pin"] = "claim"
    if claim:
        one["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimName": claim}]
    return one


def test_a_pod_that_cannot_be_bound_where_it_was_planned_gets_other_devices(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("moved")
    add_cluster(api, nodes(2, "move"))
    api.create(standalone(namespace, "mine", "move"))
    api.create_all(volume_on(namespace, "move-001"))
    with controller(plane, *PATIENCE):
        made = api.create(movable(with_volume(pod(namespace, "alone", "")), "mine"))
        wait_for(lambda: pinned(api, namespace), 20, "the pin")
        wait_for(lambda: bound(api, namespace), 60, "the pod to be bound")
        wait_for(lambda: not pinned(api, namespace), 20, "the pin to go")
        after = api.get(f"/api/v1/namespaces/{namespace}/pods/alone")
        assert after["metadata"]["uid"] == made["metadata"]["uid"]
        assert after["spec"]["nodeName"] == "move-001"
        assert "affinity" not in after["spec"]
        (status,) = claims(api, namespace).values()
        assert [one["name"] for one in status["reservedFor"]] == ["alone"]
        api.delete(f"/api/v1/namespaces/{namespace}/pods/alone", 0)
        wait_for(lambda: not claims(api, namespace)["mine"].get("allocation"), 20, "Kubernetes to release the claim")


def test_a_pod_deleted_while_pinned_leaves_no_claim_held(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("deleted")
    add_cluster(api, nodes(1, "gone"))
    api.create_all(volume_on(namespace, "elsewhere"))
    api.create_all([template(namespace, "gone", 1), standalone(namespace, "kept", "gone")])
    with controller(plane):
        api.create(movable(with_volume(pod(namespace, "owner", "gone-1"))))
        api.create(movable(with_volume(pod(namespace, "user", "")), "kept"))
        wait_for(lambda: len(pinned(api, namespace)) == 2, 20, "the pins")
        for name in ("owner", "user"):
            api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", 0)
        wait_for(lambda: list(claims(api, namespace)) == ["kept"], 20, "the claim of the pod to be gone")
        wait_for(lambda: not claims(api, namespace)["kept"].get("allocation"), 20, "the other to be released")

        def finalizers() -> list[str]:
            claim = api.get(f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/kept")
            return list(claim["metadata"].get("finalizers", ()))

        wait_for(lambda: not finalizers(), 20, "its finalizer to go")
    assert not claims(api, namespace)["kept"].get("reservedFor")


def test_a_job_that_must_be_spread_is_spread_though_the_controller_does_not_know(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("zones")
    hardware = nodes(4, "spread")
    for number, one in enumerate(one for one in hardware if one["kind"] == "Node"):
        one["metadata"]["labels"] |= {"area": "ab"[number // 2]}
    add_cluster(api, hardware)
    api.create(template(namespace, "spread", 4))
    made = pod(namespace, "train", "spread-4", {"fairlead.dev/group-size": "4"})
    constraint = {"maxSkew": 1, "topologyKey": "area", "whenUnsatisfiable": "DoNotSchedule"}
    made["spec"]["topologySpreadConstraints"] = [constraint | {"labelSelector": {"matchLabels": {"app": "train"}}}]
    made["spec"]["nodeSelector"] = {"topology.fairlead.dev/rack": "spread-rack-0"}
    with controller(plane, *PATIENCE):
        api.create(job(namespace, "train", 4, made))
        wait_for(lambda: len(bound(api, namespace)) == 4, 90, "all four to be bound")
        wait_for(lambda: not pinned(api, namespace), 20, "the pins to go")
    assert sorted("ab"[int(node[-1]) // 2] for node in bound(api, namespace).values()) == ["a", "a", "b", "b"]
    assert held_twice(api) == []


def test_killed_again_and_again_it_leaves_no_pin_and_no_device_held(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("crash")
    add_cluster(api, nodes(3, "crash"))
    api.create_all(volume_on(namespace, "crash-002"))
    chance = random.Random(2)
    names = [f"pod-{number}" for number in range(10)]
    api.create_all(standalone(namespace, name, "crash") for name in names)
    api.create_all(movable(with_volume(pod(namespace, name, "")), name) for name in names[:5])
    api.create_all(movable(pod(namespace, name, ""), name) for name in names[5:])
    for _ in range(6):
        process = start(plane, *PATIENCE)
        time.sleep(chance.uniform(1.0, 3.0))
        process.kill()
        process.wait()
    with controller(plane, *PATIENCE):
        wait_for(lambda: len(bound(api, namespace)) == len(names), 90, "every pod to be bound")
        wait_for(lambda: not pinned(api, namespace), 20, "the pins to go")
        assert {bound(api, namespace)[name] for name in names[:5]} == {"crash-002"}
        assert held_twice(api) == []
        for name in names:
            api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", 0)
        wait_for(
            lambda: not any(status.get("allocation") for status in claims(api, namespace).values()),
            30,
            "every device to be free",
        )


def test_claims_of_pods_that_do_not_opt_in_are_kube_schedulers_and_count(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("optout")
    hardware = nodes(1, "both")
    hardware[-1]["spec"]["extendedResourceName"] = "example.com/both"
    add_cluster(api, hardware)
    api.create_all(template(namespace, "both", count) for count in (2, 3, 5))
    plain = pod(namespace, "plain", "both-2")
    plain["spec"]["schedulingGates"] = []
    extended = pod(namespace, "extended", "none")
    extended["spec"] |= {"schedulingGates": [], "resourceClaims": []}
    amount = {"example.com/both": "1"}
    extended["spec"]["containers"][0]["resources"] = {"requests": amount, "limits": amount}
    with controller(plane):
        api.create_all([plain, extended])
        wait_for(lambda: len(bound(api, namespace)) == 2, 30, "kube-scheduler to bind both")
        api.create(pod(namespace, "five", "both-5"))
        wait_for(lambda: "five" in bound(api, namespace), 30, "the pod that fits beside them")
        api.create(pod(namespace, "three", "both-3"))
        wait_for(lambda: told(api, namespace, "three"), 30, "the pod that does not fit to be told")
        api.delete(f"/api/v1/namespaces/{namespace}/pods/plain", 0)
        api.delete(f"/api/v1/namespaces/{namespace}/pods/extended", 0)
        wait_for(lambda: "three" in bound(api, namespace), 30, "it to be bound when they are gone")
    assert "held by claim" in told(api, namespace, "three")[0]
    assert held_twice(api) == []
