"""Preparing claims: one, again, many, and those of which only a part is the driver's."""

from __future__ import annotations

import asyncio

from fairlead.conformance.answers import describe
from fairlead.conformance.apiserver import Json
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import OTHER_DRIVER, Made, foreign, renamed
from fairlead.conformance.kubelet import PREPARING, Answer, CallError
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip

_PROTOCOL = "kubelet's DRA protocol v1"
_CLAIMS = 20


@check(
    "prepare-devices",
    "A claim is prepared, and the answer is about its devices",
    expected="Under each announced version there is an entry for the claim, without error, with exactly the allocated "
    "devices: request, pool, device.",
    source=_PROTOCOL,
    why="Kubelet finds the devices of a container by these names; with others the container starts without devices.",
)
async def devices(lab: Lab) -> str:
    versions = [one for one in PREPARING if one in lab.driver.info.versions] or [lab.driver.version]
    for version in versions:
        claim = lab.claims.make()
        answer = await lab.prepared(claim, version)
        _expect_devices(claim, answer)
        await lab.done(claim, version)
    return f"{describe(answer)} under {' and '.join(versions)}"


@check(
    "prepare-several",
    "A claim with several devices is prepared",
    expected="Each device is answered for its own request.",
    source=_PROTOCOL,
    why="A container asks for one request of the claim, and gets the devices of that.",
)
async def several(lab: Lab) -> str:
    claim = lab.claims.make(count=2)
    answer = await lab.prepared(claim)
    _expect_devices(claim, answer)
    return describe(answer)


@check(
    "prepare-alternative",
    "The request of a prioritized list is named without its alternative",
    expected="For the result of request main/first the answer names the request main.",
    source="KEP-4816; kubeletplugin of k8s.io/dynamic-resource-allocation",
    why="Containers name the request. With the name of the alternative in it kubelet finds no device for them.",
)
async def alternative(lab: Lab) -> str:
    claim = lab.claims.make(renamed(lab.claims.allocated(), "main/first"))
    answer = await lab.prepared(claim)
    named = {name for one in answer.devices for name in one.requests}
    expect(named == {"main"}, f"requests named in the answer: {', '.join(sorted(named)) or 'none'}")
    return describe(answer)


@check(
    "prepare-repeat",
    "Preparing again says the same",
    expected="The second answer for a prepared claim equals the first.",
    source="kubelet prepares again after its own restart, and for each pod that shares the claim",
    why="A second prepare that fails or hands out something else breaks pods that run already "
    "(nvidia-gpu#729: a repeated prepare set a completed claim back).",
)
async def repeat(lab: Lab) -> str:
    claim = lab.claims.make()
    first = await lab.prepared(claim)
    for number in (2, 3):
        answer = (await lab.prepare(claim)).get(claim.ref.uid)
        expect(answer is not None, f"answer {number} has no entry for the claim")
        assert answer is not None
        expect(_same(answer, first), f"answer {number} is {describe(answer)}, the first was {describe(first)}")
    return "three times the same"


@check(
    "prepare-many",
    "Many claims are prepared in one call and in parallel calls",
    expected=f"Up to {_CLAIMS} claims in one call each have an entry without error; so have they in calls at once.",
    source=_PROTOCOL + "; kubelet prepares pods in parallel",
    why="A claim that is missing in the answer keeps its pod from starting; calls that meet must not lose each other's "
    "state (nvidia-gpu#839).",
)
async def many(lab: Lab) -> str:
    claims = lab.several(_CLAIMS)
    together = await lab.prepare(*claims)
    _expect_all(claims, together, "one call")
    await lab.driver.unprepare([one.ref for one in claims])
    at_once: dict[str, Answer] = {}
    for answer in await asyncio.gather(*(lab.prepare(one) for one in claims)):
        at_once |= answer
    _expect_all(claims, at_once, "parallel calls")
    for one in claims:
        await lab.unprepared(one)
    return f"{len(claims)} claims"


