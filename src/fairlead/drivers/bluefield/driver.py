"""The driver for BlueField DPUs on a host: functions and shares, made ready on both sides together.

Preparing asks the side of the e-switch first (the DPU's agent, or in NIC mode the host itself), then waits for the
host's side. Whatever fails, the kit calls `unprepare`, which takes the e-switch's side back. While the agent of a DPU
does not answer, its claims can neither be prepared nor given back: what it holds is not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Final

from fairlead.driver import (
    Claim,
    ClaimDevice,
    DeviceStatus,
    Driver,
    Edits,
    Health,
    Pool,
    PreparedDevice,
    PrepareError,
    Readiness,
)
from fairlead.drivers.bluefield.agents import Agents, NoAgents
from fairlead.drivers.bluefield.config import DRIVER, FunctionConfig
from fairlead.drivers.bluefield.contradictions import check_granted, contradictions
from fairlead.drivers.bluefield.devices import Known, Place, make_pool, sub_function_place
from fairlead.drivers.bluefield.devlink import Devlink
from fairlead.drivers.bluefield.discovery import Dpu, devlink_name, find_dpus, remembered
from fairlead.drivers.bluefield.functions import Granted
from fairlead.drivers.bluefield.heartbeat import Heartbeats
from fairlead.drivers.bluefield.host import await_function, edits_of, mac_of
from fairlead.drivers.bluefield.made import Made, MadeReady
from fairlead.drivers.bluefield.network import Network
from fairlead.drivers.bluefield.options import Options, read_options
from fairlead.drivers.bluefield.side import REFUSED, EswitchSide
from fairlead.drivers.bluefield.wanted import Work, work_of
from fairlead.hardware import HardwareError, Machine, Problems
from fairlead.resource import DeviceTaint, NetworkDeviceData

_LOOK: Final = 2.0
"""Seconds between two looks at which functions there are."""
_APPEAR: Final = 10.0
"""Seconds within which a function must be usable on the host, once the e-switch's side is ready."""
LOST: Final = DeviceTaint(key=f"{DRIVER}/agent-lost", effect="NoSchedule")


