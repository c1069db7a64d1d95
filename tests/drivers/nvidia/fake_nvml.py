"""An NVML in pure Python: GPUs with MIG, whose state changes as real ones' does, and that can be broken.

Instances take memory slices and compute slices of a GPU, are refused where there is no room, and leave the files in
/proc by which the kernel driver gives their capabilities. Figures are those that nvidia-smi shows for the products:
profiles, placements and memory of A100 40GB, H100 80GB and GH200 96GB. Where nobody published a figure (memory of
GH200's instances) it is derived, and no test depends on it.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from fairlead.drivers.nvidia.nvml import Condition, Event, Gpu, Instance, Nvml, Profile, System
from fairlead.hardware import HardwareError
from tests.hardware.tree import Tree

ANY = tuple(range(7))


def _profiles(unit: int, memory: tuple[int, ...], processors: tuple[int, ...], decoders: tuple[int, ...], jpeg: bool):
    """The seven profiles of the GPUs with eight memory slices; `unit` is the GB of one.

    Memory in MiB, multiprocessors and decoders are of: 1g, 1g with two memory slices, 2g, 3g, 4g, 7g.
    """
    names = (f"1g.{unit}gb", f"1g.{2 * unit}gb", f"2g.{2 * unit}gb", f"3g.{4 * unit}gb", f"4g.{4 * unit}gb")
    names = (*names, f"7g.{8 * unit}gb")
    numbers, slices, sizes = (19, 15, 14, 9, 5, 0), (1, 1, 2, 3, 4, 7), (1, 2, 2, 4, 4, 8)
    starts = (ANY, (0, 2, 4, 6), (0, 2, 4), (0, 4), (0,), (0,))
    engines = (1, 1, 2, 3, 4, 8)
    found = [
        Profile(
            numbers[at],
            names[at],
            slices[at],
            processors[at],
            engines[at],
            decoders[at],
            0,
            (decoders[at] if jpeg else int(at == 5)),
            int(at == 5),
            memory[at],
            sizes[at],
            starts[at],
        )
        for at in range(6)
    ]
    media = replace(found[0], number=20, name=f"{names[0]}+me", decoders=1, jpeg_engines=1, ofa_engines=1)
    return (found[0], media, *found[1:])


A100_40GB = _profiles(
    5, (4864, 9984, 9984, 20096, 20096, 40192), (14, 14, 28, 42, 56, 98), (0, 1, 1, 2, 2, 5), jpeg=False
)
H100_80GB = _profiles(
    10, (9856, 20096, 20096, 40448, 40448, 81153), (16, 26, 32, 60, 64, 132), (1, 1, 2, 3, 4, 7), jpeg=True
)
GH200_96GB = tuple(
    replace(one, name=one.name.replace(old, new), memory=one.memory * 96 // 80)
    for one in H100_80GB
    for old, new in (
        ("10gb", "12gb")
        if "10gb" in one.name
        else ("20gb", "24gb")
        if "20gb" in one.name
        else ("40gb", "48gb")
        if "40gb" in one.name
        else ("80gb", "96gb"),
    )
)


def uuid_of(text: str) -> str:
    digits = hashlib.sha256(text.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


@dataclass
class FakeGpu:
    """One GPU, and what is wrong with it."""

    gpu: Gpu
    profiles: tuple[Profile, ...] = ()
    instances: list[Instance] = field(default_factory=list)
    condition: Condition = field(default_factory=Condition)
    exclusive: bool = False
    error: HardwareError | None = None
    """Every call about it fails so."""
    refuse: dict[str, HardwareError] = field(default_factory=dict)
    """Calls of these names fail so."""


class FakeNvml(Nvml):
    """A library that knows some GPUs by their addresses."""

    def __init__(self, tree: Tree, system: System, gpus: dict[str, FakeGpu]) -> None:
        self.tree = tree
        self.installed: System | None = system
        self.gpus = gpus
        self.events: list[Event] = []
        self.calls: list[tuple[Any, ...]] = []
        """What was changed."""

    # What tests do to it.

    def lose(self, address: str) -> None:
        """The GPU falls off the bus; /sys shows it still."""
        self.gpus[address].error = HardwareError(f"{address}: GPU is lost", "15")

    def find(self, address: str) -> None:
        """The GPU answers again, as after a reset: without instances."""
        card = self.gpus[address]
        card.error, card.instances, card.condition = None, [], Condition()

    def make(self, address: str, profile: str, start: int) -> Instance:
        """Somebody makes an instance by hand."""
        card = self.gpus[address]
        card.gpu = replace(card.gpu, mig=True, mig_pending=True)
        number = next(one.number for one in card.profiles if one.name == profile)
        return self._make(address, number, start)

    # What the driver asks.

    def system(self) -> System:
        if self.installed is None:
            raise HardwareError("NVML: Driver Not Loaded", "9")
        return self.installed

    def gpu(self, address: str) -> Gpu:
        return self._card(address, "gpu").gpu

    def profiles(self, address: str) -> list[Profile]:
        return list(self._card(address, "profiles").profiles)

    def instances(self, address: str) -> list[Instance]:
        card = self._card(address, "instances")
        return sorted(card.instances, key=lambda one: one.number) if card.gpu.mig else []

    def condition(self, address: str) -> Condition:
        return self._card(address, "condition").condition

    def wait(self, addresses: list[str], seconds: float) -> list[Event] | None:
        heard, self.events = [one for one in self.events if one.address in addresses], []
        return heard or None

    def set_mig(self, address: str, on: bool) -> None:
        card = self._card(address, "set_mig")
        if card.gpu.architecture == "Ampere":
            raise HardwareError(f"{address}: MIG mode could not be turned on: it waits for a reset of the GPU", "16")
        if not on and card.instances:
            raise HardwareError(f"{address}: In use by another client", "19")
        self.calls.append(("set_mig", address, on))
        card.gpu = replace(card.gpu, mig=on, mig_pending=on)

    def create(self, address: str, profile: int, start: int) -> Instance:
        if not self._card(address, "create").gpu.mig:
            raise HardwareError(f"{address}: Not Supported", "3")
        made = self._make(address, profile, start)
        self.calls.append(("create", address, profile, start))
        return made

    def destroy(self, address: str, instance: int) -> None:
        card = self._card(address, "destroy")
        for one in [one for one in card.instances if one.number == instance]:
            card.instances.remove(one)
            self._forget(card.gpu.minor, one)
            self.calls.append(("destroy", address, one.profile, one.start))

    def set_exclusive(self, address: str, exclusive: bool) -> None:
        self._card(address, "set_exclusive").exclusive = exclusive
        self.calls.append(("set_exclusive", address, exclusive))

    def _card(self, address: str, call: str) -> FakeGpu:
        self.system()
        card = self.gpus.get(address)
        if card is None:
            raise HardwareError(f"{address}: Not Found", "6")
        if (error := card.error or card.refuse.get(call)) is not None:
            raise error
        return card

    def _make(self, address: str, number: int, start: int) -> Instance:
        card = self.gpus[address]
        by_number = {one.number: one for one in card.profiles}
        profile = by_number[number]
        taken = {at for one in card.instances for at in range(one.start, one.start + one.size)}
        slices = sum(by_number[one.profile].slices for one in card.instances)
        fits = start in profile.starts and not taken & set(range(start, start + profile.size))
        if not fits or slices + profile.slices > 7:
            raise HardwareError(f"{address}: Insufficient Resources", "23")
        used = {one.number for one in card.instances}
        gi = next(at for at in itertools.count(0 if profile.size == 8 else 1) if at not in used)
        uuid = f"MIG-{uuid_of(f'{card.gpu.uuid}/{gi}/0')}"
        made = Instance(gi, number, start, profile.size, 0, 1, uuid)
        card.instances.append(made)
        place, minor = self._capability(card.gpu.minor, gi), 3 + 135 * card.gpu.minor + 9 * gi
        self.tree.file(f"{place}/access", _access(minor))
        self.tree.file(f"{place}/ci0/access", _access(minor + 1))
        return made

    def _forget(self, minor: int, instance: Instance) -> None:
        place = self._capability(minor, instance.number)
        self.tree.remove(f"{place}/ci0/access")
        self.tree.remove(f"{place}/access")
        for folder in (f"{place}/ci0", place):
            (self.tree.root / folder.lstrip("/")).rmdir()

    def _capability(self, minor: int, instance: int) -> str:
        return f"/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi{instance}"


def _access(minor: int) -> str:
    return f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\nDeviceFileModify: 1"
