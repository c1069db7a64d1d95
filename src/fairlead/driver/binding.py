"""Binding conditions (KEP-5007): tells the scheduler when allocated devices are ready, before their pod is bound.

A device may be published with conditions that must be true in the claim's `status.devices` before kube-scheduler binds
the pod. Somebody has to write them; for a driver with `Driver.allocated` the kit does. It follows claims, and for each
that is allocated to this node with such devices of ours it asks the driver, writes what it says, and asks again until
all conditions are true, one has failed, or the claim is given back.

Load: the API server cannot select claims by driver or node, so a watch brings the changes of all claims. Nothing is
asked of it as long as no device of ours has binding conditions; then there is one list, in pages, and one watch. What
does not name driver and node is dropped before it is decoded, and a write is made only where a condition changes.

The conditions have a field manager of their own, so that what is written about a prepared device does not take them
away: a second pod of the same claim needs them again. The driver's account needs list and watch on resourceclaims
besides what the kit needs anyway.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fairlead.driver.api import RESOURCE, Api, ApiError, apply_device_status
from fairlead.driver.author import Pool, PrepareError, Readiness
from fairlead.driver.steps import Log
from fairlead.resource import Condition, DeviceRequestAllocationResult, ResourceClaim, decode_hook

_FIRST_DELAY, _LAST_DELAY = 0.5, 60.0
"""Seconds between tries after failures of the API server."""
_ASK_FIRST, _ASK_LAST = 1.0, 15.0
"""Seconds between two questions to the driver about the same claim."""
_LOOK: Final = 5.0
"""Seconds between two looks whether any device has binding conditions now."""
_WATCH: Final = 600
_PAGE: Final = 500
_MESSAGE_MAX: Final = 1024
_HOPELESS: Final = (404, 409, 422)
"""Answers to a status: the claim has gone, or is another one, or is not allocated any more."""
Ask = Callable[[ResourceClaim], Awaitable[Sequence[Readiness]]]
"""Asks the driver, in its thread; PrepareError where it cannot be told."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw]


class _Meta(msgspec.Struct):
    uid: str = ""


class _Named(msgspec.Struct):
    metadata: _Meta


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_page: Final = msgspec.json.Decoder(_Page)
_event: Final = msgspec.json.Decoder(_Event)
_named: Final = msgspec.json.Decoder(_Named)
_claim: Final = msgspec.json.Decoder(ResourceClaim, dec_hook=decode_hook)


