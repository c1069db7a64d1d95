"""How kubelet finds the driver, and finds it again."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from fairlead.conformance.check import check, expect
from fairlead.conformance.kubelet import HEALTH, PREPARING, CallError, ask, notify
from fairlead.conformance.lab import Lab
from fairlead.driver.slices import driver_name_faults

_PATH_MAX = 107


@check(
    "registration-info",
    "The registration socket says what kubelet needs",
    expected="GetInfo answers type DRAPlugin, a valid driver name, and at least one of "
    "v1.DRAPlugin and v1beta1.DRAPlugin.",
    source="kubelet plugin registration v1; names of drivers: ResourceSlice spec.driver",
    why="Kubelet refuses the plugin and no pod of the node gets devices. aojea/pydra registered `v1beta1`, which is no "
    "version that kubelet knows, and `nvidia.com/gpu`, which is no name of a driver.",
)
async def info(lab: Lab) -> str:
    found = lab.driver.info
    expect(found.kind == "DRAPlugin", f"type is {found.kind!r}")
    faults = driver_name_faults(found.name)
    expect(not faults, f"name {found.name!r}: {faults}")
    known = [one for one in found.versions if one in PREPARING]
    expect(known, f"supported_versions {list(found.versions)} has none of {', '.join(PREPARING)}")
    return f"{found.name}: {', '.join(found.versions)}"


@check(
    "registration-endpoint",
    "The service socket is where drivers' sockets are",
    expected="endpoint is the absolute path of a socket in the plugins folder, of at most 107 bytes.",
    source="kubeletplugin of k8s.io/dynamic-resource-allocation; unix(7)",
    why="Only the plugins folder is the same path in the driver's pod and on the host. A longer path cannot be bound.",
)
async def endpoint(lab: Lab) -> str:
    path = Path(lab.driver.info.endpoint)
    expect(path.is_absolute(), f"endpoint {str(path)!r} is no absolute path")
    expect(path.exists() and stat.S_ISSOCK(path.stat().st_mode), f"endpoint {path} is no socket")
    expect(len(str(path).encode()) <= _PATH_MAX, f"endpoint {path} has more than {_PATH_MAX} bytes")
    if lab.options.command or lab.options.plugins is not None:
        expect(path.resolve().is_relative_to(lab.plugins.resolve()), f"endpoint {path} is not in {lab.plugins}")
    return str(path)


@check(
    "registration-services",
    "Every service that is announced is served",
    expected="Prepare and unprepare without claims succeed under each announced version.",
    source="kubelet takes the newest version that it knows",
    why="A version that is announced and not served makes every prepare fail with UNIMPLEMENTED after an upgrade of "
    "kubelet.",
)
async def services(lab: Lab) -> str:
    known = [one for one in lab.driver.info.versions if one in PREPARING]
    for version in known:
        for name, call in (
            ("NodePrepareResources", lab.driver.prepare),
            ("NodeUnprepareResources", lab.driver.unprepare),
        ):
            try:
                await call([], version, 10)
            except CallError as error:
                expect(False, f"{version}/{name}: {error}")
    unknown = [one for one in lab.driver.info.versions if one not in (*PREPARING, *HEALTH)]
    return ", ".join(known) + (f"; unknown to kubelet: {', '.join(unknown)}" if unknown else "")


@check(
    "registration-again",
    "A restarted kubelet finds the driver again",
    expected="GetInfo and NotifyRegistrationStatus can be called again and again, also after kubelet refused, and "
    "preparing goes on.",
    source="kubelet's plugin manager scans the registry whenever it starts, and retries what failed",
    why="Kubelet restarts without telling drivers. A driver that ends after a refusal, or that registers once, is lost "
    "until somebody restarts it.",
)
async def again(lab: Lab) -> str:
    before = lab.driver.info
    claim = lab.claims.make()
    await lab.prepared(claim)
    with suppress(CallError):  # what it says to a refusal is nobody's concern
        await notify(before.socket, "conformance: refused for once")
    for _ in range(3):
        found = await ask(before.socket)
        expect(found == before, f"GetInfo says {found} where it said {before}")
        await notify(before.socket)
    await lab.done(claim)
    await lab.prepared(lab.claims.make())
    return "registered 3 times more, and refused once between"
