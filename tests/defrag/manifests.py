"""A cluster as a dump of manifests: three nodes of one rack with four GPUs each, in which inference pods run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Document = dict[str, Any]

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "train", "namespace": "ml"},
    "spec": {
        "parallelism": 2,
        "completions": 2,
        "completionMode": "Indexed",
        "template": {
            "metadata": {"annotations": {"fairlead.dev/gang": '{"required": ["rack"]}'}},
            "spec": {
                "priority": 100,
                "containers": [{"name": "main", "resources": {"claims": [{"name": "gpus"}]}}],
                "resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "four-gpus"}],
            },
        },
    },
}

TEMPLATE = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "four-gpus", "namespace": "ml"},
    "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": 4}}]}}},
}


def nodes(*names: str) -> list[Document]:
    """Nodes of rack r1 with four GPUs each, and the device class."""
    found: list[Document] = [
        {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {}}
    ]
    for name in names:
        labels = {"cloud.provider.com/topology-rack": "r1"}
        found.append({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        spec = {
            "driver": "gpu.example.com",
            "nodeName": name,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"gpu-{number}"} for number in range(4)],
        }
        version = "resource.k8s.io/v1"
        found.append({"apiVersion": version, "kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec})
    return found


def running(name: str, on: str, *devices: str, owner: str = "ReplicaSet/web-5f9c", **spec: Any) -> list[Document]:
    """A pod with its claim; `owner` is `Kind/name`, or empty for a bare pod; `app=...` is a label."""
    kind, _, owner_name = owner.partition("/")
    reference = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "name": owner_name,
        "uid": f"uid-{owner_name}",
        "controller": True,
    }
    labels = {"app": spec.pop("app", "web"), "pod-template-hash": "5f9c"}
    pod_reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": f"uid-{name}", "controller": True}
    results = [{"request": "gpu", "driver": "gpu.example.com", "pool": on, "device": device} for device in devices]
    field = {"key": "metadata.name", "operator": "In", "values": [on]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ml",
            "uid": f"uid-{name}",
            "labels": labels,
            "ownerReferences": [reference] if owner else [],
        },
        "spec": {
            "nodeName": on,
            "containers": [{"name": "main", "resources": {"claims": [{"name": "gpu"}]}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "some-gpus"}],
            **spec,
        },
        "status": {"phase": "Running", "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": f"{name}-gpu"}]},
    }
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": f"{name}-gpu", "namespace": "ml", "ownerReferences": [pod_reference]},
        "spec": {
            "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": len(devices)}}]}
        },
        "status": {
            "allocation": {
                "devices": {"results": results},
                "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
            },
            "reservedFor": [{"resource": "pods", "name": name, "uid": f"uid-{name}"}],
        },
    }
    return [pod, claim]


def budget(name: str, app: str, **spec: Any) -> Document:
    """A PodDisruptionBudget for pods with the label `app`."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
    }


def dump(*parts: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """All documents as one List in JSON, as kubectl prints it."""
    items: list[Mapping[str, Any]] = []
    for part in parts:
        items += [part] if isinstance(part, Mapping) else part
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


CLUSTER = [
    *nodes("gpu-a", "gpu-b", "gpu-c"),
    *running("web-5f9c-1", "gpu-a", "gpu-0"),
    *running("web-5f9c-2", "gpu-b", "gpu-1"),
    *running("web-5f9c-3", "gpu-c", "gpu-0", "gpu-1"),
    budget("web", "web", minAvailable=1),
    TEMPLATE,
]
"""Each node holds one inference pod; the one on gpu-c is the largest."""
