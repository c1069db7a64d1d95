"""What the stand-in says of itself: versions, groups, resources, health."""

from __future__ import annotations

from typing import Any, Final

from fairlead.conformance.apiserver.resources import RESOURCES, Resource

_VERBS: Final = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_VERSION: Final = {"major": "1", "minor": "37", "gitVersion": "v1.37.2", "platform": "linux/amd64"}


def describe(path: str) -> Any:
    """The answer to a path that is about the server and not about an object; None for others."""
    parts = [part for part in path.split("/") if part]
    if parts == ["version"]:
        return _VERSION
    if parts and parts[0] in ("healthz", "livez", "readyz"):
        return "ok"
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        groups = [_group(name) for name in dict.fromkeys(one.group for one in RESOURCES if one.group)]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    group, *version = parts[1:] if parts[:1] == ["apis"] else ["", *parts[1:]]
    served = [one for one in RESOURCES if one.group == group]
    if not served or parts[0] not in ("api", "apis"):
        return None
    if not version:
        return _group(group)
    if version == [served[0].version]:
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": served[0].api_version,
            "resources": [entry for one in served for entry in _entries(one)],
        }
    return None


def _group(name: str) -> dict[str, Any]:
    version = next(one for one in RESOURCES if one.group == name)
    entry = {"groupVersion": version.api_version, "version": version.version}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [entry], "preferredVersion": entry}


def _entries(one: Resource) -> list[dict[str, Any]]:
    entry = {
        "name": one.plural,
        "singularName": one.kind.lower(),
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": _VERBS,
    }
    status = {**entry, "name": f"{one.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
    return [entry, status] if one.has_status else [entry]
