"""What the driver tells kubelet of its devices' health, where it does."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from fairlead.conformance.check import check, expect
from fairlead.conformance.kubelet import HEALTH, CallError, Health
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Failure, Skip

_MESSAGE_MAX = 1024
_KEP = "KEP-4680; kubelet's DRA health protocol v1"


@check(
    "health-stream",
    "The health stream names published devices, with sensible times",
    expected="Under each announced version a list comes at once; it names devices that are published, once each, with "
    "the time in seconds of not long ago, and messages of at most 1024 characters.",
    source=_KEP,
    why="Kubelet drops what it cannot match; a time in milliseconds is in the far future, and a device looks healthy "
    "for ever.",
)
async def stream(lab: Lab) -> str:
    versions = _announced(lab)
    for version in versions:
        _judge(lab, version, await _first(lab, version))
    return f"{len(await _first(lab, versions[0]))} devices under {' and '.join(versions)}"


@check(
    "health-besides",
    "An open health stream stops nothing else",
    expected="While kubelet listens, claims are prepared and unprepared, and a second stream is served.",
    source=_KEP,
    why="A stream that takes the driver's only thread keeps all pods of the node from starting.",
    after=("health-stream",),
)
async def besides(lab: Lab) -> str:
    version = _announced(lab)[0]
    async with aclosing(lab.driver.watch(version)) as lists:
        await anext(lists)
        await _first(lab, version)
        claim = lab.claims.make()
        await lab.prepared(claim)
        await lab.done(claim)
    return "prepared and unprepared meanwhile"


def _announced(lab: Lab) -> list[str]:
    found = [one for one in HEALTH if one in lab.driver.info.versions]
    if not found:
        raise Skip("the driver announces no health service")
    return found


async def _first(lab: Lab, version: str) -> list[Health]:
    try:
        async with asyncio.timeout(lab.options.patience), aclosing(lab.driver.watch(version)) as lists:
            return await anext(lists)
    except TimeoutError:
        raise Failure(f"{version}: nothing came within {lab.options.patience:g} s") from None
    except StopAsyncIteration:
        raise Failure(f"{version}: the stream ended without a list") from None
    except CallError as error:
        raise Failure(f"{version}: {error}") from None


def _judge(lab: Lab, version: str, devices: list[Health]) -> None:
    names = [(one.pool, one.device) for one in devices]
    strange = sorted(set(names) - lab.devices())
    expect(not strange or not lab.devices(), f"{version}: not published: {strange[:3]}")
    expect(len(set(names)) == len(names), f"{version}: a device stands twice in the list")
    now = time.time()
    for one in devices:
        where = f"{version}: {one.device}"
        expect(one.health in (0, 1, 2), f"{where}: health is {one.health}")
        expect(now - 86400 < one.updated < now + 60, f"{where}: last_updated_time is {one.updated}, now is {int(now)}")
        expect(one.timeout >= 0, f"{where}: health_check_timeout_seconds is {one.timeout}")
        expect(len(one.message) <= _MESSAGE_MAX, f"{where}: message has {len(one.message)} characters")
