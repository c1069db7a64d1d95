"""Nodes, pods and clusters in a few words, for tests of placement. Devices and claims come from `builders`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

import builders
from fairlead.inventory import Features
from fairlead.placement import Cluster, Plan, plan
from fairlead.resource import (
    DeviceClass,
    Node,
    PlannedPod,
    Pod,
    PodClaim,
    Quantity,
    ResourceClaim,
    ResourceSlice,
)

Struct = TypeVar("Struct", bound=msgspec.Struct)


def read(kind: type[Struct], value: Mapping[str, Any]) -> Struct:
    """A struct out of JSON values."""
    return msgspec.json.decode(json.dumps(value), type=kind, dec_hook=lambda _, text: Quantity.parse(str(text)))


def node(name: str, labels: Mapping[str, str] | None = None, *, cordoned: bool = False, **fields: Any) -> Node:
    """A node; `cpu="8"` and the like are its allocatable amounts, `taints` are `key=value:Effect`."""
    taints = []
    for text in fields.pop("taints", ()):
        key, _, effect = text.rpartition(":")
        key, _, value = key.partition("=")
        taints.append({"key": key, "value": value, "effect": effect})
    allocatable = {key.replace("__", "/").replace("_", "."): value for key, value in fields.items()}
    return read(
        Node,
        {
            "metadata": {"name": name, "labels": dict(labels or {})},
            "spec": {"unschedulable": cordoned, "taints": taints},
            "status": {"allocatable": allocatable},
        },
    )


def container(limits: Mapping[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """A container; plain names are requests, `port=80` is a host port, `sidecar=True` restarts always."""
    made: dict[str, Any] = {"name": "c"}
    if port := fields.pop("port", None):
        made["ports"] = [{"containerPort": port, "hostPort": port}]
    if fields.pop("sidecar", False):
        made["restartPolicy"] = "Always"
    return made | {"resources": {"requests": fields, "limits": dict(limits or {})}}


def pod(name: str = "pod", *containers: Mapping[str, Any], labels: Mapping[str, str] | None = None, **spec: Any) -> Pod:
    """A pod in namespace `ml`."""
    containers = containers or (container(),)
    metadata = {"name": name, "namespace": "ml", "labels": dict(labels or {})}
    return read(Pod, {"metadata": metadata, "spec": {"containers": list(containers), **spec}})


def claim(name: str, *requests: Mapping[str, Any], **fields: Any) -> ResourceClaim:
    """A claim in namespace `ml`, allocated where `devices` names some; other fields as in `builders.claim`."""
    status = fields.pop("status", {})
    return read(ResourceClaim, builders.claim(*requests, name=name, **fields) | {"status": status})


def allocation(*devices: str, node_name: str = "node-1", driver: str = builders.DRIVER) -> dict[str, Any]:
    """A status with these devices of a node."""
    results = [{"request": "gpu", "driver": driver, "pool": node_name, "device": name} for name in devices]
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    selector = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"allocation": {"devices": {"results": results}, "nodeSelector": selector}}


def planned(made: Pod, *claims: ResourceClaim, extended: ResourceClaim | None = None) -> PlannedPod:
    """A pod that uses these claims."""
    used = [PodClaim(one.name, one, generated=True) for one in claims]
    if extended is not None:
        requests = [asked.name for asked in extended.spec.devices.requests]
        used.append(PodClaim("extended", extended, generated=True, extended={"example.com/gpu": requests}))
    return PlannedPod(pod=made, owner="", group=None, claims=tuple(used))


def gpus(node_name: str, names: str = "gpu-0 gpu-1", **attributes: object) -> dict[str, Any]:
    """A slice with GPUs of a node."""
    return builders.slice_(builders.devices(names, **attributes), pool=node_name, nodeName=node_name)


def cluster(nodes: Sequence[Node] = (), slices: Sequence[Mapping[str, Any]] = (), **fields: Any) -> Cluster:
    """A cluster; the device classes are those of `builders`, and more in `classes`."""
    classes = [*builders.CLASSES, *fields.pop("classes", ())]
    return Cluster(
        nodes=nodes,
        slices=[read(ResourceSlice, one) for one in slices],
        classes=[read(DeviceClass, one) for one in classes],
        features=Features(),
        **fields,
    )


def where(result: Plan) -> list[str]:
    """The node of each pod; empty for one without."""
    return [placement.node for placement in result]


def reasons(result: Plan) -> list[str]:
    """The obstacles of the last pod, as they are printed."""
    return [str(obstacle) for obstacle in result.placements[-1].obstacles]


def devices_of(result: Plan) -> list[list[str]]:
    """The devices of each pod, claim after claim."""
    return [
        [
            given.device
            for used in placement.claims
            if used.claim.status.allocation is not None
            for given in used.claim.status.allocation.devices.results
        ]
        for placement in result
    ]


def refusal(on: Node, wanted: Pod, *others: Pod) -> str:
    """Why a node does not take a pod beside others that run there; empty where it does."""
    running = [msgspec.structs.replace(o, spec=msgspec.structs.replace(o.spec, node_name=on.name)) for o in others]
    placement = plan(cluster([on], pods=running), [planned(wanted)]).placements[0]
    assert placement.placed == (not placement.obstacles)
    return "; ".join(obstacle.text for obstacle in placement.obstacles)
