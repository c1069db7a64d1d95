"""What the driver publishes, and how it keeps that so."""

from __future__ import annotations

import copy
import time

from fairlead.conformance.apiserver import SLICES, Call, Json
from fairlead.conformance.check import check, expect
from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Skip
from fairlead.resource import ResourceSlice, validate_pools

_GONE = "gone-long-ago"
_QUIET_TRIES = 4
"""What the check before has caused may still be under way: a device that comes back to its pool."""
_CONTROLLER = "resourceslice controller of k8s.io/dynamic-resource-allocation"


@check(
    "slices-published",
    "Devices are published",
    expected="ResourceSlices of the driver's name for this node are there.",
    source="KEP-4381",
    why="Without them the scheduler sees no devices and pods stay pending.",
)
async def published(lab: Lab) -> str:
    slices = lab.slices()
    expect(slices, f"no ResourceSlice of {lab.name} after {lab.options.patience:g} s")
    pools = {one.spec.pool.name for one in slices}
    return f"{len(lab.devices())} devices in {len(slices)} slices of {len(pools)} pools"


@check(
    "slices-complete",
    "Every pool is complete and consistent",
    expected="In the newest generation of a pool there are resourceSliceCount slices, device names differ, and the "
    "counters that devices take from are there.",
    source="gathering of pools in k8s.io/dynamic-resource-allocation",
    why="From an incomplete or invalid pool nothing is allocated, though every slice of it is valid. aojea/pydra fixed "
    "the generation at 1 and the count at 1.",
)
async def complete(lab: Lab) -> str:
    slices = lab.slices()
    if not slices:
        raise Skip("nothing is published")
    problems = validate_pools(slices)
    expect(not problems, "; ".join(map(str, problems[:3])))
    return ", ".join(f"{pool} generation {number}" for pool, number in sorted(_generations(slices).items()))


@check(
    "slices-node",
    "Slices are about this node and go with it",
    expected="nodeName is this node, and an owner reference names the Node with its UID; slices that other nodes "
    "reach, too, need neither.",
    source="ResourceSlice spec.nodeName; " + _CONTROLLER,
    why="Without the owner the slices of a node that was deleted stay for ever, and pods are scheduled for devices "
    "that are gone.",
)
async def node(lab: Lab) -> str:
    slices = lab.slices()
    if not slices:
        raise Skip("nothing is published")
    local = [one for one in slices if one.spec.node_name is not None]
    for one in local:
        owners = [(owner.kind, owner.uid) for owner in one.metadata.owner_references]
        expect(("Node", lab.node_uid()) in owners, f"{one.name}: ownerReferences {owners} has no Node of this UID")
    return f"{len(local)} slices are local to the node" if local else "no slice is local to the node"


@check(
    "slices-quiet",
    "Nothing is written when nothing changes",
    expected="No write of a slice without a cause.",
    source="the load on the API server, times the nodes of a cluster",
    why="A driver that writes its slices on every look at the hardware makes every scheduler reconsider every pod.",
)
async def quiet(lab: Lab) -> str:
    if not lab.slices():
        raise Skip("nothing is published")
    for _ in range(_QUIET_TRIES):
        before = time.monotonic()
        await lab.until(lambda: False, lab.options.settle)
        if not (writes := lab.writes(before)):
            break
    expect(not writes, f"{len(writes)} writes in {lab.options.settle:g} s, and some before")
    return f"no write in {lab.options.settle:g} s"


@check(
    "slices-deletion-repaired",
    "A slice that somebody deleted is published again",
    expected="The same devices are published again, in a complete pool.",
    source=_CONTROLLER,
    why="Kubelet itself deletes the slices of a driver that it thinks gone, for example after its own restart; a "
    "driver that does not publish again has no devices from then on.",
    after=("slices-published", "slices-complete"),
)
async def deletion_repaired(lab: Lab) -> str:
    name = _with_devices(lab).name
    lab.store.delete(SLICES, "", name, {})
    ok = await lab.until(lab.as_before)
    expect(ok, f"the devices of {name} are not published after {lab.options.patience:g} s: {_state(lab)}")
    return f"{name} was published again"


@check(
    "slices-edit-repaired",
    "A slice that somebody edited is put right",
    expected="A device that was taken out of a slice by another writer is back, in a consistent pool.",
    source=_CONTROLLER + ": it watches its slices",
    why="The slice is the driver's. Drivers that publish once at their start leave the wrong devices there until they "
    "are restarted (power-dra-driver, aojea/pydra).",
    after=("slices-published", "slices-complete"),
)
async def edit_repaired(lab: Lab) -> str:
    return await _edited_comes_back(lab)


@check(
    "slices-watch-expired",
    "Changes are seen after a watch was ended with 410",
    expected="After all resource versions expired and watches ended, an edited slice is put right.",
    source="Kubernetes API concepts: 410 Gone asks for a new list",
    why="Watches end; a driver that goes on without one, or that ends itself, repairs nothing any more.",
    after=("slices-edit-repaired",),
)
async def watch_expired(lab: Lab) -> str:
    lab.store.expire()
    await lab.until(lambda: False, min(lab.options.settle, 0.3))
    return await _edited_comes_back(lab)


@check(
    "slices-conflict",
    "A write that lost a race is tried again",
    expected="After 409 for writes, an edited slice is put right.",
    source="Kubernetes API conventions: read again, and write again",
    why="Two writers meet sooner or later; a driver that gives up publishes something old.",
    after=("slices-edit-repaired",),
)
async def conflict(lab: Lab) -> str:
    fault = lab.fault(_writes_slice, 409, 2)
    edited = _take_device_out(lab)
    ok = await lab.until(lab.as_before)
    expect(ok, f"{edited} is not back {lab.options.patience:g} s after {fault.hits} answers with 409")
    return f"{edited} was back after {fault.hits} answers with 409"


