"""The driver ends, in all the ways in which processes and machines do, and comes back."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import suppress
from pathlib import Path

from fairlead.conformance.answers import describe
from fairlead.conformance.check import check, expect
from fairlead.conformance.claims import Made
from fairlead.conformance.kubelet import Answer, CallError, ask, sockets
from fairlead.conformance.lab import Lab
from fairlead.conformance.launcher import can_reboot
from fairlead.conformance.outcomes import Failure, Skip

_ROUNDS = 3


@check(
    "restart-told",
    "Prepared claims outlive a driver that is told to stop",
    expected="After SIGTERM the driver ends by itself and its registration socket is gone, the claim's CDI devices "
    "stay, and after a start it is prepared as before and can be unprepared.",
    source="drivers are updated under running pods; kubelet unregisters what has no socket",
    why="Containers that are restarted meanwhile need their CDI devices; a socket that stays makes kubelet call nobody "
    "(kubernetes#128696).",
    restarts=True,
    after=("prepare-repeat", "cdi-exists"),
)
async def told(lab: Lab) -> str:
    claim = lab.claims.make()
    before = await lab.prepared(claim)
    ended = await lab.stop()
    expect(ended, f"does not end within {lab.options.patience:g} s of SIGTERM")
    left = [path.name for path in sockets(lab.registry)]
    expect(not left, f"registration sockets are left: {', '.join(left)}")
    expect(not lab.missing(before), f"CDI devices are gone: {', '.join(lab.missing(before))}")
    await lab.start()
    expect(not lab.missing(before), f"CDI devices are gone after the start: {', '.join(lab.missing(before))}")
    await _as_before(lab, claim, before)
    return "prepared as before"


@check(
    "restart-killed",
    "A driver that was killed comes back",
    expected="After SIGKILL it starts, listens where stale sockets lie, and every socket in the registry answers.",
    source="the kernel removes no sockets",
    why="The bind fails with `address already in use`, and the driver crashes in a loop (kubernetes#128696, #132660).",
    restarts=True,
    after=("prepare-repeat", "cdi-exists"),
)
async def killed(lab: Lab) -> str:
    claim = lab.claims.make()
    before = await lab.prepared(claim)
    await lab.kill()
    await lab.start()
    for path in sockets(lab.registry):
        try:
            await ask(path, 5)
        except CallError as error:
            raise Failure(f"{path.name} is left and answers nobody: {error}") from None
    await _as_before(lab, claim, before)
    return "prepared as before"


@check(
    "restart-killed-preparing",
    "Killed in the middle of a prepare, the driver puts it right",
    expected=f"After SIGKILL in a prepare, {_ROUNDS} times at other moments, it starts, prepares the claims, "
    "unprepares them, and leaves no CDI file of them.",
    source="crashes and power cuts",
    why="A checkpoint that is half written is refused at the next start, which then never succeeds (nvidia-gpu#1080, "
    "#1100: endless CrashLoop); what was begun and not written down is never undone.",
    restarts=True,
    after=("restart-killed", "unprepare-cleans", "cdi-restored"),
)
async def killed_preparing(lab: Lab) -> str:
    moments = ("a CDI file appeared", "its folder changed", "the claim was read")
    for moment in moments[:_ROUNDS]:
        before = {one.path for one in lab.specs()}
        claims = lab.several(4)
        call = asyncio.create_task(_ignored(lab, claims))
        await _moment(lab, moment, call)
        assert lab.process is not None
        lab.process.kill()
        await call
        await lab.kill()
        try:
            await lab.start()
        except Failure as failed:
            raise Failure(f"killed when {moment}: {failed}") from None
        for claim in claims:
            answer = (await lab.prepare(claim)).get(claim.ref.uid)
            said = describe(answer) if answer is not None else "no entry"
            expect(answer is not None and not answer.error, f"killed when {moment}: {said}")
            assert answer is not None
            expect(not lab.missing(answer), f"killed when {moment}: in no file: {', '.join(lab.missing(answer))}")
        for claim in claims:
            await lab.done(claim)
        uids = [one.ref.uid for one in claims]
        left = [one.path.name for one in lab.specs() if one.path not in before and _about(one.path, uids)]
        expect(not left, f"killed when {moment}: left after unpreparing: {', '.join(left)}")
    return "; ".join(moments[:_ROUNDS])


@check(
    "reboot",
    "After a reboot claims are prepared anew",
    expected="With the driver killed and the CDI folder empty, preparing after the start brings the CDI devices back.",
    source="/var/run is empty after a reboot, /var/lib is not",
    why="Kubelet prepares the pods of the node again; a checkpoint that answers for it leaves containers without "
    "devices (nvidia-gpu#951, kubernetes#141433).",
    restarts=True,
    after=("restart-killed", "cdi-exists"),
)
async def reboot(lab: Lab) -> str:
    claim = lab.claims.make()
    before = await lab.prepared(claim)
    if not any(device.cdi_ids for device in before.devices):
        raise Skip("the driver uses no CDI")
    await lab.kill()
    for path in lab.cdi.iterdir():
        path.unlink()
    boot_id = lab.options.root / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    lab.boot_id = boot_id if can_reboot(boot_id) else None
    try:
        await lab.start()
        answer = await lab.prepared(claim)
        expect(not lab.missing(answer), f"in no file: {', '.join(lab.missing(answer))}")
        await lab.unprepared(claim)
    finally:
        how = "another boot id" if lab.boot_id else "the same boot id, for only root can change it"
        lab.boot_id = None
    return f"CDI devices are back, with {how}"


async def _as_before(lab: Lab, claim: Made, before: Answer) -> None:
    answer = await lab.prepared(claim)
    expect(set(answer.devices) == set(before.devices), f"was {describe(before)}, is {describe(answer)}")
    expect(not lab.missing(answer), f"in no file: {', '.join(lab.missing(answer))}")
    await lab.unprepared(claim)


async def _ignored(lab: Lab, claims: list[Made]) -> None:
    with suppress(CallError):
        await lab.prepare(*claims)


async def _moment(lab: Lab, moment: str, call: asyncio.Task[None]) -> None:
    """Waits for the moment at which to kill, or for the end of the call."""
    start = {"cdi": _state(lab.cdi), "plugins": _state(lab.plugins)}
    seen = len(lab.api.calls)
    while not call.done():
        if moment.startswith("a CDI") and _state(lab.cdi) != start["cdi"]:
            return
        if moment.startswith("its folder") and _state(lab.plugins) != start["plugins"]:
            return
        read = (one for one in lab.api.calls[seen:] if one.resource == "resourceclaims" and one.name)
        if moment.startswith("the claim") and any(read):
            return
        await asyncio.sleep(0.001)


def _state(folder: Path) -> list[tuple[str, int]]:
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found.append((f"{place}/{name}", os.stat(f"{place}/{name}").st_mtime_ns))
    return sorted(found)


def _about(path: Path, uids: list[str]) -> bool:
    try:
        text = path.name + path.read_text()
    except OSError:
        return False
    return any(uid in text for uid in uids)
