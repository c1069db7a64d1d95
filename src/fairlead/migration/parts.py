"""Requests for the devices of a pod, and the claim templates that hold them.

A claim holds at most 32 devices (`AllocationResultsMaxSize`), and kube-scheduler fits none that asks for more: what a
pod counts beyond that goes into further claims.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.migration.networks import Network
from fairlead.migration.rules import Request

MOST: Final = 32
"""Devices of a claim."""
NETWORK_DRIVER: Final = "sriovnetwork.k8snetworkplumbingwg.io"
Json = dict[str, Any]


@dataclass(slots=True)
class Part:
    """One request, and the containers that use it."""

    request: Request
    resource: str
    count: int
    name: str
    users: list[Json] = field(default_factory=list)
    network: Network | None = None
    interface: str = ""


def split(parts: Iterable[Part]) -> list[list[Part]]:
    """The parts of each claim, in their order."""
    claims: list[list[Part]] = []
    left = 0
    for part in parts:
        if part.count > left:
            claims.append([])
            left = MOST
        claims[-1].append(part)
        left -= part.count
    return claims


def template(name: str, namespace: str, parts: Sequence[Part]) -> Json:
    """The claim template with these requests; `namespace` is empty where the workload does not say."""
    devices: Json = {"requests": [_written(part) for part in parts]}
    matched = [part for part in parts if part.request.match and part.count > 1]
    if matched:
        devices["constraints"] = [{"requests": [one.name], "matchAttribute": one.request.match} for one in matched]
    if configs := [_config(part) for part in parts if part.network is not None]:
        devices["config"] = configs
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"spec": {"devices": devices}},
    }


def template_name(name: str, path: str, taken: Iterable[str]) -> str:
    """What a claim template is called: after the workload, and the pod template where it has several."""
    used = set(taken)
    parts = [part for part in re.split(r"[^a-zA-Z0-9]+", path) if part.lower() not in ("spec", "template", "")]
    middle = "-".join(parts).lower()
    wanted = [f"{name}-devices", f"{name}-{middle}-devices", *(f"{name}-devices-{n}" for n in range(2, 999))]
    return next(one for one in wanted if one not in used and "--" not in one)


def _written(part: Part) -> Json:
    exactly: Json = {"deviceClassName": part.request.device_class}
    if part.request.selector:
        exactly["selectors"] = [{"cel": {"expression": part.request.selector}}]
    if part.count > 1:
        exactly["count"] = part.count
    if part.request.capacity:
        exactly["capacity"] = {"requests": dict(part.request.capacity)}
    return {"name": part.name, "exactly": exactly}


def _config(part: Part) -> Json:
    assert part.network is not None
    return {
        "requests": [part.name],
        "opaque": {
            "driver": NETWORK_DRIVER,
            "parameters": {
                "apiVersion": f"{NETWORK_DRIVER}/v1alpha1",
                "kind": "VfConfig",
                "ifName": part.interface,
                "netAttachDefName": part.network.name,
                "netAttachDefNamespace": part.network.namespace,
            },
        },
    }