@check(
    "slices-server-errors",
    "Publishing goes on after the API server failed",
    expected="Started while writes get 500, 500, 429 and 503, the driver publishes all of its devices in the end.",
    source="Kubernetes API conventions: 429 and 5xx are to be tried again, after Retry-After",
    why="Control planes are restarted under running nodes, and drivers start together after an outage "
    "(nvidia-gpu#904: no retry of a publish that failed).",
    restarts=True,
    after=("slices-published", "slices-complete"),
)
async def server_errors(lab: Lab) -> str:
    await lab.stop()
    _remove_slices(lab)
    faults = [lab.fault(_writes_slice, status, times) for status, times in ((500, 2), (503, 1))]
    faults.append(lab.fault(_writes_slice, 429, 1, retry_after=1))
    await lab.start()
    ok = await lab.until(lab.as_before)
    hits = sum(fault.hits for fault in faults)
    expect(ok, f"not published after {hits} failures and {lab.options.patience:g} s: {_state(lab)}")
    return f"published after {hits} failures"


@check(
    "slices-leftover",
    "What an earlier life of the driver published does not stay",
    expected="With a slice of the same pool in a higher generation from before, consumers see the devices of now.",
    source="ResourceSlice spec.pool.generation: the highest generation counts",
    why="A generation that starts from 1 again is ignored by every scheduler as long as one older slice with a higher "
    "one is there. aojea/pydra fixed it at 1.",
    restarts=True,
    after=("slices-published", "slices-complete"),
)
async def leftover(lab: Lab) -> str:
    slices = lab.slices()
    if not slices:
        raise Skip("nothing is published")
    await lab.stop()
    _remove_slices(lab)
    old: Json = {
        "metadata": {"name": "leftover", "ownerReferences": [_owner(lab)]},
        "spec": {
            "driver": lab.name,
            "nodeName": lab.options.node,
            "pool": {"name": slices[0].spec.pool.name, "generation": 77, "resourceSliceCount": 1},
            "devices": [{"name": _GONE}],
        },
    }
    lab.store.create(SLICES, "", old)
    try:
        await lab.start()
        ok = await lab.until(lab.as_before)
        expect(ok, f"consumers see {_state(lab)} after {lab.options.patience:g} s")
    finally:
        # It must not spoil what comes next. A driver may have made the slice of that name its own.
        for one in lab.slices():
            if any(device.name == _GONE for device in one.spec.devices):
                lab.store.delete(SLICES, "", one.name, {})
    return f"generation {max(_generations(lab.slices()).values())} without the device of before"


@check(
    "slices-kept",
    "Slices stay when the driver is told to stop",
    expected="After SIGTERM the slices are still there, and after the next start they are the same devices.",
    source="kubelet deletes the slices of a driver that does not come back",
    why="Drivers are updated. Without slices the scheduler takes allocated devices for gone, and workloads that wait "
    "are placed elsewhere (aojea/pydra deletes its slice on every shutdown).",
    restarts=True,
    after=("slices-published", "slices-complete"),
)
async def kept(lab: Lab) -> str:
    if not lab.as_before():
        raise Skip("nothing is published")
    version = lab.store.version
    ended = await lab.stop()
    gone = [one.item["metadata"]["name"] for one in lab.store.changes(SLICES, version) if one.verb == "DELETED"]
    expect(not gone, f"deleted at SIGTERM: {', '.join(gone)}")
    expect(lab.as_before(), f"after SIGTERM: {_state(lab)}")
    await lab.start()
    expect(await lab.until(lab.as_before), f"after the next start: {_state(lab)}")
    return "all stayed" if ended else f"all stayed; the driver did not end within {lab.options.patience:g} s"


def _writes_slice(call: Call) -> bool:
    return call.resource == SLICES.plural and call.method in ("POST", "PUT", "PATCH")


def _with_devices(lab: Lab) -> ResourceSlice:
    found = [one for one in lab.slices() if one.spec.devices]
    if not found or not lab.as_before():
        raise Skip("no devices are published")
    return found[0]


async def _edited_comes_back(lab: Lab) -> str:
    edited = _take_device_out(lab)
    expect(await lab.until(lab.as_before), f"{edited} is not back after {lab.options.patience:g} s")
    return f"{edited} was back"


def _take_device_out(lab: Lab) -> str:
    """Edits a slice as another writer would; the device that is missing from it."""
    name = _with_devices(lab).name
    item = copy.deepcopy(lab.store.get(SLICES, "", name))
    device = item["spec"]["devices"].pop()
    lab.store.update(SLICES, "", name, item, "")
    return f"device {device['name']}"


def _remove_slices(lab: Lab) -> None:
    for one in lab.slices():
        lab.store.delete(SLICES, "", one.name, {})


def _generations(slices: list[ResourceSlice]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in slices:
        found[one.spec.pool.name] = max(one.spec.pool.generation, found.get(one.spec.pool.name, 0))
    return found


def _owner(lab: Lab) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "name": lab.options.node, "uid": lab.node_uid(), "controller": True}


def _state(lab: Lab) -> str:
    problems = validate_pools(lab.slices())
    return f"{len(lab.devices())} of {len(lab.baseline)} devices" + (f", {problems[0]}" if problems else "")