class BlueFieldDriver(Driver):
    """One node's DPUs."""

    name = DRIVER
    configs = (FunctionConfig,)
    recover_after = 10.0

    def __init__(
        self,
        machine: Machine,
        options: Options,
        appear: float = _APPEAR,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing yet.

        Args:
            machine: the host.
            options: what the administrator says.
            appear: seconds within which a function must be usable on the host.
            clock: seconds, for how long an agent has been silent.
        """
        self._files: Final = machine.files
        self._options: Final = options
        self._appear: Final = appear
        self._with_agent: Final = {one.address: one for one in options.dpus}
        self._devlink: Final = machine.door(Devlink, _live_devlink)  # type: ignore[type-abstract]
        self._network: Final = machine.door(Network, _live_network)  # type: ignore[type-abstract]
        self._agents: Final = machine.door(Agents, lambda: _live_agents(options))  # type: ignore[type-abstract]
        self._dpus: dict[str, Dpu] = {}
        self._places: dict[str, Place] = {}
        self._seen: dict[str, Place] = {}
        """All devices that there have been: a claim of one that has gone must be undone, too."""
        self._made: Final = MadeReady()
        self._clock: Final = clock
        self._megabits: dict[str, int] = {}
        self._hearts: Final = Heartbeats(
            self._agents, lambda: {slot: dpu.vpd.serial for slot, dpu in self._dpus.items()}, clock
        )

    def discover(self) -> Pool:
        """The DPUs that the host sees, with what their agents said last."""
        self._hearts.changed.clear()
        problems = Problems()
        found = [remembered(dpu, self._dpus.get(dpu.slot)) for dpu in find_dpus(self._files, self._devlink, problems)]
        self._dpus = {dpu.slot: dpu for dpu in found}
        for port in (port for dpu in found for port in dpu.ports):
            address = port.physical.pci.address
            self._megabits[address] = max(port.megabits, self._megabits.get(address, 0))
        known = []
        for dpu in found:
            has_agent = dpu.slot in self._with_agent
            report = None
            if has_agent:
                pulse = self._hearts.ask(dpu.slot)
                report = pulse.report
                if pulse.problem:
                    problems.append(pulse.problem)
                elif report is not None:
                    problems += contradictions(dpu, report)
            known.append((dpu, Known(has_agent, report, self._megabits)))
        problems += [f"DPU {slot}: is not on this host" for slot in self._with_agent if slot not in self._dpus]
        pool, self._places = make_pool(known, self._options, problems)
        self._seen |= self._places
        return pool

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """Both sides: the e-switch's, then the host's."""
        granted: dict[tuple[str, str], Granted] = {}
        for slot, work in work_of(claim, self._places.get).items():
            for one in self._apply(slot, claim, work, dry_run=False):
                granted[slot, str(one.function)] = one
            if slot in self._with_agent and work.touches:
                names = tuple(one.name for one in claim.devices if self._is_of(one.name, slot))
                self._made.add(claim.uid, Made(slot, f"{claim.namespace}/{claim.name}", names, self._clock()))
        for device in claim.devices:
            yield self._prepared(device, granted)

    def unprepare(self, claim: Claim) -> None:
        """Takes the e-switch's side back; interfaces come back by themselves when the pod's namespace goes."""
        self._made.remove(claim.uid)
        places = [self._was(device.name) for device in claim.devices if not device.admin_access]
        slots = {place.slot for place in places if place is not None}
        if None in places:  # a device that has gone may be of any DPU
            slots |= self._with_agent.keys()
        problems = []
        for slot in sorted(slots):
            try:
                self._release(slot, claim)
            except HardwareError as error:
                problems.append(str(error))
        if problems:
            raise PrepareError("; ".join(problems))

    def allocated(self, claim: Claim) -> Iterable[Readiness]:
        """Whether the DPU could make the claim ready now; nothing is changed on it."""
        try:
            work = work_of(claim, self._places.get)
        except PrepareError as error:  # of the claim itself: time does not mend it
            return [Readiness(device, False, str(error), True) for device in claim.devices]
        said: dict[str, tuple[bool, bool, str]] = {}
        for slot, one in work.items():
            try:
                self._apply(slot, claim, one, dry_run=True)
                said[slot] = (True, False, f"DPU {slot} is ready")
            except PrepareError as error:
                refused = isinstance(error.__cause__, HardwareError) and error.__cause__.code == REFUSED
                said[slot] = (False, refused, str(error))
        found = []
        for device in claim.devices:
            place = self._places.get(device.name)
            ready, failed, message = said.get(place.slot if place else "", (True, False, "nothing is to be done"))
            found.append(Readiness(device, ready, message, failed))
        return found

    def health(self) -> Iterable[Health]:
        """Devices of DPUs whose agent is silent, and of ports whose firmware reports an error."""
        reports: dict[str, Health] = {}
        for slot, dpu in list(self._dpus.items()):
            for port in dpu.ports:
                if bad := self._firmware(devlink_name(port.physical.pci)):
                    for name in self._devices_of(slot, port.physical.function.pf):
                        reports[name] = Health(name, False, bad)
            if slot not in self._with_agent:
                continue
            pulse = self._hearts.ask(slot)
            for made in self._made.forgotten(slot, pulse):
                lost = f"DPU {slot} does not hold what it made for ResourceClaim {made.claim} any more"
                for name in made.devices:
                    reports.setdefault(name, Health(name, False, f"{lost}: start its pod again"))
            if pulse.problem:
                silent = self._hearts.silence(slot)
                gone = silent >= self._options.lost_after
                message = f"for {silent:.0f} s: {pulse.problem}" if gone else pulse.problem
                for name in self._devices_of(slot, None):
                    reports.setdefault(name, Health(name, False if gone else None, message, taint=LOST))
        return list(reports.values())

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Looks for functions that come and go, and for what agents say anew."""
        before = self._files.listed("/sys/bus/pci/devices")
        changed()
        while not stop.wait(_LOOK):
            now = self._files.listed("/sys/bus/pci/devices")
            if now != before or self._hearts.changed.is_set():
                before = now
                changed()

    def _apply(self, slot: str, claim: Claim, work: Work, dry_run: bool) -> list[Granted]:
        """Asks the side of the e-switch; PrepareError, caused by what it said."""
        try:
            if slot in self._with_agent:
                self._lives(slot)
                label = f"{claim.namespace}/{claim.name}"
                granted = self._agents.apply(slot, claim.uid, label, work.wanted, work.services, dry_run)
                if not dry_run:
                    check_granted(slot, work.wanted, granted)
                return granted
            if not work.touches:
                return []
            side = self._local(slot)
            side.check(work.wanted)
            return [] if dry_run else [side.ensure(one) for one in work.wanted]
        except HardwareError as error:
            raise PrepareError(str(error)) from error

    def _release(self, slot: str, claim: Claim) -> None:
        if slot in self._with_agent:
            self._lives(slot)
            self._agents.release(slot, claim.uid)
            return
        work = work_of(claim, self._was, undo=True).get(slot, Work())
        dpu = self._dpus.get(slot)
        if not work.touches or (dpu is not None and dpu.mode == "dpu"):
            return
        # Where the mode is not known now, or the card cannot be read, what devlink has is what there is.
        side = self._side(slot)
        try:
            for one in reversed(work.wanted):
                side.undo(one)
        except HardwareError as error:
            if error.code != "no-command":  # without devlink nothing can have been made
                raise

    def _lives(self, slot: str) -> None:
        """Fails at once where the agent is known not to answer, or to be that of another DPU."""
        if problem := self._hearts.ask(slot).problem:
            raise HardwareError(problem, "unavailable")

    def _local(self, slot: str) -> EswitchSide:
        dpu = self._dpus.get(slot)
        if dpu is None or not dpu.mode:
            raise HardwareError(f"DPU {slot}: who manages its e-switch could not be asked")
        if dpu.mode == "dpu":
            raise HardwareError(f"DPU {slot}: manages its e-switch itself, and has no agent here", REFUSED)
        return self._side(slot)

    def _side(self, slot: str) -> EswitchSide:
        return EswitchSide(self._devlink, self._network, 0, lambda device: device.startswith(f"pci/{slot}."))

    def _was(self, name: str) -> Place | None:
        """What a device is, or was; a sub-function's name says it, also where the options have fewer of them now."""
        return self._places.get(name) or self._seen.get(name) or sub_function_place(name)

    def _prepared(self, device: ClaimDevice, granted: dict[tuple[str, str], Granted]) -> PreparedDevice:
        place = self._places.get(device.name)
        attributes = device.device.attributes if device.device is not None else None
        if place is None:
            raise PrepareError(f"{device.name}: has gone")
        if place.function is None or place.share or device.admin_access:
            return device.prepared(Edits(), attributes=attributes)
        found = await_function(self._files, self._dpus[place.slot], place.function, self._appear)
        edits, interface = edits_of(self._files, device, found)
        one = granted.get((place.slot, str(place.function)), Granted(place.function))
        data = {"dpu": place.slot, "function": str(place.function)}
        data |= {"representor": one.representor} if one.representor else {}
        data |= {"bridge": one.bridge} if one.bridge else {}
        network = NetworkDeviceData(interface_name=interface, hardware_address=mac_of(self._files, found))
        return device.prepared(edits, DeviceStatus(data=data, network_data=network), attributes)

    def _is_of(self, name: str, slot: str) -> bool:
        place = self._places.get(name)
        return place is not None and place.slot == slot and not place.share

    def _devices_of(self, slot: str, pf: int | None) -> list[str]:
        return [
            name
            for name, place in list(self._places.items())
            if place.slot == slot and (pf is None or (place.function is not None and place.function.pf == pf))
        ]

    def _firmware(self, device: str) -> str:
        """What is wrong with the firmware; empty where nothing is known to be."""
        try:
            states = self._devlink.health(device)
        except HardwareError:
            return ""  # discovery tells of a devlink that does not work
        bad = sorted(reporter for reporter, state in states.items() if state == "error")
        return f"{device}: firmware reports an error: {', '.join(bad)}" if bad else ""


def make(argument: str, node: str, machine: Machine) -> list[Driver]:
    """The driver of `bluefield`, or `bluefield=FILE` with options.

    Raises:
        OSError: the file cannot be read.
        ValueError: what it says cannot be used.
    """
    options = Options()
    if argument:
        try:
            options = read_options(Path(argument).read_text())
        except ValueError as error:
            raise ValueError(f"{argument}: {error}") from None
    return [BlueFieldDriver(machine, options)]


def _live_devlink() -> Devlink:
    from fairlead.drivers.bluefield.devlink_command import DevlinkCommand

    return DevlinkCommand()


def _live_network() -> Network:
    from fairlead.drivers.bluefield.network import NetworkCommands

    return NetworkCommands()


def _live_agents(options: Options) -> Agents:
    if not options.dpus:
        return NoAgents("has no agent", REFUSED)
    try:
        from fairlead.drivers.bluefield.agent_client import GrpcAgents
    except ImportError:
        return NoAgents("its agent cannot be called: pip install 'fairlead[driver]'", "no-library")
    return GrpcAgents({one.address: one for one in options.dpus})
