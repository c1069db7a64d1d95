"""What the record of the whole run says: requests and changes of all checks together."""

from __future__ import annotations

from fairlead.conformance.apiserver import CLAIMS, SLICES
from fairlead.conformance.check import check, expect
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip


@check(
    "slices-accepted",
    "The API server takes every slice",
    expected="No write of a slice is answered with 400, 405 or 422.",
    source="validation of ResourceSlice in Kubernetes 1.37: names, limits, attribute values, taints, counters",
    why="A refused slice is not there: its devices are missing without any event on a pod. 64 characters of an "
    "attribute, 32 attributes and capacities, 128 devices (64 with taints or counters) are exceeded in the field.",
)
async def accepted(lab: Lab) -> str:
    writes = [one for one in lab.writes() if not one.injected]
    bad = [one for one in writes if one.status in (400, 405, 422)]
    expect(not bad, f"{len(bad)} refused, first {bad[0].method} {bad[0].name}: {bad[0].message}" if bad else "")
    expect(writes, "the driver writes no slices")
    return f"{len(writes)} writes"


@check(
    "slices-others",
    "Slices of other drivers and nodes are left alone",
    expected="All the while no slice of another driver, or of this driver on another node, was changed.",
    source="RBAC lets a driver write all slices; it must keep to its own",
    why="A list without a field selector, and a cleanup after it, takes away the devices of the whole cluster.",
)
async def others(lab: Lab) -> str:
    changed = [
        one.item["metadata"]["name"]
        for one in lab.store.changes(SLICES, by=("driver",))
        if one.item["metadata"]["name"] in ("others", "namesake")
    ]
    expect(not changed, f"changed or deleted: {', '.join(sorted(set(changed)))}")
    return f"{len(lab.others())} slices of others are as they were"


@check(
    "status-accepted",
    "The API server takes what is written into claims",
    expected="No write of a claim's status is answered with 400, 405 or 422.",
    source="validation of status.devices in Kubernetes 1.37",
    why="What a network driver tells of addresses is missing from the claim, and nothing else says so.",
)
async def status_accepted(lab: Lab) -> str:
    writes = [one for one in lab.api.calls if one.resource == f"{CLAIMS.plural}/status" and one.method != "GET"]
    if not writes:
        raise Skip("the driver writes nothing into claims")
    bad = [one for one in writes if one.status in (400, 405, 422) and not one.injected]
    expect(not bad, f"{len(bad)} refused, first {bad[0].method} {bad[0].name}: {bad[0].message}" if bad else "")
    return f"{len(writes)} writes"
