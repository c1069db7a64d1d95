"""Taking back what was prepared: from what the driver knows itself, as often as kubelet asks."""

from __future__ import annotations

import uuid

from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import NAMESPACE
from fairlead.conformance.kubelet import PREPARING, ClaimRef
from fairlead.conformance.lab import Lab

_KUBELET = "kubelet unprepares until it succeeds; the pod stays Terminating so long"


@check(
    "unprepare-cleans",
    "Unpreparing takes the CDI devices away",
    expected="After unpreparing no file has a CDI device that only this claim had, and the device can be prepared for "
    "another claim.",
    source="practice",
    why="Files that stay fill /var/run/cdi and name devices that are another claim's by now.",
)
async def cleans(lab: Lab) -> str:
    first = lab.claims.make()
    answer = await lab.prepared(first)
    own = await lab.own_ids(answer)
    await lab.done(first)
    left = own - set(lab.missing(answer))
    expect(not left, f"still in a file: {', '.join(sorted(left))}")
    await lab.prepared(lab.claims.make([dict(one) for one in first.results]))
    return "nothing is left"


@check(
    "unprepare-versions",
    "Unpreparing works under every announced version",
    expected="What was prepared under one version can be unprepared under the other.",
    source="kubelet is updated under running pods",
    why="Pods that started before an update of kubelet could not end after it.",
)
async def versions(lab: Lab) -> str:
    known = [one for one in PREPARING if one in lab.driver.info.versions]
    for first, second in zip(known, known[::-1], strict=True):
        claim = lab.claims.make()
        await lab.prepared(claim, first)
        await lab.done(claim, second)
    return ", ".join(known)


@check(
    "unprepare-unknown",
    "Unpreparing what was never prepared is no error",
    expected="Claims that the driver never saw get an entry without error.",
    source=_KUBELET,
    why="Kubelet asks, too, when preparing failed before it reached the driver. An error here keeps the pod "
    "Terminating (kubernetes#139772).",
)
async def unknown(lab: Lab) -> str:
    for claim in lab.several(2):
        await lab.unprepared(claim)
    return "no error"


@check(
    "unprepare-repeat",
    "Unpreparing again is no error",
    expected="A claim that was unprepared can be unprepared again.",
    source=_KUBELET,
    why="When the first answer is lost, an error at the second keeps the pod Terminating for ever.",
    after=("unprepare-unknown",),
)
async def repeat(lab: Lab) -> str:
    claim = lab.claims.make()
    await lab.prepared(claim)
    for _ in range(3):
        await lab.unprepared(claim)
    return "three times"


@check(
    "unprepare-claim-gone",
    "A claim that was deleted can be unprepared",
    expected="With the claim gone from the API, unpreparing succeeds, prepared before or not.",
    source="kubeletplugin of k8s.io/dynamic-resource-allocation: the object may be gone",
    why="Claims are deleted by force, and with their namespace. A driver that reads the claim first keeps the device "
    "for ever.",
    after=("unprepare-unknown",),
)
async def gone(lab: Lab) -> str:
    claim = lab.claims.make()
    await lab.prepared(claim)
    lab.claims.remove(claim.ref)
    await lab.unprepared(claim)
    await lab.unprepared(ClaimRef(NAMESPACE, "nobody", str(uuid.uuid4())))
    return "unprepared"


@check(
    "unprepare-api-down",
    "Unpreparing needs no API server",
    expected="With every request for claims failing, unpreparing succeeds.",
    source="practice: the driver's own state says what to undo",
    why="Nodes are drained while the control plane is away, and pods would not end.",
    after=("unprepare-claim-gone",),
)
async def api_down(lab: Lab) -> str:
    claim = lab.claims.make()
    await lab.prepared(claim)
    fault = lab.fault(lambda call: call.resource.startswith("resourceclaims"), 503)
    await lab.unprepared(claim)
    return f"unprepared, {fault.hits} requests failed"


@check(
    "unprepare-many",
    "Every claim of a call has an entry",
    expected="Unpreparing prepared, unprepared and unknown claims in one call answers for each.",
    source="kubelet's DRA protocol v1",
    why="Kubelet takes a missing entry for a failure of the whole call.",
    after=("unprepare-unknown", "unprepare-claim-gone"),
)
async def many(lab: Lab) -> str:
    claims = lab.several(3)
    await lab.prepare(*claims[1:])
    refs = [*(one.ref for one in claims), ClaimRef(NAMESPACE, "nobody", str(uuid.uuid4()))]
    answers = await lab.driver.unprepare(refs)
    missing = [one.name for one in refs if one.uid not in answers]
    expect(not missing, f"no entry for {', '.join(missing)}")
    failed = [error for error in answers.values() if error]
    expect(not failed, f"errors: {'; '.join(failed)}")
    return f"{len(refs)} claims"
