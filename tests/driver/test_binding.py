"""Binding conditions, the pure part: which claims wait, what is written of a device, and what is patched."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fairlead.driver.api import device_operations
from fairlead.driver.author import ClaimDevice, Readiness
from fairlead.driver.binding import conditions_of, waiting
from fairlead.resource import Condition, DeviceRequestAllocationResult, ResourceClaim, decode_hook

DRIVER, NODE = "gpu.example.com", "node-1"
HERE = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}]}
DEVICE = ClaimDevice("gpu", "", NODE, "gpu-0", None)


def result(device: str, *conditions: str, driver: str = DRIVER, **more: Any) -> dict[str, Any]:
    fields = {"request": "r", "driver": driver, "pool": NODE, "device": device, "bindingConditions": list(conditions)}
    return fields | {"bindingFailureConditions": ["Bad"] if conditions else []} | more


def said(device: str, driver: str = DRIVER, **conditions: str) -> dict[str, Any]:
    return {
        "driver": driver,
        "pool": NODE,
        "device": device,
        "conditions": [{"type": name, "status": status} for name, status in conditions.items()],
    }


def names(results: list[dict[str, Any]], devices: list[dict[str, Any]], selector: Any = HERE) -> list[str]:
    status = {"allocation": {"devices": {"results": results}, "nodeSelector": selector}, "devices": devices}
    raw = msgspec.json.encode({"metadata": {"name": "c", "namespace": "ml", "uid": "u"}, "status": status})
    claim = msgspec.json.decode(raw, type=ResourceClaim, dec_hook=decode_hook)
    return [one.device for one in waiting(claim, DRIVER, NODE)]


def test_a_claim_waits_until_all_conditions_of_ours_are_true_or_one_has_failed() -> None:
    two = [result("gpu-0", "A", "B"), result("gpu-1", "A"), result("nic-0", "A", driver="nic.example.com")]
    assert names(two, []) == ["gpu-0", "gpu-1"]
    assert names(two, [said("gpu-0", A="True", B="True")]) == ["gpu-0", "gpu-1"]  # told together
    assert names(two, [said("gpu-0", A="True", B="False"), said("gpu-1", A="True")]) == ["gpu-0", "gpu-1"]
    assert names(two, [said("gpu-0", A="True", B="True"), said("gpu-1", A="True")]) == []
    assert names(two, [said("gpu-1", Bad="True")]) == []
    assert names(two, [said("gpu-1", Bad="False")]) == ["gpu-0", "gpu-1"]
    theirs = [said("gpu-0", "nic.example.com", A="True", B="True"), said("gpu-1", "nic.example.com", A="True")]
    assert names(two, theirs) == ["gpu-0", "gpu-1"]


def test_claims_without_conditions_or_of_other_nodes_do_not_wait() -> None:
    assert names([result("gpu-0")], []) == []
    assert names([result("gpu-0", "A", driver="nic.example.com")], []) == []
    elsewhere = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]}
    assert names([result("gpu-0", "A")], [], elsewhere) == []
    assert names([result("gpu-0", "A")], [], None) == []


def test_shares_of_a_device_have_conditions_of_their_own() -> None:
    two = [result("gpu-0", "A", shareID="s1"), result("gpu-0", "A", shareID="s2")]
    assert names(two, [said("gpu-0", A="True") | {"shareID": "s1"}]) == ["gpu-0", "gpu-0"]
    assert names(two, [said("gpu-0", A="True") | {"shareID": one} for one in ("s1", "s2")]) == []


@pytest.mark.parametrize(
    ("readiness", "before", "expected"),
    [
        (Readiness(DEVICE, True, "m"), {}, [("A", "True", "Ready", "now")]),
        (Readiness(DEVICE, False, "m"), {}, [("A", "False", "NotReady", "now")]),
        (Readiness(DEVICE, True, "m"), {"A": "True"}, [("A", "True", "Ready", "then")]),
        (Readiness(DEVICE, True, "m"), {"A": "False"}, [("A", "True", "Ready", "now")]),
        (
            Readiness(DEVICE, False, "m", True),
            {},
            [("A", "False", "NotReady", "now"), ("Bad", "True", "Failed", "now")],
        ),
        (
            Readiness(DEVICE, True, "m"),
            {"Bad": "True"},
            [("A", "True", "Ready", "now"), ("Bad", "False", "NotFailed", "now")],
        ),
    ],
)
def test_what_a_driver_says_becomes_conditions(
    readiness: Readiness, before: dict[str, str], expected: list[tuple[str, str, str, str]]
) -> None:
    raw = msgspec.json.encode(result("gpu-0", "A"))
    of = msgspec.json.decode(raw, type=DeviceRequestAllocationResult, dec_hook=decode_hook)
    known = {name: Condition(type=name, status=status, last_transition_time="then") for name, status in before.items()}
    made = conditions_of(of, readiness, known, "now")
    assert [(one.type, one.status, one.reason, one.last_transition_time) for one in made] == expected
    assert {one.message for one in made} == {"m"}


def test_a_patch_touches_what_is_given_and_nothing_else() -> None:
    entry = {"driver": DRIVER, "pool": NODE, "device": "gpu-0"}
    assert device_operations(None, [entry]) == [{"op": "add", "path": "/status/devices", "value": [entry]}]
    other = {**entry, "driver": "nic.example.com"}
    assert device_operations([other], [entry]) == [{"op": "add", "path": "/status/devices/-", "value": entry}]
    there = {
        **entry,
        "data": {"a": 1},
        "conditions": [{"type": "A", "status": "False"}, {"type": "X", "status": "True"}],
    }
    new = {**entry, "networkData": {"interfaceName": "n"}, "conditions": [{"type": "A", "status": "True"}]}
    assert device_operations([other, there], [new]) == [
        {"op": "add", "path": "/status/devices/1/networkData", "value": {"interfaceName": "n"}},
        {
            "op": "add",
            "path": "/status/devices/1/conditions",
            "value": [{"type": "A", "status": "True"}, {"type": "X", "status": "True"}],
        },
    ]
    assert device_operations([there], [{**entry, "shareID": "s"}])[0]["path"] == "/status/devices/-"
