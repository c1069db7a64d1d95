"""What must not be prepared: each claim is refused with an error of its own, and nothing else suffers."""

from __future__ import annotations

import uuid

from fairlead.conformance.answers import describe
from fairlead.conformance.apiserver import Json
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import NAMESPACE, moved
from fairlead.conformance.kubelet import ClaimRef
from fairlead.conformance.lab import Lab

_HELPER = "kubeletplugin of k8s.io/dynamic-resource-allocation"


@check(
    "refuse-unknown",
    "A claim that is not in the API is refused",
    expected="There is an error, of the claim or of the call, and no devices.",
    source=_HELPER + ": the claim is read before anything is prepared",
    why="What a claim got stands only there. aojea/pydra falls back to the first device when it cannot read the claim: "
    "two pods then have the same.",
)
async def unknown(lab: Lab) -> str:
    return await lab.refused(ClaimRef(NAMESPACE, "nobody", str(uuid.uuid4())))


@check(
    "refuse-uid",
    "A claim that was made again under its name is refused",
    expected="When the claim of that name has another UID than kubelet asks for, there is an error.",
    source=_HELPER + ": the UID is compared",
    why="The pod would get the devices of another claim: those of the pod that came after it.",
)
async def other_uid(lab: Lab) -> str:
    claim = lab.claims.make()
    return await lab.refused(moved(claim, str(uuid.uuid4())))


@check(
    "refuse-unallocated",
    "A claim that is not allocated is refused",
    expected="When the claim has no allocation, there is an error.",
    source=_HELPER,
    why="No device is reserved for it; whatever is handed out may be another pod's.",
)
async def unallocated(lab: Lab) -> str:
    def take_back(item: Json) -> None:
        item["status"] = {}

    return await lab.refused(lab.claims.make(change=take_back))


@check(
    "refuse-unknown-device",
    "A device that is not there is refused",
    expected="When the allocated device is none that the driver has, there is an error.",
    source="practice: hardware goes between allocation and start",
    why="A pod that starts without its device fails later, and far from the cause.",
)
async def unknown_device(lab: Lab) -> str:
    results = lab.claims.allocated()
    return await lab.refused(lab.claims.make([results[0] | {"device": "no-such-device"}]))


@check(
    "batch-isolated",
    "One bad claim does not keep the others of a call",
    expected="Of a call with a good claim between two bad ones, the good one is prepared.",
    source="kubelet's DRA protocol v1: an error a claim",
    why="Kubelet asks for all claims of a pod in one call. One error for all of them does not tell the user which "
    "claim it is, and the others begin anew with each try.",
    after=("refuse-unknown",),
)
async def isolated(lab: Lab) -> str:
    good = lab.claims.make()
    bad = [ClaimRef(NAMESPACE, f"nobody-{number}", str(uuid.uuid4())) for number in range(2)]
    answers = await lab.prepare(bad[0], good, bad[1])
    for one in bad:
        expect(one.uid in answers and answers[one.uid].error, "a bad claim has no entry with an error")
    answer = answers.get(good.ref.uid)
    expect(answer is not None, "the good claim has no entry")
    assert answer is not None
    expect(not answer.error and answer.devices, f"the good claim: {describe(answer)}")
    return describe(answer)