@check(
    "prepare-parallel",
    "Parallel calls for one claim agree",
    expected="Eight calls at once for the same claim get equal answers.",
    source="pods that share a claim start at the same time",
    why="A race between two prepares of one claim prepares twice, or fails one of two pods.",
    after=("prepare-repeat",),
)
async def parallel(lab: Lab) -> str:
    claim = lab.claims.make()
    answers = [one.get(claim.ref.uid) for one in await asyncio.gather(*(lab.prepare(claim) for _ in range(8)))]
    for answer in answers:
        expect(answer is not None and not answer.error, f"one says {describe(answer) if answer else 'nothing'}")
        assert answer is not None
        first = answers[0]
        assert first is not None
        expect(_same(answer, first), f"one says {describe(answer)}, another {describe(first)}")
    return "eight equal answers"


@check(
    "foreign-skipped",
    "Other drivers' devices in a claim are skipped",
    expected="A claim with devices of two drivers is prepared, and only the driver's own are in the answer.",
    source=_PROTOCOL + ": kubelet asks each driver of a claim",
    why="A claim for a GPU and a NIC cannot be prepared otherwise (dra-driver-spyre does not skip them).",
)
async def foreign_skipped(lab: Lab) -> str:
    own = lab.claims.allocated()
    # First and last, and also a device of the other driver that has the name of one of ours.
    twin = own[0] | {"driver": OTHER_DRIVER, "request": "twin"}
    claim = lab.claims.make([foreign(), *own, twin])
    answer = (await lab.prepare(claim)).get(claim.ref.uid)
    expect(answer is not None, "the answer has no entry for the claim")
    assert answer is not None
    expect(not answer.error, f"error: {answer.error}")
    _expect_devices(claim, answer)
    return describe(answer)


@check(
    "foreign-only",
    "A claim without the driver's devices gets none",
    expected="The answer has no devices, with an error or without.",
    source=_PROTOCOL,
    why="Whatever is handed out here was allocated to nobody.",
)
async def foreign_only(lab: Lab) -> str:
    claim = lab.claims.make([foreign()])
    try:
        answer = (await lab.prepare(claim)).get(claim.ref.uid)
    except CallError as error:
        return f"the whole call failed with {error}"
    expect(answer is None or not answer.devices, f"answer: {describe(answer) if answer else ''}")
    return describe(answer) if answer else "no entry"


@check(
    "prepare-status",
    "What others wrote into a claim's status stays",
    expected="Entries of status.devices of another driver are there after the driver wrote its own, and these are "
    "about its own devices.",
    source="KEP-4817: the list is a map, and each driver owns its entries",
    why="A status that is replaced loses the addresses that a network driver told (google/dranet#117: one of two "
    "devices was updated).",
    after=("foreign-skipped",),
)
async def status(lab: Lab) -> str:
    theirs = {"driver": OTHER_DRIVER, "pool": "elsewhere", "device": "thing-0", "data": {"kept": True}}

    def told(item: Json) -> None:
        item["status"]["devices"] = [theirs]

    claim = lab.claims.make([foreign(), *lab.claims.allocated()], change=told)
    await lab.prepared(claim)

    def devices() -> list[Json]:
        found: list[Json] = lab.claim(claim)["status"].get("devices") or []
        return found

    if not await lab.until(lambda: devices() != [theirs], lab.options.settle):
        raise Skip(f"the driver wrote nothing into the claim's status within {lab.options.settle:g} s")
    expect(theirs in devices(), f"the entry of {OTHER_DRIVER} is gone or changed: {devices()}")
    own = {(one["pool"], one["device"]) for one in devices() if one["driver"] == lab.name}
    allocated = {(one["pool"], one["device"]) for one in claim.results}
    expect(own <= allocated, f"entries for {own - allocated}, which are not allocated to the claim")
    return f"entries for {', '.join(sorted(name for _, name in own))}"


def _expect_devices(claim: Made, answer: Answer) -> None:
    wanted = sorted((one["request"].partition("/")[0], one["pool"], one["device"]) for one in claim.results)
    given = sorted((name, one.pool, one.device) for one in answer.devices for name in one.requests)
    expect(given == wanted, f"devices of the answer are {given}, allocated are {wanted}")


def _expect_all(claims: list[Made], answers: dict[str, Answer], how: str) -> None:
    for claim in claims:
        answer = answers.get(claim.ref.uid)
        expect(answer is not None, f"{how}: no entry for one of {len(claims)} claims")
        assert answer is not None
        expect(not answer.error, f"{how}: {answer.error}")
        _expect_devices(claim, answer)


def _same(one: Answer, other: Answer) -> bool:
    return one.error == other.error and set(one.devices) == set(other.devices)
