"""Binding conditions of a claim's devices, without which kube-scheduler sends no pod to the node (KEP-5007)."""

from __future__ import annotations

from fairlead.conformance.apiserver import Json


def unbound(claim: Json, driver: str) -> str:
    """Which binding conditions of a driver's devices are not true; empty for none, and where one has failed."""
    status = claim.get("status") or {}
    true = {
        (one["driver"], one["pool"], one["device"], one.get("shareID"), condition["type"])
        for one in status.get("devices") or ()
        for condition in one.get("conditions") or ()
        if condition["status"] == "True"
    }
    missing = []
    for one in (status.get("allocation") or {}).get("devices", {}).get("results") or ():
        place = (one["driver"], one["pool"], one["device"], one.get("shareID"))
        if one["driver"] != driver:
            continue
        if any((*place, name) in true for name in one.get("bindingFailureConditions") or ()):
            return ""
        missing += [
            f"{name} of {one['device']}" for name in one.get("bindingConditions") or () if (*place, name) not in true
        ]
    return ", ".join(missing)
