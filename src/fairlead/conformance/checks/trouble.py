"""An API server that fails or is slow while a claim is prepared, and calls that kubelet gives up."""

from __future__ import annotations

import asyncio

from fairlead.conformance.answers import describe
from fairlead.conformance.apiserver import CLAIMS, Call
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import Made
from fairlead.conformance.kubelet import CallError
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Failure, Skip


@check(
    "api-error",
    "Nothing is prepared that could not be read",
    expected="While the API server answers 500, the claim gets an error; afterwards it is prepared.",
    source="kubeletplugin of k8s.io/dynamic-resource-allocation",
    why="A guess is worse than an error: kubelet asks again, and nobody notices a wrong device (aojea/pydra takes the "
    "first).",
    after=("refuse-unknown",),
)
async def error(lab: Lab) -> str:
    claim = lab.claims.make()
    fault = lab.fault(_reads_claim, 500)
    try:
        said = await lab.refused(claim)
    except Failure:
        if not fault.hits:
            raise Skip("the driver does not read the claim when it is prepared") from None
        raise
    lab.api.faults.remove(fault)
    await lab.prepared(claim)
    return said


@check(
    "api-slow",
    "A slow API server delays, and harms nothing",
    expected="When the claim is answered late, it is prepared.",
    source="kubelet waits 45 seconds",
    why="A busy control plane is the moment at which many pods start.",
)
async def slow(lab: Lab) -> str:
    claim = lab.claims.make()
    release = asyncio.Event()
    fault = lab.fault(_reads_claim, 0, release=release)
    asyncio.get_running_loop().call_later(lab.options.settle, release.set)
    answer = await lab.prepared(claim)
    if not fault.hits:
        raise Skip("the driver does not read the claim when it is prepared")
    return describe(answer)


@check(
    "deadline",
    "A call that kubelet gave up leaves nothing behind",
    expected="After a prepare whose deadline passed while the API server was silent, the claim can be prepared, and "
    "unpreparing it leaves no CDI device.",
    source="kubelet's deadline of 45 seconds, here a shorter one",
    why="A prepare that goes on after its call ended meets the next one for the same claim.",
    after=("unprepare-cleans",),
)
async def deadline(lab: Lab) -> str:
    claim = lab.claims.make()
    release = asyncio.Event()
    lab.fault(_reads_claim, 0, release=release)
    code = await _given_up(lab, claim)
    release.set()
    lab.api.faults.clear()
    answer = await lab.prepared(claim)
    await lab.unprepared(claim)
    own = await lab.own_ids(answer)
    gone = await lab.until(lambda: own <= set(lab.missing(answer)))
    expect(gone, f"left after unpreparing: {', '.join(sorted(own - set(lab.missing(answer))))}")
    return f"the call ended with {code}; prepared and unprepared afterwards"


async def _given_up(lab: Lab, claim: Made) -> str:
    try:
        await lab.prepare(claim, seconds=lab.options.settle)
    except CallError as failed:
        return failed.code
    return "an answer"


def _reads_claim(call: Call) -> bool:
    return call.resource == CLAIMS.plural and call.method == "GET" and bool(call.name)
