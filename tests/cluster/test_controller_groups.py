"""PodGroups, Jobs and pods of other workloads as gangs, and members made anew, on a real control plane.

Skipped where Kubernetes' programs are not built (`make kube`).
"""

from __future__ import annotations

from typing import Any

import pytest
from running import (
    bound,
    claims,
    controller,
    held_twice,
    job,
    nodes,
    pod,
    replica_set,
    standalone,
    template,
    told,
)

from kube import ControlPlane, add_cluster
from kube.api import Api, ApiError, wait_for

pytestmark = pytest.mark.cluster

RACK = "topology.fairlead.dev/rack"


def served_version(api: Api) -> str:
    """The version of scheduling.k8s.io that has PodGroups."""
    for version in ("v1beta1", "v1alpha3", "v1alpha2"):
        try:
            found = api.get(f"/apis/scheduling.k8s.io/{version}")["resources"]
        except ApiError:
            continue
        if any(one["name"] == "podgroups" for one in found):
            return version
    pytest.skip("PodGroups are not served")


def create_group(api: Api, namespace: str, minimum: int, *shared: dict[str, str]) -> str:
    """A PodGroup with a gang policy; returns its UID."""
    version = served_version(api)
    group = {
        "apiVersion": f"scheduling.k8s.io/{version}",
        "kind": "PodGroup",
        "metadata": {"name": "group", "namespace": namespace},
        "spec": {"schedulingPolicy": {"gang": {"minCount": minimum}}, "resourceClaims": list(shared)},
    }
    path = f"/apis/scheduling.k8s.io/{version}/namespaces/{namespace}/podgroups"
    return str(api.request("POST", path, group)["metadata"]["uid"])


def member(namespace: str, name: str, of: str, *shared: dict[str, str]) -> dict[str, Any]:
    """A pod of the group, with a claim of its own and those that it shares."""
    made = pod(namespace, name, of)
    made["spec"]["schedulingGroup"] = {"podGroupName": "group"}
    made["spec"]["resourceClaims"] += list(shared)
    return made


def test_a_pod_group_starts_with_min_count_and_shares_its_claims(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("podgroup")
    add_cluster(api, nodes(4, "pg"))
    api.create(template(namespace, "pg", 6))
    fabric = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": "pg-fabric"},
        "spec": {
            "driver": "pg-fabric.example.com",
            "allNodes": True,
            "pool": {"name": "fabric", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"channel-{number}"} for number in range(2)],
        },
    }
    selector = {"cel": {"expression": 'device.driver == "pg-fabric.example.com"'}}
    api.create(fabric)
    api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "fabric-channel"},
            "spec": {"selectors": [selector]},
        }
    )
    made = template(namespace, "fabric-channel", 1)
    made["metadata"]["name"] = "channel"
    api.create(made)
    other = standalone(namespace, "by-name", "fabric-channel")
    api.create(other)
    shared = (
        {"name": "channel", "resourceClaimTemplateName": "channel"},
        {"name": "by-name", "resourceClaimName": "by-name"},
    )
    with controller(plane):
        uid = create_group(api, namespace, 2, *shared)
        api.create(member(namespace, "one", "pg-6", *shared))
        wait_for(lambda: told(api, namespace, "one"), 30, "the first pod to be told that it waits")
        assert bound(api, namespace) == {}
        api.create(member(namespace, "two", "pg-6", *shared))
        wait_for(lambda: len(bound(api, namespace)) == 2, 30, "the first two to be bound")
        api.create(member(namespace, "three", "pg-6", *shared))
        wait_for(lambda: len(bound(api, namespace)) == 3, 30, "the third to join")
    own = claims(api, namespace)
    for name, status in own.items():
        users = status.get("reservedFor", [])
        if name.startswith("group-channel") or name == "by-name":
            assert [(one["apiGroup"], one["resource"], one["uid"]) for one in users] == [
                ("scheduling.k8s.io", "podgroups", uid)
            ], name
    assert sum(name.startswith("group-channel") for name in own) == 1
    assert held_twice(api) == []
    for name in ("one", "two", "three"):
        api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", 0)
    api.delete(f"/apis/scheduling.k8s.io/{served_version(api)}/namespaces/{namespace}/podgroups/group")
    wait_for(
        lambda: not any(status.get("allocation") for status in claims(api, namespace).values()),
        60,
        "every claim to be released or gone",
    )


