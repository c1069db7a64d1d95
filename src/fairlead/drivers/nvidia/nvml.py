"""What the driver asks of NVML, as plain values: the one door to NVIDIA's management library.

GPUs are named by PCI address, in the form of /sys (`0000:1b:00.0`), since NVML's indices move when a GPU is lost. What
a GPU does not have is None or empty; what cannot be had raises HardwareError, whose code is NVML's number: `15` is a
lost GPU. The live door is in `live`; discovery asks the four abstract methods, and only these are recorded.

Source: NVML API reference (R580), the structs of nvidia-ml-py 13.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

import msgspec

from fairlead.hardware import Door, HardwareError

LOST: Final = frozenset({"6", "15", "16", "28"})
"""Codes for a GPU that is gone: not found, lost, needs a reset, no GPU."""
NOT_FOUND: Final = "6"
NOT_RECORDED: Final = "not-recorded"


class System(msgspec.Struct, frozen=True):
    """The kernel driver and what it can run."""

    driver: str
    """`580.126.20`."""
    cuda: str
    """The newest CUDA that it runs: `13.0`."""


class Fabric(msgspec.Struct, frozen=True):
    """How a GPU takes part in an NVLink fabric."""

    state: str
    """`completed`, `in-progress`, `not-started`."""
    status: int = 0
    """NVML's code for what came of joining; 0 is success."""
    cluster: str = ""
    """UUID of the fabric; empty where it does not leave the machine."""
    clique: int = 0
    """Which GPUs of the fabric can reach each other."""
    healthy: bool = True


class Gpu(msgspec.Struct, frozen=True):
    """A whole GPU."""

    uuid: str
    minor: int
    """Of its device file, `/dev/nvidiaN`."""
    name: str
    brand: str
    architecture: str
    capability: str
    """Of CUDA: `9.0`."""
    memory: int | None = None
    """Bytes; None where the GPU has none of its own."""
    addressing: str = ""
    """`HMM`, `ATS` or `None`; empty where the platform has no such thing."""
    mig: bool | None = None
    """Whether MIG mode is on; None where the GPU has no MIG."""
    mig_pending: bool | None = None
    """What MIG mode will be after a reset."""
    module: int | None = None
    """Its number on the baseboard, from 1."""
    nvlinks: int = 0
    """How many of its NVLinks are up."""
    fabric: Fabric | None = None

    @property
    def generation(self) -> int:
        """The first number of its capability: 9 for Hopper; 0 where it has none."""
        first = self.capability.partition(".")[0]
        return int(first) if first.isdecimal() and len(first) < 4 else 0


class Profile(msgspec.Struct, frozen=True):
    """A size that MIG can cut a GPU into."""

    number: int
    """NVML's id of the profile, as `nvidia-smi mig -lgip` shows it."""
    name: str
    """`1g.10gb`, `1g.10gb+me`."""
    slices: int
    """Compute slices."""
    multiprocessors: int
    copy_engines: int
    decoders: int
    encoders: int
    jpeg_engines: int
    ofa_engines: int
    memory: int
    """MiB."""
    size: int
    """Memory slices."""
    starts: tuple[int, ...]
    """The memory slices at which an instance can begin."""


class Instance(msgspec.Struct, frozen=True):
    """A GPU instance that is there, with its one compute instance."""

    number: int
    """Id of the GPU instance, which is given again once it is destroyed."""
    profile: int
    """Id of its profile."""
    start: int
    size: int
    compute: int | None = None
    """Id of the compute instance; None where there is none, or several."""
    computes: int = 0
    """How many compute instances it has."""
    uuid: str = ""
    """Of the MIG device that the two make; empty without one compute instance."""


class Condition(msgspec.Struct, frozen=True):
    """What NVML says of a GPU's health now."""

    recovery: str | None = None
    """What has to be done to the GPU: `none`, or `reset`, `reboot`...; None where the kernel driver does not say."""
    remap_failed: bool = False
    """Rows of memory could not be replaced: the GPU has to be exchanged."""
    remap_pending: bool = False
    """Rows of memory (before Ampere: pages) are replaced at the next reset."""
    fabric: Fabric | None = None


class Event(msgspec.Struct, frozen=True):
    """Something that a GPU reported."""

    address: str
    xid: int
    """NVIDIA's number of the error."""
    instance: int | None = None
    """The GPU instance that it concerns; None for the whole GPU."""


class Nvml(Door):
    """NVIDIA's management library."""

    door: ClassVar[str] = "nvml"

    @abstractmethod
    def system(self) -> System:
        """The kernel driver; HardwareError where there is none, or no library."""

    @abstractmethod
    def gpu(self, address: str) -> Gpu:
        """A GPU."""

    @abstractmethod
    def profiles(self, address: str) -> list[Profile]:
        """What MIG can cut a GPU into: instances whose compute instance takes all of them."""

    @abstractmethod
    def instances(self, address: str) -> list[Instance]:
        """The GPU instances that are there; none where MIG mode is off."""

    def condition(self, address: str) -> Condition:
        """A GPU's health; a recording has none."""
        raise HardwareError(f"{address}: a recording has no health", NOT_RECORDED)

    def wait(self, addresses: list[str], seconds: float) -> list[Event] | None:
        """What GPUs report within that time.

        Args:
            addresses: of the GPUs to listen to.
            seconds: to wait at most.

        Returns:
            the events; None, at once, where nobody can be listened to.
        """
        return None

    def set_mig(self, address: str, on: bool) -> None:
        """Turns MIG mode on or off; HardwareError where that needs a reset, or the GPU is in use."""
        raise _unchangeable(address)

    def create(self, address: str, profile: int, start: int) -> Instance:
        """Makes a GPU instance at a place, and a compute instance that takes all of it."""
        raise _unchangeable(address)

    def destroy(self, address: str, instance: int) -> None:
        """Destroys a GPU instance with its compute instances; nothing happens where it is not there."""
        raise _unchangeable(address)

    def set_exclusive(self, address: str, exclusive: bool) -> None:
        """Whether one process at a time may use the GPU: what MPS needs; otherwise the default compute mode."""
        raise _unchangeable(address)


def _unchangeable(address: str) -> HardwareError:
    return HardwareError(f"{address}: is known from a recording and cannot be changed", NOT_RECORDED)
