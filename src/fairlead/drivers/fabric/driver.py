"""The driver: keeps managers in line with claims in the process with `--shared-pools`, and prepares devices on nodes.

All that it knows of what is attached it has just read from the managers. What it keeps in memory only spares time:
which task of its own may have failed, and what was refused lately. A new process tries such a thing once more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import ClassVar, Final

from fairlead.driver import (
    Claim,
    ClaimDevice,
    Driver,
    Edits,
    Health,
    Held,
    Pool,
    PreparedDevice,
    PrepareError,
    Readiness,
)
from fairlead.driver.inventory import DiscoveryError
from fairlead.drivers.fabric import host
from fairlead.drivers.fabric.blocks import BlockBox
from fairlead.drivers.fabric.boxes import Box, Unit
from fairlead.drivers.fabric.connections import ConnectionBox
from fairlead.drivers.fabric.devices import pools, prefix_of, rule_of
from fairlead.drivers.fabric.options import Options, read_options
from fairlead.drivers.fabric.planning import Place, Plan, Step, Want, plan
from fairlead.drivers.fabric.readings import Readings
from fairlead.drivers.fabric.redfish import Json, Redfish, SushyRedfish
from fairlead.hardware import HardwareError, Machine, PciFunction, Problems, standard_attributes
from fairlead.resource import Device

_BOXES: Final = {"resource-blocks": BlockBox, "connections": ConnectionBox}
_SOON, _LATER, _REST = 1.0, 5.0, 60.0
"""Seconds until the next look: while something goes on, after trouble, else."""
_FINAL: Final = ("400", "403", "405", "422", "501")
"""Statuses after which trying the same again is useless."""
_BAD_FOR: Final = 300.0
"""Seconds for which a device that could not be attached is tainted, so that the scheduler tries others first."""
_AGAIN: Final = 30.0
"""Seconds before a detachment is tried again that the manager refused, or that its task did not do."""
_LOOK: Final = 0.2
_Key = tuple[str, str, Place]
"""Claim, its allocation, device."""


class FabricDriver(Driver):
    """Devices that composition managers attach to nodes."""

    known_from_slices = True
    poll: ClassVar[float] = 1.0

    def __init__(self, name: str, options: Options, machine: Machine) -> None:
        """Asks nothing yet.

        Args:
            name: of the driver; only rules for it count.
            options: the configuration.
            machine: the node, and the door to the managers.
        """
        self.name = name
        self._options: Final = options
        self._files: Final = machine.files
        self._managers: Final = {one.name: one for one in options.managers}
        door = machine.door(Redfish, lambda: SushyRedfish(options.managers))  # type: ignore[type-abstract]
        self._boxes: Final[dict[str, Box]] = {one.name: _BOXES[one.way](door, one) for one in options.managers}
        self._readings: Final = Readings(self._boxes, self._is_ours)
        self._pools: list[Pool] | None = None
        self._said: dict[tuple[str, Place], tuple[bool, str, bool]] = {}
        self._failed: dict[_Key, str] = {}
        self._tasks: dict[_Key, tuple[str, str]] = {}
        self._bad: dict[Place, tuple[float, str]] = {}
        self._stuck: dict[Place, tuple[float, str]] = {}
        """Devices that could not be attached or detached just now: when to try again, and why."""
        self._news: Final = Event()

    def discover(self) -> list[Pool]:
        """The pools as they were at the last `settle`; read now where that was never called. Those of a manager that
        has not answered yet are missing, see `keeps`.

        Raises:
            DiscoveryError: no manager has answered yet.
        """
        if self._pools is None:
            self._readings.read()
            found = self._published(None)
        else:
            found = self._pools
        if self._boxes and not self._readings.units:
            raise DiscoveryError("; ".join(self._readings.troubles()))
        return found

    def keeps(self, pool: str, devices: Sequence[Device]) -> bool:
        """Whether a pool is that of a manager of which not everything is known."""
        partial = self._readings.partial
        of = {value.string for one in devices if (value := one.attributes.get("manager")) is not None}
        return bool(of & partial) if of else any(pool.startswith(prefix_of(one)) for one in partial)

    def settle(self, held: Sequence[Held]) -> float:
        """Reads all managers, and takes the next steps."""
        self._readings.read()
        wants = self._wants(held)
        keys = {(one.uid, one.since, place) for place, all_ in wants.items() for one in all_}
        self._failed = {key: text for key, text in self._failed.items() if key in keys}
        self._hear_of_tasks(keys)
        open_ = {
            place: [one for one in all_ if (one.uid, one.since, place) not in self._failed] or all_
            for place, all_ in wants.items()
        }
        current = self._readings.current()
        made = plan(
            current, open_, self._systems(), {name: one.devices_per_node for name, one in self._managers.items()}
        )
        moving = any(unit.busy for unit in current.values())
        stuck = {place: one for place, one in self._stuck.items() if self._rests(place, made, current)}
        for step in made.steps:
            want = made.chosen.get(step.place)
            key = ("", "", step.place)
            if want is not None and step.verb == "attach":
                key = (want.uid, want.since, step.place)
            if step.verb == "attach" and key in self._failed:
                continue
            if step.place in stuck:
                continue
            until, why = self._take(step, current[step.place], key)
            if why:
                stuck[step.place] = until, why
            else:
                moving = True
        self._stuck = stuck
        self._tell(wants, made, current)
        self._tell_observers(held, current)
        before, self._pools = self._pools, self._published(frozenset(made.chosen))
        if before != self._pools:
            self._news.set()
        if moving:
            return _SOON
        return _LATER if stuck or self._readings.troubles() else _REST

    def allocated(self, claim: Claim) -> Iterator[Readiness]:
        """What the last look at the managers says of a claim's devices."""
        for device in claim.devices:
            if (said := self._said.get((claim.uid, (device.pool, device.name)))) is not None:
                ready, message, failed = said
                yield Readiness(device, ready, message, failed)

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """Waits until the devices have appeared on this node; their device nodes."""
        deadline = time.monotonic() + self._options.wait_seconds
        for number, device in enumerate(claim.devices):
            function = self._appeared(device, deadline)
            nodes = host.device_nodes(self._files, function)
            while not nodes and not device.admin_access:
                if time.monotonic() >= deadline:
                    driver = function.driver or "no driver"
                    raise PrepareError(f"{device.name}: {function.address} has no device node, it is bound to {driver}")
                time.sleep(_LOOK)
                function = self._appeared(device, deadline)
                nodes = host.device_nodes(self._files, function)
            edits = Edits(env={f"FABRIC_DEVICE_{number}": function.address}, device_nodes=nodes)
            known = device.device.attributes if device.device else {}
            yield device.prepared(edits, attributes={**known, **standard_attributes(function)})

    def unprepare(self, claim: Claim) -> None:
        """Takes the devices from the kernel, so that they can be detached; nothing where they are not there."""
        for device in claim.devices:
            if device.admin_access or device.device is None:
                continue
            try:
                if (function := self._find(device)) is not None:
                    host.remove(self._files, function)
            except HardwareError:
                continue  # it cannot be told which it is: then preparing did not find it either
            except OSError as error:
                raise PrepareError(f"{device.name}: {error.filename}: {error.strerror}") from None

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Tells when `settle` has found something new."""
        while not stop.is_set():
            if self._news.wait(self.poll):
                self._news.clear()
                changed()

    def health(self) -> Iterator[Health]:
        """Devices that the manager calls faulty, that it lately did not attach, or whose manager does not answer."""
        now = time.monotonic()
        published = {(pool.name, one.name) for pool in self._pools or () for one in pool.devices}
        for place, unit in list(self._readings.all()):
            if place not in published:
                continue
            until, why = self._bad.get(place, (0.0, ""))
            if unit.fault:
                yield Health(place[1], False, unit.fault, place[0])
            elif now < until:
                yield Health(place[1], False, why, place[0])
            elif place not in self._readings.fresh:
                yield Health(place[1], None, "; ".join(self._readings.troubles_of(place)), place[0])

    def _rests(self, place: Place, made: Plan, units: Mapping[Place, Unit]) -> bool:
        """Whether a device is still where it does not belong, and is not to be detached again yet."""
        unit, want = units.get(place), made.chosen.get(place)
        misplaced = unit is not None and unit.system and (want is None or want.system != unit.system)
        return bool(misplaced) and time.monotonic() < self._stuck[place][0]

    def _is_ours(self, unit: Unit) -> bool:
        rule = rule_of(unit, self._options.devices)
        return rule is not None and rule.driver == self.name

    def _systems(self) -> dict[str, frozenset[str]]:
        """By manager the systems that are nodes, or may be."""
        return {
            name: frozenset(one.nodes.hostnames.values())
            or frozenset(
                system
                for unit in self._readings.units.get(name, {}).values()
                for system in (*unit.systems, unit.system)
            )
            for name, one in self._managers.items()
        }

    def _wants(self, held: Iterable[Held]) -> dict[Place, list[Want]]:
        managers = {place: unit.manager for place, unit in self._readings.all()}
        wants: dict[Place, list[Want]] = {}
        for one in held:
            for device in one.claim.devices:
                if device.admin_access:
                    continue
                place = (device.pool, device.name)
                system = self._system_of(one, managers.get(place, ""))
                wants.setdefault(place, []).append(Want(one.claim.uid, one.since, one.node, system))
        return wants

    def _system_of(self, one: Held, manager: str) -> str:
        """The system of a claim's node; empty where it is not known."""
        known = self._managers.get(manager)
        return known.nodes.system(dict(one.labels)) if known is not None else ""

    def _take(self, step: Step, unit: Unit, key: _Key) -> tuple[float, str]:
        """Begins a step; where that is to be tried again: when, and why it failed."""
        box = self._boxes[unit.manager]
        try:
            answer = box.attach(unit, step.system) if step.verb == "attach" else box.detach(unit)
        except HardwareError as error:
            if error.code == "412":  # it has changed since it was read: the next look shows how
                return 0.0, ""
            final = error.code in _FINAL
            if final and step.verb == "attach":
                self._fail(key, str(error))
                return 0.0, ""
            return time.monotonic() + (_AGAIN if final else 0.0), f"{step.verb}: {error}"
        if "TaskState" in answer and answer.get("@odata.id"):
            self._tasks[key] = unit.manager, str(answer["@odata.id"])
        return 0.0, ""

    def _hear_of_tasks(self, keys: set[_Key]) -> None:
        """Looks at the tasks that we began: those that failed made nothing that could be seen elsewhere."""
        for key, (manager, path) in list(self._tasks.items()):
            try:
                task = self._boxes[manager].get(path)
            except HardwareError as error:
                if error.code == "404":
                    del self._tasks[key]
                continue
            state = task.get("TaskState")
            if state in ("Completed", "Exception", "Cancelled", "Killed", "Interrupted"):
                del self._tasks[key]
                text = f"{manager}: its task ended as {state}: {_messages(task)}"
                if state != "Completed" and not key[0]:
                    self._stuck[key[2]] = time.monotonic() + _AGAIN, f"detach: {text}"
                elif state != "Completed" and key in keys:
                    self._fail(key, text)

    def _fail(self, key: _Key, text: str) -> None:
        self._failed[key] = text
        self._bad[key[2]] = time.monotonic() + _BAD_FOR, text

    def _tell(self, wants: Mapping[Place, Sequence[Want]], made: Plan, units: Mapping[Place, Unit]) -> None:
        """Makes the answers of `allocated`."""
        said: dict[tuple[str, Place], tuple[bool, str, bool]] = {}
        for place, all_ in wants.items():
            unit, troubles = units.get(place), self._readings.troubles_of(place)
            stuck = f": {self._stuck[place][1]}" if place in self._stuck else ""
            for want in all_:
                failed = self._failed.get((want.uid, want.since, place))
                if failed is None and not troubles:
                    # What was read in part refuses nothing: a host that is missing may be there.
                    failed = made.refused.get((want.uid, place))
                if unit is None and troubles:
                    said[want.uid, place] = (False, "; ".join(troubles)[:200], False)
                elif failed is not None:
                    said[want.uid, place] = (False, failed, True)
                elif unit is not None and unit.fault:
                    said[want.uid, place] = (False, unit.fault, True)
                elif unit is not None and unit.system and unit.system == want.system and not unit.busy:
                    said[want.uid, place] = (True, f"is attached to {unit.system}", False)
                elif unit is not None and unit.system and unit.system != want.system:
                    said[want.uid, place] = (False, f"is being detached from {unit.system}{stuck}", False)
                else:
                    said[want.uid, place] = (False, f"is being attached to {want.system}{stuck}", False)
        self._said = said

    def _tell_observers(self, held: Iterable[Held], units: Mapping[Place, Unit]) -> None:
        """Makes the answers for devices that a claim only observes: nothing is attached for it."""
        for one in held:
            for device in one.claim.devices:
                place = (device.pool, device.name)
                unit = units.get(place)
                if not device.admin_access or unit is None:
                    continue
                if unit.system and unit.system == self._system_of(one, unit.manager) and not unit.busy:
                    self._said[one.claim.uid, place] = (True, f"is attached to {unit.system}", False)
                else:
                    message = f"is only observed, and is attached to {unit.system or 'no system'}, not to {one.node}"
                    self._said[one.claim.uid, place] = (False, message, not unit.busy)

    def _published(self, held: frozenset[Place] | None) -> list[Pool]:
        """The pools, with a taint on what is on a node although no claim holds it: it is not free before it is back.

        It stays in its pool meanwhile, for else the driver of that node would publish it.
        """
        problems = Problems(self._readings.troubles())
        problems += [f"{place[1]}: {why}" for place, (_, why) in self._stuck.items()]
        systems = self._systems()
        units, returning = {}, set()
        for manager, of in self._readings.units.items():
            for place, unit in of.items():
                if unit.system and unit.system not in systems[manager]:
                    problems.append(f"{place[1]}: is attached to {unit.system}, which is no node: it is not published")
                    continue
                units[place] = unit
                if unit.system and held is not None and place not in held:
                    returning.add(place)
        found = pools(self.name, units, returning, self._options.devices, self._managers, problems)
        return [replace(pool, problems=problems) if index == 0 else pool for index, pool in enumerate(found)]

    def _find(self, device: ClaimDevice) -> PciFunction | None:
        known = device.device.attributes if device.device else {}
        texts = [known[key].string or "" if key in known else "" for key in ("serialNumber", "vendorId", "deviceId")]
        return host.find(self._files, *texts)

    def _appeared(self, device: ClaimDevice, deadline: float) -> PciFunction:
        """The function of a device, once it is there."""
        scanned = False
        while True:
            try:
                function = self._find(device)
            except HardwareError as error:
                raise PrepareError(f"{device.name}: {error}") from None
            if function is not None:
                return function
            if not scanned:
                host.rescan(self._files)
                scanned = True
            elif time.monotonic() >= deadline:
                raise PrepareError(
                    f"{device.name}: is attached, but has not appeared on this node: no PCI function is it"
                )
            else:
                time.sleep(_LOOK)


def _messages(task: Json) -> str:
    texts = [str(one.get("Message")) for one in task.get("Messages") or () if one.get("Message")]
    return "; ".join(texts)[:300] or "without a message"


def make(argument: str, node: str, machine: Machine) -> list[Driver]:
    """The drivers of a configuration file.

    Raises:
        OSError: it cannot be read.
        ValueError: it cannot be used.
    """
    if not argument:
        raise ValueError("must be fabric=CONFIG.yaml")
    options = read_options(Path(argument))
    return [FabricDriver(name, options, machine) for name in options.drivers]