def test_a_member_of_a_running_gang_made_anew_stays_in_its_rack(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("anew")
    add_cluster(api, nodes(16, "anew"))
    api.create(template(namespace, "anew", 8))
    labels = {"fairlead.dev/group-size": "4"}
    made = pod(namespace, "train", "anew-8", labels, f'{{"required": ["{RACK}"]}}')
    made["spec"]["nodeSelector"] = {RACK: "anew-rack-1"}
    with controller(plane):
        api.create(replica_set(namespace, "train", 4, made))
        wait_for(lambda: len(bound(api, namespace)) == 4, 60, "the gang to be bound")
        first = bound(api, namespace)
        gone = sorted(first)[0]
        # The successor may go anywhere by what it says itself but for the rack that its group requires.
        api.patch(
            f"/apis/apps/v1/namespaces/{namespace}/replicasets/train",
            {"spec": {"template": {"spec": {"nodeSelector": None}}}},
        )
        api.delete(f"/api/v1/namespaces/{namespace}/pods/{gone}", 0)
        wait_for(lambda: len(set(bound(api, namespace)) - {gone}) == 4, 60, "the successor to be bound")
    after = {name: node for name, node in bound(api, namespace).items() if name != gone}
    assert {int(node.rpartition("-")[2]) // 8 for node in after.values()} == {1}
    assert held_twice(api) == []


def test_a_job_with_a_group_is_placed_whole(plane: ControlPlane) -> None:
    api = plane.api
    namespace = plane.namespace("jobs")
    add_cluster(api, nodes(2, "job"))
    api.create(template(namespace, "job", 8))
    with controller(plane):
        api.create(job(namespace, "big", 3, pod(namespace, "big", "job-8", {"fairlead.dev/group-size": "3"})))
        wait_for(lambda: told(api, namespace, "big"), 30, "the Job that does not fit to be told")
        api.create(job(namespace, "fits", 2, pod(namespace, "fits", "job-8", {"fairlead.dev/group-size": "2"})))
        wait_for(lambda: len(bound(api, namespace)) == 2, 30, "the Job that fits to be bound")
    assert all(name.startswith("fits") for name in bound(api, namespace))
    assert all(name.startswith("fits") for name, status in claims(api, namespace).items() if status.get("allocation"))


@pytest.mark.parametrize(
    ("kind", "common", "apart"),
    [
        ("jobset", {"jobset.sigs.k8s.io/jobset-name": "train"}, {}),
        ("mpijob", {"training.kubeflow.org/job-name": "train"}, {}),
        (
            "lws",
            {"leaderworkerset.sigs.k8s.io/name": "serve", "leaderworkerset.sigs.k8s.io/group-index": "0"},
            {"leaderworkerset.sigs.k8s.io/group-index": "1"},
        ),
    ],
)
def test_pods_with_the_labels_of_other_workloads_are_gangs(
    plane: ControlPlane, kind: str, common: dict[str, str], apart: dict[str, str]
) -> None:
    """The operators are not there; pods with their labels, of two owners each, are."""
    api = plane.api
    namespace = plane.namespace(kind)
    add_cluster(api, nodes(3, kind))
    api.create(template(namespace, kind, 8))
    size = {"fairlead.dev/group-size": "2"}
    with controller(plane):
        first = pod(namespace, "leader", f"{kind}-8", common | size)
        api.create(replica_set(namespace, "leader", 1, first))
        wait_for(lambda: told(api, namespace, "leader"), 30, "the leader to be told that it waits for its group")
        if apart:
            api.create(replica_set(namespace, "other", 1, pod(namespace, "other", f"{kind}-8", common | apart | size)))
            wait_for(lambda: told(api, namespace, "other"), 30, "the pod of another group to wait for its own")
        assert bound(api, namespace) == {}
        api.create(replica_set(namespace, "worker", 1, pod(namespace, "worker", f"{kind}-8", common | size)))
        wait_for(lambda: len(bound(api, namespace)) == 2, 30, "leader and worker to be bound")
    assert not any(name.startswith("other") for name in bound(api, namespace))
