"""Small clusters in a few words, for tests: slices, classes and claims as JSON, decided by the real allocator."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from fairlead.cli.cases import Outcome, parse_case, run_case
from fairlead.resource import decode_hook

DRIVER = "gpu.example.com"
ROOT = "resource.kubernetes.io/pcieRoot"
EVERYTHING = [
    "AdminAccess",
    "ConsumableCapacity",
    "DeviceBindingAndStatus",
    "DeviceTaints",
    "ListTypeAttributes",
    "PartitionableDevices",
    "PrioritizedList",
]


def value(given: object) -> dict[str, object]:
    """An attribute value of the type that Python gives it; lists are list attributes."""
    kinds = {bool: "bool", int: "int", str: "string"}
    if isinstance(given, list):
        return {kinds[type(given[0])] + "s": given}
    return {kinds[type(given)]: given}


def device(name: str, attributes: Mapping[str, object] | None = None, **fields: Any) -> dict[str, Any]:
    """A device; `capacity` may map names to amounts, `uses` counter sets to counters."""
    made: dict[str, Any] = {"name": name}
    if attributes:
        made["attributes"] = {key: value(given) for key, given in attributes.items()}
    if capacity := fields.pop("capacity", None):
        made["capacity"] = {k: v if isinstance(v, dict) else {"value": v} for k, v in capacity.items()}
    if uses := fields.pop("uses", None):
        made["consumesCounters"] = [
            {"counterSet": name, "counters": {k: {"value": v} for k, v in counters.items()}}
            for name, counters in uses.items()
        ]
    return made | fields


def devices(text: str, **attributes: object) -> list[dict[str, Any]]:
    """Devices of these names that all have the same attributes."""
    return [device(name, attributes) for name in text.split()]


def slice_(
    members: Sequence[Mapping[str, Any]] | str,
    *,
    driver: str = DRIVER,
    pool: str = "node-1",
    name: str = "",
    generation: int = 1,
    count: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """A slice of node-1, unless `spec` says who reaches it (`nodeName=...`, `allNodes=True`, `nodeSelector=...`)."""
    if not spec.keys() & {"nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"}:
        spec["nodeName"] = "node-1"
    members = devices(members) if isinstance(members, str) else list(members)
    return {
        "metadata": {"name": name or f"{pool}-{driver}"},
        "spec": {
            "driver": driver,
            "pool": {"name": pool, "generation": generation, "resourceSliceCount": count},
            **({"devices": members} if members else {}),
            **spec,
        },
    }


def counters(**sets: Mapping[str, str]) -> list[dict[str, Any]]:
    """`sharedCounters` of a slice."""
    return [{"name": name, "counters": {k: {"value": v} for k, v in amounts.items()}} for name, amounts in sets.items()]


def labelled(key: str, *values: str) -> dict[str, Any]:
    """A node selector on one label."""
    requirement = {"key": key, "operator": "In", "values": list(values)}
    return {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}


def request(
    name: str, count: int | str = 1, *selectors: str, device_class: str = "gpu", **fields: Any
) -> dict[str, Any]:
    """A request for `count` devices, or "All" of them."""
    exactly = _asked(count, selectors, device_class, fields)
    return {"name": name, "exactly": exactly}


def either(name: str, *alternatives: Mapping[str, Any]) -> dict[str, Any]:
    """A request with alternatives, each made by `request`."""
    return {"name": name, "firstAvailable": [{"name": a["name"], **a["exactly"]} for a in alternatives]}


def _asked(count: int | str, selectors: Iterable[str], device_class: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"deviceClassName": device_class, **fields}
    asked |= {"allocationMode": "All"} if count == "All" else {"allocationMode": "ExactCount", "count": count}
    if selectors:
        asked["selectors"] = [{"cel": {"expression": text}} for text in selectors]
    if capacity := asked.pop("capacity", None):
        asked["capacity"] = {"requests": capacity}
    return asked


def match(attribute: str, *requests: str) -> dict[str, Any]:
    """All devices of these requests (none named: of all) have the same value."""
    return {"matchAttribute": attribute, **({"requests": list(requests)} if requests else {})}


def distinct(attribute: str, *requests: str) -> dict[str, Any]:
    """All devices of these requests have different values."""
    return {"distinctAttribute": attribute, **({"requests": list(requests)} if requests else {})}


def claim(
    *requests: Mapping[str, Any], constraints: Sequence[Mapping[str, Any]] = (), name: str = "claim", **spec: Any
) -> dict[str, Any]:
    """A claim in namespace `ml`."""
    return {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"devices": {"requests": list(requests), "constraints": list(constraints), **spec}},
    }


CLASSES = [
    {"metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]}},
    {
        "metadata": {"name": "nic"},
        "spec": {"selectors": [{"cel": {"expression": 'device.driver == "nic.example.com"'}}]},
    },
    {"metadata": {"name": "any"}, "spec": {}},
]


def convert(kind: Any, raw: Any) -> Any:
    """The object of that type, read from JSON as the product reads it."""
    return msgspec.json.decode(json.dumps(raw).encode(), type=kind, dec_hook=decode_hook)


def decide(
    slices: Sequence[Mapping[str, Any]],
    *claims: Mapping[str, Any],
    features: Sequence[str] = EVERYTHING,
    labels: Mapping[str, str] | None = None,
    node: str = "node-1",
    **case: Any,
) -> Outcome:
    """What the allocator says of the claims on the node."""
    line = {
        "name": "test",
        "features": list(features),
        "slices": list(slices),
        "classes": CLASSES,
        "claims": list(claims),
        "node": {"metadata": {"name": node, "labels": dict(labels or {})}},
        **case,
    }
    return run_case(parse_case(json.dumps(line).encode()))


def picks(outcome: Outcome) -> list[str] | None:
    """The devices as `request=device`, claim after claim; None where there is no allocation."""
    assert outcome.error is None, outcome.error
    if outcome.allocations is None:
        return None
    return [
        f"{result['request']}={result['device']}"
        for allocation in outcome.allocations
        for result in allocation["devices"]["results"]
    ]


def held(*names: str, driver: str = DRIVER, pool: str = "node-1") -> list[str]:
    """Devices that somebody holds."""
    return [f"{driver}/{pool}/{name}" for name in names]
