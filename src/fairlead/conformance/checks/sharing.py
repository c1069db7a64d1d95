"""Who may have a device at the same time: one claim, shares of it, and administrators who only look."""

from __future__ import annotations

from fairlead.conformance.answers import describe
from fairlead.conformance.apiserver import Json
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import NoDeviceError
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip


@check(
    "overlap-refused",
    "A device that another claim holds is refused",
    expected="Preparing a second claim with the same device is an error, and the first claim stays as it is.",
    source="kubernetes#128981: nothing else checks it on the node",
    why="Two schedulers, or a claim whose status was cleared by hand, allocate a device twice; the driver is the last "
    "that can keep two pods apart.",
    after=("prepare-repeat", "cdi-exists"),
)
async def overlap(lab: Lab) -> str:
    results = _exclusive(lab)
    first = lab.claims.make(results)
    before = await lab.prepared(first)
    second = lab.claims.make(results)
    said = await lab.refused(second)
    again = await lab.prepared(first)
    expect(set(again.devices) == set(before.devices), f"the first claim is now {describe(again)}")
    expect(not lab.missing(again), f"CDI devices of the first claim are gone: {', '.join(lab.missing(again))}")
    return said


@check(
    "admin-access",
    "Administrators get a device that is in use",
    expected="A claim with admin access to a device that another claim holds is prepared, and unpreparing it leaves "
    "the other claim's CDI devices.",
    source="KEP-5018",
    why="Monitoring observes devices that workloads use; it must keep nobody from them.",
    after=("cdi-exists",),
)
async def admin(lab: Lab) -> str:
    results = _exclusive(lab)
    first = await lab.prepared(lab.claims.make(results))
    watching = [one | {"adminAccess": True} for one in results]
    observer = lab.claims.make(watching)
    answer = await lab.prepared(observer)
    await lab.unprepared(observer)
    expect(not lab.missing(first), f"CDI devices of the first claim are gone: {', '.join(lab.missing(first))}")
    return describe(answer)


@check(
    "shares",
    "Shares of a device are prepared side by side",
    expected="Two claims with shares of one device are prepared, the share's id is in each answer, and unpreparing one "
    "leaves the other.",
    source="KEP-5075",
    why="A share that is taken for the whole device keeps the other pod from starting, or takes its device away.",
    after=("cdi-exists",),
)
async def shares(lab: Lab) -> str:
    try:
        results = lab.claims.allocated(shared=True)
    except NoDeviceError:
        raise Skip("no device can be allocated several times") from None
    first, second = lab.claims.make(results), lab.claims.make(_same_device(lab, results))
    answers = [await lab.prepared(one) for one in (first, second)]
    if lab.driver.version.startswith("v1."):
        told = [device.share_id for answer in answers for device in answer.devices]
        given = [one["shareID"] for claim in (first, second) for one in claim.results]
        expect(told == given, f"share ids of the answers are {told}, allocated are {given}")
    await lab.unprepared(second)
    expect(not lab.missing(answers[0]), f"unpreparing one took {', '.join(lab.missing(answers[0]))} of the other")
    return "; ".join(map(describe, answers))


def _exclusive(lab: Lab) -> list[Json]:
    """The results for a device that only one claim may have."""
    try:
        return lab.claims.allocated(shared=False)
    except NoDeviceError:
        raise Skip("all devices can be allocated several times") from None


def _same_device(lab: Lab, results: list[Json]) -> list[Json]:
    """Another share of the same device, as kube-scheduler would give it."""
    other = lab.claims.allocated(shared=True)
    if (other[0]["pool"], other[0]["device"]) == (results[0]["pool"], results[0]["device"]):
        return other
    raise Skip("a device has room for one share only")
