"""The driver `gpu.nvidia.com`: discovery, preparing and health joined to the kit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
)
from fairlead.drivers.nvidia.changes import Changes, Ready, Wanted, wanted
from fairlead.drivers.nvidia.config import GpuConfig, MigDeviceConfig
from fairlead.drivers.nvidia.devices import Offer, Target, offer
from fairlead.drivers.nvidia.discovery import Found, find
from fairlead.drivers.nvidia.edits import (
    gpu_edits,
    instance_edits,
    joined,
    library_edits,
    missing_mounts,
    served_edits,
)
from fairlead.drivers.nvidia.health import Ills, device_of, reports
from fairlead.drivers.nvidia.host import Host
from fairlead.drivers.nvidia.live import LiveNvml
from fairlead.drivers.nvidia.nvml import Nvml
from fairlead.drivers.nvidia.options import Options
from fairlead.drivers.nvidia.programs import LiveHost
from fairlead.hardware import HardwareError, Machine, Problems
from fairlead.resource import DeviceAttribute

_LOOK: Final = 2.0
"""Seconds between two looks at which GPUs and instances there are."""


class GpuDriver(Driver):
    """GPUs of NVIDIA, whole and in parts."""

    name = "gpu.nvidia.com"
    configs = (GpuConfig, MigDeviceConfig)
    plugin_resources = (r"nvidia\.com/(gpu|mig-).*",)

    def __init__(self, machine: Machine, options: Options) -> None:
        """Args:
        machine: where the GPUs are.
        options: what whoever runs the driver chose.
        """
        self._options: Final = options
        self._files: Final = machine.files
        self._nvml: Final = machine.door(Nvml, LiveNvml)  # type: ignore[type-abstract]
        self._host: Final = machine.door(Host, LiveHost)  # type: ignore[type-abstract]
        self._changes: Final = Changes(machine.files, self._nvml, self._host)
        self._ills: Final = Ills(options.ignored, options.hold)
        self._found = Found()
        self._offer = Offer(Pool([]), {})

    def discover(self) -> Pool:
        """The GPUs that are there, and what they can be cut into."""
        problems, options = Problems(), self._options
        dynamic = options.mig == "dynamic"
        found = find(self._files, self._nvml, self._host, problems, self._found, dynamic, options.libraries)
        made = offer(found, options, problems)
        self._look_ahead(found, made, problems)
        self._found, self._offer = found, made
        return made.pool

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """Makes what has to be made, and says which files of the kernel driver containers get."""
        devices = [wanted(device, self._target(device)) for device in claim.devices]
        ready = self._changes.do(claim.uid, devices, self._options.mig == "dynamic")
        libraries = self._libraries()
        with_libraries: set[str] = set()
        for one in devices:
            edits = self._edits(one, ready)
            if one.device.request not in with_libraries:
                # Once a request: its containers get all devices of it.
                with_libraries.add(one.device.request)
                edits = joined(edits, libraries)
            yield self._prepared(one, ready, edits)

    def unprepare(self, claim: Claim) -> None:
        """Undoes what a note says that was changed."""
        self._changes.undo(claim.uid)

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Listens to the GPUs, and looks whether some came or went, or were cut otherwise."""
        before = self._look()
        changed()
        while not stop.is_set():
            events = self._nvml.wait([card.address for card in self._found.cards], _LOOK)
            if events is None:
                stop.wait(_LOOK)
            for event in events or ():
                self._ills.hear(event, device_of(event, self._nvml, self._offer), time.monotonic())
            if (now := self._look()) != before:
                before = now
                changed()

    def health(self) -> list[Health]:
        """Asks every GPU."""
        return list(reports(self._nvml, self._found.cards, self._offer, self._ills, time.monotonic()))

    def _target(self, device: ClaimDevice) -> Target:
        target = self._offer.targets.get(device.name)
        if target is None:
            raise PrepareError(f"{device.name}: is not there any more")
        if not target.card.answers and not device.admin_access:
            raise PrepareError(f"{device.name}: {target.card.address} does not answer")
        return target

    def _edits(self, one: Wanted, ready: Ready) -> Edits:
        instance = ready.instances.get(one.device.name)
        gpu = one.target.card.gpu
        edits = gpu_edits(self._files, gpu) if instance is None else instance_edits(self._files, gpu, instance)
        served = ready.served.get(one.device.name)
        return edits if served is None else joined(edits, served_edits(served.pipe, served.shared))

    def _prepared(self, one: Wanted, ready: Ready, edits: Edits) -> PreparedDevice:
        attributes = dict(one.device.device.attributes) if one.device.device is not None else {}
        status = None
        if (instance := ready.instances.get(one.device.name)) is not None:
            # The UUID of an instance that was made now is in no slice.
            attributes["uuid"] = DeviceAttribute(string=instance.uuid)
            status = DeviceStatus(data={"uuid": instance.uuid})
        return one.device.prepared(edits, status, attributes)

    def _libraries(self) -> Edits:
        """Asked for anew where they are not where they were."""
        if not self._options.libraries or not self._found.libraries:
            return Edits()
        try:
            edits = library_edits(self._found.libraries)
            if missing_mounts(self._files, edits):
                edits = library_edits(self._host.libraries())
        except (HardwareError, ValueError) as error:
            raise PrepareError(str(error)) from None
        if missing := missing_mounts(self._files, edits):
            raise PrepareError(f"{missing[0]}: nvidia-ctk names it, and it is not there")
        return edits

    def _look_ahead(self, found: Found, made: Offer, problems: Problems) -> None:
        """Tells what preparing would miss; a recording so has what it will read."""
        for target in made.targets.values():
            with problems.of(target.card.address):
                try:
                    if target.kind == "instance" and target.instance is not None:
                        instance_edits(self._files, target.card.gpu, target.instance)
                    elif target.kind == "gpu":
                        gpu_edits(self._files, target.card.gpu)
                except PrepareError as error:
                    problems.append(str(error))
        with problems.of("libraries"):
            try:
                if found.libraries:
                    missing_mounts(self._files, library_edits(found.libraries))
            except ValueError as error:
                problems.append(str(error))

    def _look(self) -> tuple[Sequence[str], ...]:
        """What changes when GPUs come or go, the kernel driver is another, or somebody cuts a GPU."""
        try:
            seen = [self._files.listed("/sys/bus/pci/drivers/nvidia")]
            if self._files.exists("/proc/driver/nvidia/version"):
                seen.append([self._files.text("/proc/driver/nvidia/version")])
            for card in self._found.cards:
                # With dynamic MIG, too: what others make takes of the counters. Our own changes cost a discovery more.
                seen.append(self._files.listed(f"/proc/driver/nvidia/capabilities/gpu{card.gpu.minor}/mig"))
        except OSError:
            return ()
        return tuple(seen)