class Binder:
    """Writes the binding conditions of one driver's devices on one node."""

    def __init__(
        self, api: Api, driver: str, node: str, pools: Callable[[], Sequence[Pool] | None], ask: Ask, log: Log
    ) -> None:
        """Asks nothing yet.

        Args:
            api: the way to the API server.
            driver: its name.
            node: the node's name; empty for all nodes, where the pools are those that many nodes reach.
            pools: what is published now; None as long as that is not known.
            ask: asks the driver about a claim.
            log: is told what was written, and what went wrong.
        """
        self._api = api
        self._driver: Final = driver
        self._node: Final = node
        self._marks: Final = [f'"{one}"'.encode() for one in (driver, node) if one]
        self._pools = pools
        self._ask = ask
        self._log = log
        self._open: dict[str, ResourceClaim] = {}
        """Claims that wait for a condition of ours, as they were seen last, by UID."""
        self._tasks: Final[dict[str, asyncio.Task[None]]] = {}
        self._hurried = asyncio.Event()
        self._failures = 0
        self._told: Final[dict[str, str]] = {}
        """What was told last of a claim that waits: why its conditions are not known, or not written."""
        self._random: Final = random.Random()

    def hurry(self) -> None:
        """Has the driver asked about all claims now: it knows more than before."""
        hurried, self._hurried = self._hurried, asyncio.Event()
        hurried.set()

    async def run(self) -> None:
        """Follows claims until it is cancelled."""
        try:
            while True:
                if not any(device.binding_conditions for pool in self._pools() or () for device in pool.devices):
                    await asyncio.sleep(_LOOK)
                    continue
                try:
                    await self._follow()
                    self._failures = 0
                except (ApiError, msgspec.MsgspecError) as error:
                    self._failures += 1
                    self._log("claims cannot be followed", problem=_explained(error, self._driver))
                delay = min(_FIRST_DELAY * 2 ** min(self._failures, 10), _LAST_DELAY)
                await asyncio.sleep(delay * self._random.uniform(0.5, 1.5))
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _follow(self) -> None:
        """One list and one watch, until the server ends it."""
        path, query = f"{RESOURCE}/resourceclaims", {"limit": str(_PAGE)}
        found: dict[str, ResourceClaim] = {}
        while True:
            page = _page.decode(await self._api.request("GET", path, query))
            for raw in page.items:
                if (claim := self._waits(raw)) is not None:
                    found[claim.metadata.uid] = claim
            if not page.metadata.next:
                break
            query |= {"continue": page.metadata.next}
        if self._failures:
            self._log("claims are followed again")
        self._open = {}
        for claim in found.values():
            self._take(claim)
        query = {"watch": "true", "timeoutSeconds": str(_WATCH), "resourceVersion": page.metadata.resource_version}
        async for line in self._api.stream(path, query):
            if b'"ERROR"' in line[:32]:
                return  # that version is forgotten
            if not (self._open or self._concerns(line)):
                continue
            event = _event.decode(line)
            seen = self._waits(event.object) if event.type in ("ADDED", "MODIFIED") else None
            if seen is not None:
                self._take(seen)
            elif self._open:
                self._open.pop(_named.decode(event.object).metadata.uid, None)

    def _concerns(self, raw: bytes) -> bool:
        return all(mark in raw for mark in self._marks)

    def _waits(self, raw: msgspec.Raw) -> ResourceClaim | None:
        """A claim that waits for a condition of ours; None for any other."""
        if not self._concerns(bytes(raw)):
            return None
        claim = _claim.decode(raw)
        return claim if claim.metadata.deletion_timestamp is None and waiting(claim, self._driver, self._node) else None

    def _take(self, claim: ResourceClaim) -> None:
        uid = claim.metadata.uid
        self._open[uid] = claim
        if uid not in self._tasks:
            task = self._tasks[uid] = asyncio.create_task(self._settle(uid))
            task.add_done_callback(lambda _: (self._tasks.pop(uid, None), self._told.pop(uid, None)))

    async def _settle(self, uid: str) -> None:
        """Asks about a claim again and again; the watch says when nothing is to be waited for."""
        delay = 0.0
        while (claim := self._open.get(uid)) is not None:
            hurried = self._hurried  # of before the question: what is learned meanwhile is asked for
            try:
                await self._tell(claim)
            except ApiError as error:
                self._once("binding conditions not written", claim, _explained(error, self._driver))
                if error.status in _HOPELESS:
                    self._open.pop(uid, None)
                    return
            delay = min(max(delay * 2, _ASK_FIRST), _ASK_LAST)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await hurried.wait()

    async def _tell(self, claim: ResourceClaim) -> None:
        """Asks the driver once, and writes what has changed."""
        results = waiting(claim, self._driver, self._node)
        try:
            said = {(one.device.pool, one.device.name, one.device.share_id): one for one in await self._ask(claim)}
        except PrepareError as error:
            self._once("not known whether devices are ready", claim, str(error))
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        devices = []
        news = False
        for result in results:
            readiness = said.get((result.pool, result.device, result.share_id))
            if readiness is None:
                continue
            before = {one.type: one for one in _conditions(claim, result)}
            conditions = conditions_of(result, readiness, before, now)
            news = news or any(before.get(one.type) != one for one in conditions)
            devices.append(_entry(result, conditions))
        if news:
            name, namespace, uid = claim.metadata.name, claim.namespace, claim.metadata.uid
            await apply_device_status(self._api, self._driver, namespace, name, uid, devices, manager=self.manager)
            told = {one.device.name: one.message for one in said.values()}
            self._log("binding conditions", claim=claim.key, ready=all(one.ready for one in said.values()), said=told)

    def _once(self, event: str, claim: ResourceClaim, problem: str) -> None:
        """Tells of trouble with a claim, but not the same at every try."""
        if self._told.get(claim.metadata.uid) != problem:
            self._told[claim.metadata.uid] = problem
            self._log(event, claim=claim.key, problem=problem)

    @property
    def manager(self) -> str:
        """The field manager of the conditions."""
        return f"{self._driver}/binding"


