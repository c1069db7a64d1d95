"""What the tests of the node make: hardware, classes, containers, and the driver's account."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from driver_plane import rules

from kube import IMAGE, Api, ControlPlane, RealNode, device_class, fake_slice

GPU, NET = "gpu.nvidia.com", "dra.net"
GPUS, NICS = "gpu.nvidia.com", "dranet.net"
"""Driver names, and device classes."""
SHARED = "shared.example.com"
"""A driver, and a class, of one device that many claims may share."""
RESOURCE = "example.com/gpu"
"""The name by which pods may ask for GPUs without a claim."""
GATE = {"name": "fairlead.dev/allocation"}
DRIVERS = (GPU, NET, SHARED)
NULL = {"character": True, "major": 1, "minor": 3, "problem": ""}
"""What a container sees of a simulated device: /dev/null, which it may open."""


def container(name: str, resources: Mapping[str, Any], command: str = "run") -> dict[str, Any]:
    """A container of the image that is here."""
    made = {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "args": [command]}
    return {**made, "resources": {key: value for key, value in resources.items() if value}}


def driver_access(plane: ControlPlane, node: RealNode, *drivers: str, binding: bool = False) -> None:
    """Writes the driver's kubeconfig: the documented rights, and a token of a pod that runs on the node."""
    free = plane.service_account("driver", rules(*(drivers or DRIVERS), binding=binding))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "driver", "namespace": "default"},
        "spec": {
            "serviceAccountName": "driver",
            "nodeName": node.name,
            "hostNetwork": True,
            "containers": [container("c", {}, "pause")],
        },
    }
    uid = plane.api.create(pod)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "driver", "uid": uid}
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 86400, "boundObjectRef": bound},
    }
    path = "/api/v1/namespaces/default/serviceaccounts/driver/token"
    token = plane.api.request("POST", path, asked)["status"]["token"]
    Api(free.server, token, free.authority).write_kubeconfig(plane.folder / "driver.kubeconfig")


def classes(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The device classes among objects, with a resource's name for GPUs, and that of a shared device."""
    made = [{**one, "spec": dict(one["spec"])} for one in objects if one["kind"] == "DeviceClass"]
    next(one for one in made if one["metadata"]["name"] == GPUS)["spec"]["extendedResourceName"] = RESOURCE
    return [*made, device_class(SHARED, f'device.driver == "{SHARED}"')]


def write_hardware(path: Path, objects: Sequence[Mapping[str, Any]]) -> None:
    """The slices among objects, and one of a shared device, as the simulated driver takes them."""
    slices = [one for one in objects if one["kind"] == "ResourceSlice"]
    units = {"units": {"value": "8", "requestPolicy": {"default": "1"}}}
    device = {"name": "shared-0", "allowMultipleAllocations": True, "capacity": units}
    slices.append(fake_slice(slices[0]["spec"]["nodeName"], SHARED, [device], "shared"))
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": slices}))


def requests_of(requests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "exactly": {"deviceClassName": of}} for name, of in requests.items()]


def claim_of(text: str) -> dict[str, str]:
    name, _, request = text.partition("/")
    return {"name": name, **({"request": request} if request else {})}


def variable(device: str) -> str:
    return "_" + "".join(one if one.isalnum() else "_" for one in device.upper())
