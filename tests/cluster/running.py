"""The controller as a process of its own on a real control plane, and the objects that its tests are made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from kube import ControlPlane
from kube.api import Api, wait_for
from kube.nodes import device_class, fake_node, fake_slice

GATE = {"name": "fairlead.dev/allocation"}
GROUP = "/apis/resource.k8s.io/v1"
MANIFEST = Path(__file__).parent.parent.parent / "deploy" / "manifests" / "10-rights.yaml"
RULES: list[dict[str, Any]] = next(
    one["rules"] for one in yaml.safe_load_all(MANIFEST.read_text()) if one["kind"] == "ClusterRole"
)
"""All the rights that the manifests give the controller in every namespace."""


def start(plane: ControlPlane, *options: str) -> subprocess.Popen[bytes]:
    """The controller, with the rights of its own account only."""
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "controller", *options]
    kubeconfig = str(plane.folder / "fairlead.kubeconfig")
    with (plane.folder / "logs" / "fairlead.log").open("ab") as log:
        return subprocess.Popen([*command, "--kubeconfig", kubeconfig], stderr=log)


def log_size(plane: ControlPlane) -> int:
    """How much controllers have logged so far."""
    log = plane.folder / "logs" / "fairlead.log"
    return log.stat().st_size if log.exists() else 0


def has_logged(plane: ControlPlane, event: str, since: int) -> bool:
    """Whether a controller has logged an event after the log had a size."""
    return f'"event":"{event}"'.encode() in (plane.folder / "logs" / "fairlead.log").read_bytes()[since:]


@contextmanager
def controller(plane: ControlPlane, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The controller while the block runs; it must end well when it is told to."""
    before = log_size(plane)
    process = start(plane, *options)
    try:
        wait_for(lambda: has_logged(plane, "synced", before), 30, "the controller to know the cluster")
        yield process
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def nodes(count: int, prefix: str) -> list[dict[str, Any]]:
    """Nodes with eight GPUs each, eight to a rack."""
    made = []
    for number in range(count):
        name = f"{prefix}-{number:03d}"
        made.append(fake_node(name, {"topology.fairlead.dev/rack": f"{prefix}-rack-{number // 8}"}))
        devices = [{"name": f"gpu-{device}"} for device in range(8)]
        made.append(fake_slice(name, f"{prefix}.example.com", devices, "gpu"))
    made.append(device_class(prefix, f'device.driver == "{prefix}.example.com"'))
    return made


def template(namespace: str, device_class: str, count: int) -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class, "count": count}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": f"{device_class}-{count}", "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [request]}}},
    }


def pod(namespace: str, name: str, of: str, labels: dict[str, str] | None = None, gang: str = "") -> dict[str, Any]:
    annotations = {"fairlead.dev/gang": gang} if gang else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations},
        "spec": {
            "schedulingGates": [GATE],
            "containers": [{"name": "main", "image": "none", "resources": {"claims": [{"name": "gpus"}]}}],
            "resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": of}],
        },
    }


def bound(api: Api, namespace: str) -> dict[str, str]:
    """The node of each pod that has one."""
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods")
    return {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods if one["spec"].get("nodeName")}


def held_twice(api: Api) -> list[tuple[str, str, str]]:
    """The devices that more than one claim holds; one with admin access holds nothing."""
    seen: set[tuple[str, str, str]] = set()
    twice = []
    for claim in api.items(f"{GROUP}/resourceclaims"):
        allocation = claim.get("status", {}).get("allocation") or {"devices": {"results": []}}
        for result in allocation["devices"]["results"]:
            if result.get("adminAccess"):
                continue
            device = (result["driver"], result["pool"], result["device"])
            if device in seen:
                twice.append(device)
            seen.add(device)
    return twice


def told(api: Api, namespace: str, name: str = "") -> list[str]:
    """What the controller said of the pods whose name begins so."""
    events = api.items(f"/api/v1/namespaces/{namespace}/events")
    mine = [one for one in events if one.get("source", {}).get("component") == "fairlead"]
    return [one["message"] for one in mine if one["involvedObject"]["name"].startswith(name)]


def claims(api: Api, namespace: str) -> dict[str, dict[str, Any]]:
    """The status of each claim."""
    found = api.items(f"{GROUP}/namespaces/{namespace}/resourceclaims")
    return {one["metadata"]["name"]: one.get("status", {}) for one in found}


def pinned(api: Api, namespace: str) -> list[str]:
    """The claims that have an entry of the controller's own."""
    return [
        name
        for name, status in claims(api, namespace).items()
        if any(one.get("apiGroup") == "fairlead.dev" for one in status.get("reservedFor", ()))
    ]


def standalone(namespace: str, name: str, device_class: str, count: int = 1) -> dict[str, Any]:
    """A claim that no pod owns."""
    request = {"name": "gpu", "exactly": {"deviceClassName": device_class, "count": count}}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"devices": {"requests": [request]}},
    }


def volume_on(namespace: str, node: str) -> list[dict[str, Any]]:
    """A claim for a volume that is on one node, of which the controller knows nothing."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{namespace}-data"},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteOnce"],
                "local": {"path": "/data"},
                "storageClassName": "local",
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
                "claimRef": {"namespace": namespace, "name": "data"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": size},
                "storageClassName": "local",
                "volumeName": f"{namespace}-data",
            },
        },
    ]


def with_volume(one: dict[str, Any]) -> dict[str, Any]:
    """The pod, with that volume."""
    one["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    return one


def job(namespace: str, name: str, count: int, made: dict[str, Any]) -> dict[str, Any]:
    """An Indexed Job of such pods, all at once."""
    metadata = {"labels": {"app": name} | made["metadata"]["labels"], "annotations": made["metadata"]["annotations"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parallelism": count,
            "completions": count,
            "completionMode": "Indexed",
            "template": {"metadata": metadata, "spec": {**made["spec"], "restartPolicy": "Never"}},
        },
    }


def replica_set(namespace: str, name: str, replicas: int, made: dict[str, Any]) -> dict[str, Any]:
    """A ReplicaSet of such pods."""
    labels = {"app": name}
    metadata = {"labels": labels | made["metadata"]["labels"], "annotations": made["metadata"]["annotations"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": metadata, "spec": made["spec"]},
        },
    }