def waiting(claim: ResourceClaim, driver: str, node: str) -> list[DeviceRequestAllocationResult]:
    """The devices of a claim of this driver and node (empty: any) that have binding conditions, as long as not all
    conditions of the claim's devices of the driver are true and none has failed; else none. All of them are told
    together: what one field manager applies replaces what it applied before.
    """
    if claim.status.allocation is None or not _is_on(claim, node):
        return []
    results = [
        one
        for one in claim.status.allocation.devices.results
        if one.driver == driver and (one.binding_conditions or one.binding_failure_conditions)
    ]
    missing = False
    for one in results:
        true = {condition.type for condition in _conditions(claim, one) if condition.status == "True"}
        if true & set(one.binding_failure_conditions):
            return []
        missing = missing or bool(set(one.binding_conditions) - true)
    return results if missing else []


def conditions_of(
    result: DeviceRequestAllocationResult, said: Readiness, before: Mapping[str, Condition], now: str
) -> list[Condition]:
    """The conditions of one device: all of its binding conditions alike, and the failure conditions where it failed.

    Args:
        result: the device as it was allocated.
        said: by the driver.
        before: its conditions as they are, by type; where the status stays, so does its time.
        now: as RFC 3339 has it.
    """
    wanted = [(one, said.ready and not said.failed, "Ready", "NotReady") for one in result.binding_conditions]
    if said.failed or any(one in before for one in result.binding_failure_conditions):
        wanted += [(one, said.failed, "Failed", "NotFailed") for one in result.binding_failure_conditions]
    made = []
    for name, true, yes, no in wanted:
        status, old = "True" if true else "False", before.get(name)
        since = old.last_transition_time if old is not None and old.status == status else now
        made.append(
            Condition(
                type=name,
                status=status,
                last_transition_time=since,
                reason=yes if true else no,
                message=said.message[:_MESSAGE_MAX],
            )
        )
    return made


def _conditions(claim: ResourceClaim, result: DeviceRequestAllocationResult) -> list[Condition]:
    key = (result.driver, result.pool, result.device, result.share_id or "")
    for one in claim.status.devices:
        if (one.driver, one.pool, one.device, one.share_id or "") == key:
            return one.conditions
    return []


def _entry(result: DeviceRequestAllocationResult, conditions: Sequence[Condition]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "driver": result.driver,
        "pool": result.pool,
        "device": result.device,
        "conditions": [
            {
                "type": one.type,
                "status": one.status,
                "lastTransitionTime": one.last_transition_time,
                "reason": one.reason,
                "message": one.message,
            }
            for one in conditions
        ],
    }
    return entry | ({"shareID": result.share_id} if result.share_id else {})


def _is_on(claim: ResourceClaim, node: str) -> bool:
    """Whether the allocation is bound to the node, or to any where it is empty."""
    bound = node_of(claim)
    return bound == node if node else bound != ""


def node_of(claim: ResourceClaim) -> str:
    """The node that the allocation is bound to, in the form that schedulers give devices of one node; else empty."""
    selector = claim.status.allocation.node_selector if claim.status.allocation else None
    if selector is None:
        return ""
    fields = [field for term in selector.node_selector_terms for field in term.match_fields]
    return next((one.values[0] for one in fields if one.key == "metadata.name" and len(one.values) == 1), "")


def _explained(error: Exception, driver: str) -> str:
    if isinstance(error, ApiError) and error.status == 403:
        return (
            f"{error}; for binding conditions the driver's ServiceAccount needs list and watch on resourceclaims, "
            f"patch on resourceclaims/status, associated-node:patch (arbitrary-node:patch with --shared-pools) on "
            f"resourceclaims/driver for {driver}"
        )
    return str(error)
