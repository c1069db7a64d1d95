"""Nodes that no kubelet stands behind: objects that kube-scheduler takes for nodes with room and devices."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kube.api import Api, Json

ROOM = {"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"}
_FAIRLEAD = "from fairlead.cli import main; main(prog_name='fairlead')"


def fake_node(name: str, labels: Mapping[str, str] | None = None, room: Mapping[str, str] | None = None) -> Json:
    """A Node that is ready.

    Args:
        name: its name, also its hostname label.
        labels: further labels.
        room: capacity and allocatable, where they differ from ROOM.
    """
    resources = {**ROOM, **(room or {})}
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}
    status = {"capacity": resources, "allocatable": resources}
    return ready({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})


def fake_slice(node: str, driver: str, devices: Sequence[Mapping[str, Any]], kind: str, pool: str = "") -> Json:
    """A ResourceSlice with all of a pool's devices on a node.

    Args:
        node: the node's name.
        driver: whose devices they are.
        devices: as the slice has them.
        kind: the end of the slice's name, after that of the node.
        pool: the pool's name; the node's where it is empty.
    """
    spec = {
        "driver": driver,
        "nodeName": node,
        "pool": {"name": pool or node, "generation": 1, "resourceSliceCount": 1},
        "devices": [*devices],
    }
    metadata = {"name": f"{node}-{kind}"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec}


def device_class(name: str, expression: str, **more: Any) -> Json:
    """A DeviceClass with one selector; `more` are further fields of its spec."""
    spec = {"selectors": [{"cel": {"expression": expression}}], **more}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def ready(node: Mapping[str, Any]) -> Json:
    """The same Node as a kubelet that is well would report it."""
    status = dict(node.get("status") or {})
    since = "2020-01-01T00:00:00Z"
    healthy = {"lastHeartbeatTime": since, "lastTransitionTime": since, "reason": "Fake", "message": "no kubelet"}
    status["conditions"] = [
        {"type": "Ready", "status": "True", **healthy},
        *({"type": kind, "status": "False", **healthy} for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
    ]
    return {**node, "status": status}


def cluster_objects(spec: str) -> list[Json]:
    """The Nodes, DeviceClasses and ResourceSlices of `fairlead cluster SPEC`, the nodes ready.

    Raises:
        ValueError: the spec cannot be used; the message is what `fairlead` says.
    """
    done = subprocess.run(
        [sys.executable, "-c", _FAIRLEAD, "cluster", spec, "-o", "json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"fairlead cluster ended with status {done.returncode}"]
        raise ValueError(lines[0].removeprefix("Error: "))
    items: list[Json] = json.loads(done.stdout)["items"]
    return [ready(item) if item["kind"] == "Node" else item for item in items]


def add_cluster(api: Api, spec: str | Iterable[Mapping[str, Any]]) -> list[Json]:
    """Creates a cluster's objects, many at once, and returns those it created as the API server stored them.

    Device classes that are there already stay as they are, so that several specs can make one cluster.

    Args:
        api: access that may create nodes, classes and slices.
        spec: what `fairlead cluster` takes, or objects made elsewhere.

    Raises:
        ValueError: the spec cannot be used.
        ApiError: an object is refused or exists.
    """
    objects = cluster_objects(spec) if isinstance(spec, str) else list(spec)
    known = {each["metadata"]["name"] for each in api.items("/apis/resource.k8s.io/v1/deviceclasses")}
    return api.create_all(
        each for each in objects if each["kind"] != "DeviceClass" or each["metadata"]["name"] not in known
    )
