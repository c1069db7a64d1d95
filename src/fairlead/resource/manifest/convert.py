"""The served versions of resource.k8s.io, and how the older ones read as v1.

v1beta2 has the shape of v1. v1beta1 wraps the body of a device in `basic` and has the body of a plain request
beside its name; `nodeName: ""` and `allNodes: false` there mean unset. DeviceTaintRule was v1alpha3 up to 1.36.
Paths in problems are turned back, so that users find the field in their document.

Source: `k8s.io/kubernetes` pkg/apis/resource/v1beta1/conversion.go and the types of `k8s.io/api` 0.37.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fairlead.resource.claim import ExactDeviceRequest

GROUP: Final = "resource.k8s.io"
V1: Final = f"{GROUP}/v1"
V1BETA1: Final = f"{GROUP}/v1beta1"

_CORE: Final = (V1, f"{GROUP}/v1beta2", V1BETA1)
SERVED: Final[dict[str, tuple[str, ...]]] = {
    "ResourceSlice": _CORE,
    "ResourceClaim": _CORE,
    "ResourceClaimTemplate": _CORE,
    "DeviceClass": _CORE,
    "DeviceTaintRule": (V1, f"{GROUP}/v1beta2", f"{GROUP}/v1alpha3"),
    "Node": ("v1",),
    "Pod": ("v1",),
    "PodDisruptionBudget": ("policy/v1",),
    "PodGroup": ("scheduling.k8s.io/v1beta1", "scheduling.k8s.io/v1alpha3", "scheduling.k8s.io/v1alpha2"),
}

_EXACT_FIELDS: Final = frozenset(ExactDeviceRequest.__struct_encode_fields__)
_EXACTLY: Final = re.compile(r"(\.devices\.requests\[\d+\])\.exactly\b")
_DEVICE: Final = re.compile(r"^(spec\.devices\[\d+\])\.(?!name$|basic\b)")


def group_of(api_version: str) -> str:
    """`apps` of `apps/v1`; empty for the core group."""
    group, slash, _ = api_version.rpartition("/")
    return group if slash else ""


def to_v1(document: dict[str, Any]) -> dict[str, Any]:
    """A document of a served version in the shape of v1; `apiVersion` stays as it was written."""
    if document.get("apiVersion") != V1BETA1:
        return document
    kind = document.get("kind")
    spec = document.get("spec")
    if not isinstance(spec, dict):
        return document
    if kind == "ResourceSlice":
        return {**document, "spec": _slice_spec(spec)}
    if kind == "ResourceClaim":
        return {**document, "spec": _claim_spec(spec)}
    if kind == "ResourceClaimTemplate" and isinstance(spec.get("spec"), dict):
        return {**document, "spec": {**spec, "spec": _claim_spec(spec["spec"])}}
    return document


def path_as_written(api_version: str, kind: str, path: str) -> str:
    """A field path of v1 as it is called in a document of `api_version`."""
    if api_version != V1BETA1:
        return path
    if kind == "ResourceSlice":
        return _DEVICE.sub(r"\1.basic.", path)
    return _EXACTLY.sub(r"\1", path)


def _slice_spec(spec: dict[str, Any]) -> dict[str, Any]:
    converted = dict(spec)
    if converted.get("nodeName") == "":
        del converted["nodeName"]
    if converted.get("allNodes") is False:
        del converted["allNodes"]
    devices = spec.get("devices")
    if isinstance(devices, list):
        converted["devices"] = [_device(device) for device in devices]
    return converted


def _device(device: Any) -> Any:
    if not isinstance(device, dict) or not isinstance(device.get("basic"), dict):
        return device
    # A field beside `basic` that v1beta1 does not have must not pass for one of the body.
    beside = {f"{name} (beside basic)": value for name, value in device.items() if name not in ("name", "basic")}
    name = {"name": device["name"]} if "name" in device else {}
    return {**name, **device["basic"], **beside}


def _claim_spec(spec: dict[str, Any]) -> dict[str, Any]:
    devices = spec.get("devices")
    if not isinstance(devices, dict) or not isinstance(devices.get("requests"), list):
        return spec
    return {**spec, "devices": {**devices, "requests": [_request(request) for request in devices["requests"]]}}


def _request(request: Any) -> Any:
    if not isinstance(request, dict):
        return request
    exactly = {name: value for name, value in request.items() if name in _EXACT_FIELDS}
    rest = {name: value for name, value in request.items() if name not in _EXACT_FIELDS}
    if "exactly" in rest:
        rest["exactly (not in v1beta1)"] = rest.pop("exactly")
    return {**rest, "exactly": exactly} if exactly else rest
