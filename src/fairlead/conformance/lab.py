"""The bench that a driver lies on: a node's folders, the API server and the kubelet that are not there, and the driver.

Checks use it one after another. Between two of them `tidy` takes back what the last one left: claims, faults, and a
driver that does not run any more is started again.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fairlead.conformance.answers import cdi_ids, describe
from fairlead.conformance.apiserver import CLAIMS, NODES, SLICES, ApiServer, Call, Fault, Json, Store
from fairlead.conformance.binding import unbound
from fairlead.conformance.cdi import Spec, find, read_folder
from fairlead.conformance.claims import NAMESPACE, ClaimMaker, Made, NoDeviceError, decoded_slices
from fairlead.conformance.kubelet import Answer, CallError, ClaimRef, Plugin, ask, notify, sockets
from fairlead.conformance.launcher import POD_UID, DriverProcess
from fairlead.conformance.options import Options
from fairlead.conformance.outcomes import Failure, Skip
from fairlead.conformance.world import add_namesake, furnish, write_kubeconfig
from fairlead.resource import ResourceSlice, validate_pools

_TICK: Final = 0.02
_WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")
_TAKEN_BACK: Final = 0.5
"""Seconds after which a device that was given back has a taint, if it gets one."""


@dataclass
class Lab:
    """Everything that checks use."""

    options: Options
    store: Store
    api: ApiServer
    plugin: Plugin | None = None
    process: DriverProcess | None = None
    beside: list[DriverProcess] = field(default_factory=list)
    baseline: frozenset[tuple[str, str]] = frozenset()
    """The devices that were published first: pool and name."""
    kept_away: frozenset[tuple[str, str]] = frozenset()
    """Those of them that taints kept claims away from."""
    pod_uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    """Of the driver's pod: a container that is started anew stays in its pod."""
    started_whole: bool = False
    """Whether the pools were complete and valid in the beginning."""
    boot_id: Path | None = None
    """What new processes of the driver see as the machine's boot id, where that is not the real one."""
    _common: frozenset[str] | None = None
    _binds: bool = True
    """Whether binding conditions came true so far; where they do not, they are not waited for again and again."""
    _live: dict[str, ClaimRef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        options = self.options
        self.plugins = options.plugins or options.root / "plugins"
        self.registry = options.registry or options.root / "plugins_registry"
        self.cdi = options.cdi or options.root / "cdi"
        self.kubeconfig = options.root / "kubeconfig"
        self.log = options.root / "driver.log"
        self.claims = ClaimMaker(self.store, options.node)

    # The world around the driver.

    def furnish(self) -> None:
        """Makes the folders, the node, and objects of others that must stay as they are."""
        for folder in (self.plugins, self.registry, self.cdi):
            folder.mkdir(parents=True, exist_ok=True)
        write_kubeconfig(self.kubeconfig, self.api.address)
        furnish(self.store, self.options.node)

    def add_namesake(self) -> None:
        """A slice of the driver's instance on another node."""
        add_namesake(self.store, self.name)

    @property
    def name(self) -> str:
        """The driver's name."""
        return self.plugin.info.name if self.plugin is not None else self.claims.driver

    @property
    def driver(self) -> Plugin:
        """The driver's socket.

        Raises:
            Skip: no driver is registered.
        """
        if self.plugin is None:
            raise Skip("no driver is registered")
        return self.plugin

    def slices(self) -> list[ResourceSlice]:
        """The driver's slices for this node."""
        return self.claims.slices()

    def devices(self) -> frozenset[tuple[str, str]]:
        """Pool and name of what consumers see: the newest generation of each pool."""
        newest: dict[str, int] = {}
        for one in self.slices():
            newest[one.spec.pool.name] = max(one.spec.pool.generation, newest.get(one.spec.pool.name, 0))
        return frozenset(
            (one.spec.pool.name, device.name)
            for one in self.slices()
            if one.spec.pool.generation == newest[one.spec.pool.name]
            for device in one.spec.devices
        )

    def tainted(self) -> frozenset[tuple[str, str]]:
        """The devices that taints keep claims away from."""
        return frozenset(
            (one.spec.pool.name, device.name)
            for one in self.slices()
            for device in one.spec.devices
            if any(taint.effect != "None" for taint in device.taints)
        )

    def whole(self) -> bool:
        """Whether something is published, and all pools are complete and valid."""
        slices = self.slices()
        return bool(slices) and not validate_pools(slices)

    def as_before(self) -> bool:
        """Whether exactly the devices of the beginning are published."""
        return self.whole() and self.devices() == self.baseline

    def node_uid(self) -> str:
        """UID of the node."""
        uid: str = self.store.get(NODES, "", self.options.node)["metadata"]["uid"]
        return uid

    def others(self) -> list[ResourceSlice]:
        """Slices that are not the driver's to touch."""
        return [one for one in decoded_slices(self.store) if one.name in ("others", "namesake")]

    def writes(self, since: float = 0.0) -> list[Call]:
        """Writes to slices that the driver asked for since a time."""
        return [
            one for one in self.api.calls if one.at >= since and one.resource == SLICES.plural and one.method in _WRITES
        ]

    def fault(self, match: Callable[[Call], bool], status: int = 500, times: int = -1, **more: Any) -> Fault:
        """Has requests fail from now on."""
        fault = Fault(match, status, times, **more)
        self.api.faults.append(fault)
        return fault

    def claim(self, claim: Made) -> Json:
        """A claim as the API server has it now."""
        return self.store.get(CLAIMS, claim.ref.namespace, claim.ref.name)

    def specs(self) -> list[Spec]:
        """The CDI files as they are now."""
        return read_folder(self.cdi)

    def missing(self, answer: Answer) -> list[str]:
        """CDI devices of an answer that no file has."""
        specs = self.specs()
        return [one for one in cdi_ids(answer) if find(specs, one) is None]

    async def until(self, true: Callable[[], Any], seconds: float | None = None) -> bool:
        """Waits until something is so; whether it was, in time."""
        end = time.monotonic() + (self.options.patience if seconds is None else seconds)
        while not true():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_TICK)
        return True

    # The driver.

    async def start(self, pod_uid: str = "") -> None:
        """Starts the driver and registers it.

        Raises:
            Failure: it ends, or does not register.
        """
        if self.options.command:
            self.process = self.launch(pod_uid)
        await self._register()

    def launch(self, pod_uid: str = "") -> DriverProcess:
        """A process of the driver, not registered."""
        return self._process(self.options.command, self.log, pod_uid)

    def launch_beside(self) -> None:
        """Starts what runs beside the driver.

        Raises:
            Failure: a program cannot be started.
        """
        for number, command in enumerate(self.options.beside):
            self.beside.append(self._process(command, self.options.root / f"beside-{number}.log"))

    def _process(self, command: tuple[str, ...], log: Path, pod_uid: str = "") -> DriverProcess:
        values = {
            "plugins": str(self.plugins),
            "registry": str(self.registry),
            "cdi": str(self.cdi),
            "kubeconfig": str(self.kubeconfig),
            "node": self.options.node,
            "dir": str(self.options.root),
            "pod_uid": pod_uid or self.pod_uid,
        }
        try:
            return DriverProcess(command, values, log, self.boot_id)
        except OSError as error:
            raise Failure(f"{command[0]}: {error.strerror}") from None

    @property
    def rolls(self) -> bool:
        """Whether the command can be started twice."""
        return any(POD_UID in part for part in self.options.command)

    async def _register(self) -> None:
        await self._hang_up()
        end = time.monotonic() + self.options.patience
        said = f"no socket in {self.registry}"
        while time.monotonic() < end:
            if self.process is not None and not self.process.running:
                raise Failure(f"the driver ended with status {self.process.status}: {self.last_words()}")
            for path in sockets(self.registry):
                try:
                    info = await ask(path, 2)
                    await notify(path)
                except CallError as error:
                    said = f"{path.name}: {error}"
                    continue
                self.plugin = Plugin(info)
                self.claims.driver = info.name
                return
            await asyncio.sleep(_TICK)
        raise Failure(f"the driver is not registered after {self.options.patience:g} s: {said}")

    async def stop(self, seconds: float | None = None) -> bool:
        """Asks the driver to end, as the container runtime does; whether it did in time."""
        assert self.process is not None
        await self._hang_up()
        return await self.process.stop(self.options.patience if seconds is None else seconds)

    async def kill(self) -> None:
        """Ends the driver at once."""
        assert self.process is not None
        self.process.kill()
        await self._hang_up()

    async def end(self) -> None:
        """Ends everything."""
        await self._hang_up()
        for process in [*([self.process] if self.process is not None else []), *self.beside]:
            await process.stop(3)

    async def _hang_up(self) -> None:
        plugin, self.plugin = self.plugin, None
        if plugin is not None:
            await plugin.close()

    def last_words(self) -> str:
        """The end of what the driver printed."""
        if not self.log.exists():
            return "it printed nothing"
        return _end_of(self.log)

    def ended_beside(self) -> list[str]:
        """What ended although it runs beside the driver, with its last words."""
        return [
            f"{command[0]}, which runs beside the driver, ended with status {process.status}: "
            + _end_of(self.options.root / f"beside-{number}.log")
            for number, (command, process) in enumerate(zip(self.options.beside, self.beside, strict=False))
            if not process.running
        ]

    # Claims.

    async def prepare(self, *claims: ClaimRef | Made, version: str = "", seconds: float = 45.0) -> dict[str, Answer]:
        """Has claims prepared, and remembers to have them unprepared.

        Raises:
            Failure: the pod of a claim would not come to the node.
        """
        for one in claims:
            if isinstance(one, Made):
                await self._bound(one)
        refs = {one.uid: one for one in (one.ref if isinstance(one, Made) else one for one in claims)}
        held = self._live.keys() & refs.keys()
        self._live.update(refs)
        answers = await self.driver.prepare(list(refs.values()), version, seconds)
        for uid, answer in answers.items():
            if answer.error and uid not in held:
                self._live.pop(uid, None)
        return answers

    async def prepared(self, claim: ClaimRef | Made, version: str = "") -> Answer:
        """Has one claim prepared.

        Raises:
            Failure: it is not.
        """
        ref = claim.ref if isinstance(claim, Made) else claim
        answer = (await self.prepare(claim, version=version)).get(ref.uid)
        if answer is None:
            raise Failure(f"NodePrepareResources: the answer has no entry for claim {ref.uid}")
        if answer.error:
            raise Failure(f"NodePrepareResources: {ref.namespace}/{ref.name}: {answer.error}")
        return answer

    async def _bound(self, claim: Made) -> None:
        """Waits for the binding conditions of a claim's devices: before them kube-scheduler sends no pod to the node.
        Where a device has failed, nothing is waited for: the pod could have come before.
        """
        seconds = self.options.patience if self._binds else self.options.settle
        if not await self.until(lambda: not self._unbound(claim), seconds):
            self._binds = False
            raise Failure(f"{claim.ref.name}: not true after {seconds:g} s: {self._unbound(claim)}")

    def _unbound(self, claim: Made) -> str:
        if not any(one.get("bindingConditions") for one in claim.results):
            return ""
        return unbound(self.claim(claim), self.name)

    async def refused(self, claim: ClaimRef | Made) -> str:
        """Has one claim prepared that must not be; what the driver said, of the claim or of the whole call.

        Raises:
            Failure: it was prepared.
        """
        ref = claim.ref if isinstance(claim, Made) else claim
        if isinstance(claim, Made):
            await self.until(lambda: not self._unbound(claim), self.options.settle)
        try:
            answer = (await self.prepare(ref)).get(ref.uid)
        except CallError as error:
            return f"the whole call failed with {error}"
        if answer is None:
            raise Failure("the answer has no entry for the claim: kubelet cannot tell the pod what is wrong")
        if not answer.error:
            raise Failure(f"was prepared: {describe(answer)}")
        return answer.error

    async def unprepared(self, claim: ClaimRef | Made, version: str = "") -> None:
        """Has one claim unprepared.

        Raises:
            Failure: it is not.
        """
        ref = claim.ref if isinstance(claim, Made) else claim
        error = (await self.driver.unprepare([ref], version)).get(ref.uid)
        if error is None:
            raise Failure(f"NodeUnprepareResources: the answer has no entry for claim {ref.uid}")
        if error:
            raise Failure(f"NodeUnprepareResources: {ref.namespace}/{ref.name}: {error}")
        self._live.pop(ref.uid, None)

    async def done(self, claim: Made, version: str = "") -> None:
        """Has a claim unprepared, and gives its devices back.

        Raises:
            Failure: it is not.
        """
        await self.unprepared(claim, version)
        self.claims.remove(claim.ref)

    async def own_ids(self, answer: Answer) -> set[str]:
        """The CDI devices of an answer without those that the driver gives to every claim, whatever its devices."""
        if self._common is None:
            common: set[str] = set()
            pair = self.several(2)
            if len(pair) == 2:
                answers = [await self.prepared(claim) for claim in pair]
                common = set(cdi_ids(answers[0])) & set(cdi_ids(answers[1]))
            for claim in pair:
                await self.done(claim)
            self._common = frozenset(common)
        return set(cdi_ids(answer)) - self._common

    def several(self, most: int) -> list[Made]:
        """As many claims of one device each as can be allocated at once, up to a number."""
        found = [self.claims.make()]
        with suppress(NoDeviceError):
            while len(found) < most:
                found.append(self.claims.make())
        return found

    async def tidy(self) -> bool:
        """Takes back what a check left; whether a driver is there."""
        for fault in self.api.faults:
            if fault.release is not None:
                fault.release.set()
        self.api.faults.clear()
        there = await self._revive()
        if there and self.baseline and self.started_whole and not await self.until(self.as_before, self.options.settle):
            await self._again()
            self.started_whole = self.as_before()  # what does not come back is not waited for again and again
        for ref in list(self._live.values()):
            if self.plugin is not None:
                try:
                    await self.unprepared(ref)
                except (CallError, Failure):
                    await self._wipe()
                    break
        conditions = "bindingConditions" in str(self.store.list(CLAIMS))
        for item in self._claims():
            self.claims.remove(item)
        self._live.clear()
        if there and conditions and self.started_whole:
            # What was made ready for a claim may have to be taken back before it is free again.
            await self.until(lambda: not self.tainted() <= self.kept_away, min(self.options.settle, _TAKEN_BACK))
            if not await self.until(lambda: self.tainted() <= self.kept_away):
                self.kept_away = self.tainted()
        return there and self.plugin is not None

    async def _revive(self) -> bool:
        if self.plugin is not None and (self.process is None or self.process.running):
            return True
        if not self.options.command:
            with suppress(Failure):
                await self._register()
            return self.plugin is not None
        for attempt in (self._again, self._wipe):
            with suppress(Failure):
                await attempt()
                return True
        return False

    async def _again(self) -> None:
        """Starts the driver anew; where it was started by somebody else, only waits for its slices."""
        if self.options.command:
            await self._start_anew()
        if self.baseline and self.started_whole:
            await self.until(self.as_before)

    async def _start_anew(self) -> None:
        if self.process is not None:
            await self._hang_up()
            await self.process.stop(3)
        await self.start()

    async def _wipe(self) -> None:
        """Starts the driver on a node that has nothing of it any more."""
        if not self.options.command:
            return
        if self.process is not None:
            await self._hang_up()
            self.process.kill()
        for folder in (self.plugins, self.registry, self.cdi):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        await self._again()

    def _claims(self) -> Sequence[ClaimRef]:
        return [ClaimRef(NAMESPACE, one["metadata"]["name"], one["metadata"]["uid"]) for one in self.store.list(CLAIMS)]


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it printed nothing"
