"""What preparing changes on the machine, and how that is undone.

For a claim: GPU instances are made, time slices set, MPS daemons started. Before the first change a note says what is
about to be changed, and undoing does what the note says, never more: an instance that the note names stands at a place
where there was none when the note was written. Without a note nothing was changed. Instances that stand in the way are
removed only when a note of this driver names them (their claim is gone then, for the kit lets no two claims have the
same slices); those of others are named and left alone.

MIG mode is turned on with the first instance. It is turned off by the next claim of the whole GPU, not with the last
instance: every change of the mode fails while anybody, a monitoring agent say, has the GPU open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from fairlead.driver import ClaimDevice, PrepareError
from fairlead.drivers.nvidia.config import GpuConfig, MigDeviceConfig, MpsConfig
from fairlead.drivers.nvidia.devices import Target
from fairlead.drivers.nvidia.discovery import boot, of_this_boot
from fairlead.drivers.nvidia.host import Host, Made, Note, Served
from fairlead.drivers.nvidia.nvml import LOST, Instance, Nvml
from fairlead.hardware import Files, HardwareError

_INTERVALS: Final = {"Default": 0, "Short": 1, "Medium": 2, "Long": 3}
_VOLTA: Final = 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device of a claim, the hardware behind it, and what its configuration asks for."""

    device: ClaimDevice
    target: Target
    interval: int = 0
    """Of time slicing; 0 for the default."""
    mps: MpsConfig | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What became of the devices of a claim, by name."""

    instances: dict[str, Instance] = field(default_factory=dict)
    served: dict[str, Served] = field(default_factory=dict)


def wanted(device: ClaimDevice, target: Target) -> Wanted:
    """What a device's configuration asks for.

    Raises:
        PrepareError: it cannot be had.
    """
    gpu, mig = device.config(GpuConfig), device.config(MigDeviceConfig)
    whole = target.kind == "gpu"
    fitting, other = (gpu, mig) if whole else (mig, gpu)
    if fitting is None and other is not None:
        needed = "GpuConfig" if whole else "MigDeviceConfig"
        raise PrepareError(f"{device.name}: is configured by a {other.kind()}, takes only a {needed}")
    if fitting is None or fitting.sharing is None or device.admin_access:
        return Wanted(device, target)
    sharing, interval, mps = fitting.sharing, 0, None
    if sharing.strategy == "MPS":
        mps = sharing.mps_config or MpsConfig()
    elif gpu is not None and whole and gpu.sharing is not None and gpu.sharing.time_slicing_config is not None:
        interval = _INTERVALS[gpu.sharing.time_slicing_config.interval]
    if (interval or (mps is not None and mps.multi_user)) and target.card.gpu.generation < _VOLTA:
        raise PrepareError(f"{device.name}: time slices and MPS for several users need a GPU of Volta or later")
    if device.share_id is not None and (mps is not None or interval):
        raise PrepareError(
            f"{device.name}: MPS and time slices are set for a whole device, and the claim has a share of it"
        )
    return Wanted(device, target, interval, mps)


class Changes:
    """Does and undoes."""

    def __init__(self, files: Files, nvml: Nvml, host: Host) -> None:
        """Args:
        files: of the machine.
        nvml: its library.
        host: its programs and the notes.
        """
        self._files: Final = files
        self._nvml: Final = nvml
        self._host: Final = host

    def do(self, claim: str, devices: Sequence[Wanted], partitioned: bool) -> Ready:
        """Makes the devices of a claim ready.

        Args:
            claim: its UID.
            devices: of the claim.
            partitioned: whether MIG is dynamic.

        Raises:
            PrepareError: it is not possible; `undo` comes next.
        """
        ready = Ready()
        with _told():
            others = of_this_boot(self._files, self._host.notes())
            others.pop(claim, None)
            for one in devices:
                self._clear(one, others, ready, partitioned)
            # Only now: a note says that what stands at its places is ours.
            note = self._note(devices)
            if note != Note(note.boot):
                self._host.note(claim, note)
            for one in devices:
                if one.target.kind == "place" and one.device.name not in ready.instances:
                    ready.instances[one.device.name] = self._create(one)
            for one in devices:
                if one.interval:
                    self._host.set_time_slice(one.target.card.gpu.uuid, one.interval)
            self._serve(claim, devices, ready)
        return ready

    def undo(self, claim: str) -> None:
        """Undoes what was changed for a claim; nothing happens where nothing was.

        Raises:
            PrepareError: it is not possible now.
        """
        with _told():
            notes = self._host.notes()
            if claim not in notes:
                return
            current = of_this_boot(self._files, notes)
            note = current.pop(claim, None)
            if note is not None:
                self._take_back(claim, note, current)
            self._host.forget(claim)

    def _note(self, devices: Sequence[Wanted]) -> Note:
        changed = [one for one in devices if not one.device.admin_access]
        return Note(
            boot(self._files),
            tuple(_made(one) for one in changed if one.target.kind == "place"),
            {one.target.card.address: one.target.card.gpu.uuid for one in changed if one.interval},
            tuple(one.target.card.address for one in changed if one.mps is not None and one.target.kind == "gpu"),
            any(one.mps is not None for one in changed),
        )

    def _clear(self, one: Wanted, others: Mapping[str, Note], ready: Ready, partitioned: bool) -> None:
        """Finds instances that are there already, and makes room for those that are not."""
        target, name = one.target, one.device.name
        if target.kind == "instance" and target.instance is not None:
            ready.instances[name] = target.instance
        elif target.kind == "place":
            there = self._make_room(one, others)
            if there is not None:
                ready.instances[name] = there
        elif partitioned and not one.device.admin_access:
            self._whole(target)

    def _whole(self, target: Target) -> None:
        address = target.card.address
        if self._nvml.gpu(address).mig:
            if there := self._nvml.instances(address):
                raise PrepareError(f"gpu-{target.card.gpu.minor}: {address} is cut into {len(there)} GPU instances")
            self._nvml.set_mig(address, False)

    def _make_room(self, one: Wanted, others: Mapping[str, Note]) -> Instance | None:
        """Removes what this driver left at a place; the instance there, where it is another share's."""
        made, profile = _made(one), one.target.profile
        size = 0 if profile is None else profile.size
        there = self._nvml.instances(made.address)
        exact = next((it for it in there if (it.profile, it.start) == (made.profile, made.start)), None)
        whole = exact is not None and exact.compute is not None
        if one.device.admin_access:
            if not whole:
                raise PrepareError(f"{made.device}: no claim has it, so there is nothing to observe")
            return exact
        ours = {_key(it) for note in others.values() for it in note.made}
        if whole and one.device.share_id is not None and _key(made) in ours:
            return exact
        for it in there:
            if it.start < made.start + size and made.start < it.start + it.size:
                if (made.address, it.profile, it.start) not in ours:
                    raise PrepareError(
                        f"{made.device}: GPU instance {it.number} at slice {it.start} of {made.address} is in the way; "
                        "it was not made by this driver, so it is left alone"
                    )
                self._nvml.destroy(made.address, it.number)
        return None

    def _create(self, one: Wanted) -> Instance:
        made = _made(one)
        if not self._nvml.gpu(made.address).mig:
            self._nvml.set_mig(made.address, True)
        return self._nvml.create(made.address, made.profile, made.start)

    def _serve(self, claim: str, devices: Sequence[Wanted], ready: Ready) -> None:
        for number, (config, members) in enumerate(_groups(devices)):
            uuids = [self._uuid(one, ready) for one in members]
            try:
                limits = config.limits(uuids)
            except ValueError as error:
                raise PrepareError(f"{members[0].device.name}: {error}") from None
            for one in members:
                if one.target.kind == "gpu":
                    self._nvml.set_exclusive(one.target.card.address, True)
            percentage, several = config.default_active_thread_percentage, bool(config.multi_user)
            served = self._host.serve(claim, f"g{number}", uuids, percentage, limits, several)
            ready.served.update({one.device.name: served for one in members})

    def _uuid(self, one: Wanted, ready: Ready) -> str:
        instance = ready.instances.get(one.device.name)
        return one.target.card.gpu.uuid if instance is None else instance.uuid

    def _take_back(self, claim: str, note: Note, others: Mapping[str, Note]) -> None:
        if note.served:
            self._host.stop_serving(claim)
        for address in note.exclusive:
            self._unless_lost(lambda address=address: self._nvml.set_exclusive(address, False))  # type: ignore[misc]
        for address, uuid in note.sliced.items():
            if self._unless_lost(lambda address=address: self._nvml.gpu(address)):  # type: ignore[misc]
                self._host.set_time_slice(uuid, 0)
        shared = {_key(made) for other in others.values() for made in other.made}
        for made in note.made:
            if _key(made) not in shared:
                self._unless_lost(lambda made=made: self._destroy(made))  # type: ignore[misc]

    def _destroy(self, made: Made) -> None:
        for one in self._nvml.instances(made.address):
            if (one.profile, one.start) == (made.profile, made.start):
                self._nvml.destroy(made.address, one.number)

    def _unless_lost(self, work: Callable[[], object]) -> bool:
        """Whether the GPU is there to be set back; a lost one comes back as new."""
        try:
            work()
        except HardwareError as error:
            if error.code not in LOST:
                raise
            return False
        return True


def _groups(devices: Sequence[Wanted]) -> list[tuple[MpsConfig, list[Wanted]]]:
    """The devices of each MPS daemon: whole GPUs of one configuration, which a program can use together.

    A program has one instance, so each instance has a daemon of its own.
    """
    groups: list[tuple[MpsConfig, list[Wanted]]] = []
    for one in devices:
        if one.mps is None:
            continue
        for config, members in groups:
            if config == one.mps and one.target.kind == members[0].target.kind == "gpu":
                members.append(one)
                break
        else:
            groups.append((one.mps, [one]))
    return groups


def _made(one: Wanted) -> Made:
    profile = one.target.profile
    return Made(one.device.name, one.target.card.address, -1 if profile is None else profile.number, one.target.start)


def _key(made: Made) -> tuple[str, int, int]:
    return made.address, made.profile, made.start


@contextmanager
def _told() -> Iterator[None]:
    """What the hardware refuses is told to the user."""
    try:
        yield
    except HardwareError as error:
        raise PrepareError(str(error)) from error
    except msgspec.MsgspecError as error:
        raise PrepareError(f"notes: {error}") from error
    except OSError as error:
        raise PrepareError(f"{error.filename}: {error.strerror}") from error
