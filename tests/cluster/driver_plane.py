"""A control plane for drivers, and a driver's account with the rights that it needs and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kube import Api, ControlPlane, MissingProgramError, Options, fake_node, find_programs

NODE = "node-1"


def rules(*drivers: str, binding: bool = False) -> list[dict[str, Any]]:
    """All that drivers of these names need; more with binding conditions."""
    verbs = ["get", "list", "watch"] if binding else ["get"]
    return [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["resourceslices"],
            "verbs": ["get", "list", "watch", "create", "update", "delete"],
        },
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"], "verbs": verbs},
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/status"], "verbs": ["patch"]},
        {
            "apiGroups": ["resource.k8s.io"],
            "resources": ["resourceclaims/driver"],
            "verbs": ["associated-node:patch"],
            "resourceNames": list(drivers),
        },
    ]


@contextmanager
def driver_plane() -> Iterator[ControlPlane]:
    """An API server with Kubernetes' default gates, without anything that acts by itself, and a node."""
    components = ("etcd", "kube-apiserver")
    try:
        find_programs(components)
    except MissingProgramError as error:
        pytest.skip(str(error))
    with ControlPlane(Options(components=components, gates={})) as plane:
        plane.api.create(fake_node(NODE))
        yield plane


def driver_account(plane: ControlPlane, *drivers: str, binding: bool = False) -> Api:
    """A driver's account; its token is bound to a pod on the node, as the token in the pod itself is."""
    plane.service_account("driver", rules(*drivers, binding=binding))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "driver", "namespace": "default"},
        "spec": {"serviceAccountName": "driver", "nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
    }
    return account_of(plane, pod)


def account_of(plane: ControlPlane, pod: dict[str, Any]) -> Api:
    """Makes a pod, and gives access with the token that it would have."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": plane.api.create(pod)["metadata"]["uid"]}
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 86400, "boundObjectRef": bound},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
    token = plane.api.request("POST", path, asked)["status"]["token"]
    return Api(plane.api.server, token, plane.authority.certificate)
