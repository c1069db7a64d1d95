"""The condition of pods that wait, on a real control plane: what kubectl shows, and what others write beside it.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from installed import Cluster
from running import bound, controller, nodes, pod, template, told

from kube import ApiError, ControlPlane, add_cluster
from kube.api import Api, wait_for

pytestmark = pytest.mark.cluster

ALLOCATED = "fairlead.dev/Allocated"
STRATEGIC = "application/strategic-merge-patch+json"


def conditions(api: Api, namespace: str, name: str) -> dict[str, dict[str, Any]]:
    """A pod's conditions by type."""
    found = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["status"].get("conditions", [])
    return {one["type"]: one for one in found}


def writers(api: Api, namespace: str, name: str) -> set[str]:
    """Who wrote to a pod's status."""
    fields = api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]["managedFields"]
    return {one["manager"] for one in fields if one.get("subresource") == "status"}


def test_a_pod_shows_why_it_waits_until_it_has_its_devices(plane: ControlPlane) -> None:
    api = plane.api
    kubectl = Cluster(plane).kubectl
    namespace = plane.namespace("conditions")
    add_cluster(api, nodes(1, "cond"))
    api.create(template(namespace, "cond", 8))
    with controller(plane):
        api.create(pod(namespace, "first", "cond-8"))
        wait_for(lambda: "first" in bound(api, namespace), 30, "the first pod to be bound")
        api.create(pod(namespace, "second", "cond-8"))
        wait_for(lambda: ALLOCATED in conditions(api, namespace, "second"), 30, "the condition")
        wait_for(lambda: "PodScheduled" in conditions(api, namespace, "second"), 30, "kube-scheduler's condition")
        shown = conditions(api, namespace, "second")
        assert shown["PodScheduled"]["reason"] == "SchedulingGated"
        waits = shown[ALLOCATED]
        assert (waits["status"], waits["reason"]) == ("False", "NoAllocation")
        assert [waits["message"]] == told(api, namespace, "second")
        assert "held by claim" in waits["message"]
        described = kubectl("describe", "pod", "second", "-n", namespace)
        assert re.search(rf"^Conditions:\n(.*\n)*  {ALLOCATED} +False", described, re.MULTILINE), described

        api.delete(f"/api/v1/namespaces/{namespace}/pods/first", grace_seconds=0)
        kubectl("wait", f"--for=condition={ALLOCATED}", "--timeout=60s", "pod/second", "-n", namespace)
        wait_for(lambda: "second" in bound(api, namespace), 30, "the second pod to be bound")
        wait_for(lambda: conditions(api, namespace, "second")["PodScheduled"]["status"] == "True", 30, "its condition")
    has = conditions(api, namespace, "second")[ALLOCATED]
    assert (has["status"], has["reason"], has["message"]) == ("True", "Allocated", "on node cond-000")
    assert has["lastTransitionTime"] >= waits["lastTransitionTime"]
    assert "fairlead" in writers(api, namespace, "second")


def test_a_condition_of_a_dead_controller_is_set_right_by_the_next(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("conditions-late")
    add_cluster(api, nodes(1, "late"))
    api.create(template(namespace, "late", 1))
    path = f"/api/v1/namespaces/{namespace}/pods/ours/status"
    with controller(plane):
        uid = api.create(pod(namespace, "ours", "late-1"))["metadata"]["uid"]
        wait_for(lambda: "ours" in bound(api, namespace), 30, "the pod to be bound")
    assert ALLOCATED not in conditions(api, namespace, "ours")
    assert "fairlead" not in writers(api, namespace, "ours"), "it did not wait"
    stale = {"type": ALLOCATED, "status": "False", "reason": "NoAllocation", "message": "no room"}
    patch = {"metadata": {"uid": uid}, "status": {"conditions": [stale]}}
    api.patch(path, patch, STRATEGIC)
    assert conditions(api, namespace, "ours")["PodScheduled"]["status"] == "True", "conditions are merged by type"
    with pytest.raises(ApiError) as refused:
        api.patch(path, {**patch, "metadata": {"uid": "another"}}, STRATEGIC)
    assert refused.value.code == 422
    with controller(plane):
        wait_for(lambda: conditions(api, namespace, "ours")[ALLOCATED]["status"] == "True", 30, "the condition")
