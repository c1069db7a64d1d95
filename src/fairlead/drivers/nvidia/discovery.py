"""From a machine to its GPUs: PCI says which there are, NVML what they are.

A GPU that PCI shows and NVML does not answer for is named, and the others are found. One that was found before stays,
as it was then: it may be in a pod's hands, and its health tells that it is lost. A GPU that is not bound to NVIDIA's
kernel driver (given to a virtual machine, say) is nobody's to publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fairlead.drivers.nvidia.host import Host, Note
from fairlead.drivers.nvidia.nvml import Gpu, Instance, Nvml, Profile, System
from fairlead.hardware import Files, HardwareError, PciFunction, Problems, pci_functions

VENDOR: Final = 0x10DE
_DISPLAY: Final = 0x03
"""PCI base class of GPUs, with a screen or without."""
_MOST_SLICES: Final = 32
"""Of a GPU's memory; real ones have eight at most, and a set has 32 counters at most."""
_BOOT: Final = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU with its place in the machine."""

    function: PciFunction
    gpu: Gpu
    profiles: tuple[Profile, ...] = ()
    instances: tuple[Instance, ...] = ()
    answers: bool = True
    """Whether NVML spoke of it now; else what is here is what it said before."""

    @property
    def address(self) -> str:
        """PCI address."""
        return self.function.address

    @property
    def resets(self) -> bool:
        """Whether MIG mode changes by a reset of the GPU only, which takes it from everybody: before Hopper."""
        return self.gpu.generation < 9


@dataclass(frozen=True, slots=True)
class Found:
    """What there is on a machine."""

    cards: tuple[Card, ...] = ()
    system: System | None = None
    notes: Mapping[str, Note] | None = None
    """Of this boot, by the claims' UIDs; None where they cannot be read."""
    libraries: str = ""
    """As `Host.libraries` gives them."""


def find(
    files: Files, nvml: Nvml, host: Host, problems: Problems, before: Found, dynamic: bool, libraries: bool
) -> Found:
    """The GPUs of a machine.

    Args:
        files: of the machine.
        nvml: its library.
        host: its programs.
        problems: gets a line for each thing that cannot be had.
        before: what was found the last time.
        dynamic: whether GPUs without profiles are worth a word.
        libraries: whether containers are to get libraries.
    """
    functions = [
        one
        for one in pci_functions(files, problems, VENDOR)
        if one.class_code >> 16 == _DISPLAY and one.driver == "nvidia"
    ]
    if not functions:
        return Found()
    try:
        system = nvml.system()
    except HardwareError as error:
        problems.append(str(error))
        known = {card.address: card for card in before.cards}
        kept = [_stale(known[one.address]) for one in functions if one.address in known]
        return Found(tuple(kept), before.system, before.notes, before.libraries)
    cards = [card for one in functions if (card := _card(one, nvml, problems, before, dynamic)) is not None]
    cards = _without_doubles(cards, problems)
    notes: Mapping[str, Note] | None = None
    with problems.of("notes"):
        notes = of_this_boot(files, host.notes())
    return Found(tuple(cards), system, notes, _libraries(host, problems, before, system) if libraries else "")


def boot(files: Files) -> str:
    """The id of the machine's boot; empty where the kernel has none.

    Raises:
        OSError: it has one that cannot be read. Notes must not be taken for those of another boot then.
    """
    try:
        return files.text(_BOOT)
    except FileNotFoundError:
        return ""


def of_this_boot(files: Files, notes: Mapping[str, Note]) -> dict[str, Note]:
    """The notes that say something: instances, time slices and daemons are gone after a reboot."""
    now = boot(files)
    return {claim: note for claim, note in notes.items() if note.boot == now}


def _card(function: PciFunction, nvml: Nvml, problems: Problems, before: Found, dynamic: bool) -> Card | None:
    address = function.address
    last = next((card for card in before.cards if card.address == address), None)
    try:
        gpu = nvml.gpu(address)
        profiles: tuple[Profile, ...] = ()
        instances: tuple[Instance, ...] = ()
        if gpu.mig is not None:
            # Asked whether it is needed or not, so that a recording serves both kinds of MIG.
            try:
                profiles = tuple(nvml.profiles(address))
                instances = tuple(nvml.instances(address))
                _check(address, profiles, instances)
            except HardwareError:
                if dynamic or gpu.mig:
                    raise
                profiles = instances = ()
        if gpu.mig is not None and dynamic and not profiles:
            problems.append(f"{address}: has MIG, and NVML names no profiles: it is published as with mig=static")
        if gpu.mig_pending is not None and gpu.mig_pending != gpu.mig:
            problems.append(
                f"{address}: MIG mode is turned {'on' if gpu.mig_pending else 'off'} by its next reset only"
            )
        return Card(function, gpu, profiles, instances)
    except HardwareError as error:
        problems.append(_naming(address, error))
        return None if last is None else _stale(last)


def _check(address: str, profiles: Iterable[Profile], instances: Iterable[Instance]) -> None:
    """HardwareError where NVML names what cannot be: no counters can be made of it."""
    for profile in profiles:
        if not _possible(profile):
            raise HardwareError(f"{address}: NVML names an impossible MIG profile: {profile}")
    for one in instances:
        if not (1 <= one.size <= _MOST_SLICES and 0 <= one.start <= _MOST_SLICES - one.size):
            raise HardwareError(f"{address}: NVML names an impossible GPU instance: {one}")


def _possible(profile: Profile) -> bool:
    engines = (profile.copy_engines, profile.decoders, profile.encoders, profile.jpeg_engines, profile.ofa_engines)
    return (
        1 <= profile.size <= _MOST_SLICES
        and all(0 <= start <= _MOST_SLICES - profile.size for start in profile.starts)
        and len(profile.starts) > 0
        and all(0 <= one < 1 << 40 for one in (profile.multiprocessors, profile.memory, *engines))
    )


def _without_doubles(cards: list[Card], problems: Problems) -> list[Card]:
    """Leaves out GPUs whose device file is another's: devices are named after it. Who answers has the file."""
    taken: dict[int, str] = {}
    for card in sorted(cards, key=lambda one: not one.answers):
        taken.setdefault(card.gpu.minor, card.address)
    kept = [card for card in cards if taken[card.gpu.minor] == card.address]
    for card in cards:
        if taken[card.gpu.minor] != card.address:
            problems.append(f"{card.address}: /dev/nvidia{card.gpu.minor} is {taken[card.gpu.minor]}'s now")
    return kept


def _stale(card: Card) -> Card:
    return Card(card.function, card.gpu, card.profiles, card.instances, answers=False)


def _libraries(host: Host, problems: Problems, before: Found, system: System) -> str:
    """Asked for anew with every version of the kernel driver; the mounts are looked at again when they are used."""
    if before.libraries and before.system == system:
        return before.libraries
    with problems.of("libraries"):
        if found := host.libraries():
            return found
        problems.append(
            "nvidia-ctk is not installed: containers get the devices, and no libraries of the kernel driver beside "
            "what their images have (libraries=no takes this for granted)"
        )
    return ""


def _naming(address: str, error: HardwareError) -> str:
    text = str(error)
    return text if text.startswith(address) else f"{address}: {text}"
