"""A new instance of the driver starts before the old one ends, where the driver can do that."""

from __future__ import annotations

import asyncio
import uuid

from fairlead.conformance.answers import describe
from fairlead.conformance.apiserver import SLICES
from fairlead.conformance.check import check, expect
from fairlead.conformance.kubelet import CallError, Plugin, ask, notify, sockets
from fairlead.conformance.lab import Lab
from fairlead.conformance.launcher import POD_UID, DriverProcess
from fairlead.conformance.outcomes import Failure, Skip


@check(
    "rolling-update",
    "A new instance takes over without a gap",
    expected="With two instances under other pod UIDs, a claim that the old one prepared is answered for by the new "
    "one; when the old one ends, the new one's sockets, and all slices, stay.",
    source="kubeletplugin of k8s.io/dynamic-resource-allocation: RollingUpdate",
    why="An old instance that removes sockets or slices on its way out takes those of the new one "
    "(dra-example-driver#107: seamless upgrade is hard to get right).",
    restarts=True,
)
async def rolling(lab: Lab) -> str:
    if not lab.rolls:
        raise Skip(f"the command has no {POD_UID}")
    await lab.stop()
    await lab.start(str(uuid.uuid4()))
    old = {path.name for path in sockets(lab.registry)}
    claim = lab.claims.make()
    before = await lab.prepared(claim)
    version = lab.store.version
    assert lab.process is not None
    first, lab.process = lab.process, lab.launch(str(uuid.uuid4()))
    plugin = await _second(lab, old, first)
    await lab.driver.close()
    lab.plugin = plugin
    try:
        answer = await lab.prepared(claim)
        expect(set(answer.devices) == set(before.devices), f"was {describe(before)}, is {describe(answer)}")
    finally:
        ended = await first.stop(lab.options.patience)
    expect(ended, f"the old instance does not end within {lab.options.patience:g} s of SIGTERM")
    for path in sockets(lab.registry):
        try:
            await ask(path, 5)
        except CallError as error:
            raise Failure(f"{path.name} is left and answers nobody: {error}") from None
    expect(sockets(lab.registry), "no registration socket is left: the old instance removed the new one's")
    await lab.unprepared(claim)
    gone = [one.item["metadata"]["name"] for one in lab.store.changes(SLICES, version) if one.verb == "DELETED"]
    expect(not gone and lab.as_before(), f"slices were deleted: {', '.join(gone)}")
    return "the new instance answered for the claim of the old one"


async def _second(lab: Lab, old: set[str], first: DriverProcess) -> Plugin:
    """The new instance, once it registers beside the old one."""
    new = lab.process
    assert new is not None

    def others() -> bool:
        return not new.running or any(path.name not in old for path in sockets(lab.registry))

    there = await lab.until(others)
    if not new.running or not there:
        lab.process = first
        raise Failure(f"the second instance does not start beside the first: {lab.last_words()}")
    for path in sockets(lab.registry):
        if path.name not in old:
            for attempt in range(50):
                try:
                    info = await ask(path, 2)
                    await notify(path)
                    return Plugin(info)
                except CallError as error:
                    if attempt == 49:
                        raise Failure(f"{path.name}: {error}") from None
                    await asyncio.sleep(0.1)
    raise Failure("the second instance has no registration socket of its own")
