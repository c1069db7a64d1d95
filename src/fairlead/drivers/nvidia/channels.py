"""The driver `compute-domain.nvidia.com`: IMEX channels, by which GPUs of different nodes share memory over NVLink.

Programs on several nodes of an NVLink domain map each other's GPU memory when they hold the same channel, so the pods
of a job take the channel of the same number on each of their nodes; the pods of a job on one node share a claim. The
kernel driver has the channels, as many as it was loaded with; a container gets the device file of its channel.

The service `nvidia-imex` has to run on the nodes, configured by whoever runs them. Domains of a job's own, with a
daemon for each (NVIDIA's ComputeDomain), are not made here: the channel alone keeps jobs apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fairlead.driver import Claim, Driver, Edits, Pool, PreparedDevice, PrepareError
from fairlead.drivers.nvidia.config import ComputeDomainChannelConfig
from fairlead.drivers.nvidia.edits import major_of, numbered
from fairlead.drivers.nvidia.options import Options
from fairlead.hardware import Files, Machine, Problems
from fairlead.resource import Device, DeviceAttribute

_NAME: Final = "nvidia-caps-imex-channels"
_PARAMETERS: Final = "/proc/driver/nvidia/params"
_COUNT: Final = 2048
"""How many channels the kernel driver makes unless it is told otherwise (ImexChannelCount)."""


class ChannelDriver(Driver):
    """IMEX channels of a node."""

    name = "compute-domain.nvidia.com"
    configs = (ComputeDomainChannelConfig,)

    def __init__(self, machine: Machine, options: Options) -> None:
        """Args:
        machine: where the channels are.
        options: how many of them are published.
        """
        self._files: Final = machine.files
        self._published: Final = options.channels

    def discover(self) -> Pool:
        """The first channels of the kernel driver; none where it has none."""
        problems = Problems()
        count = 0
        with problems.of("IMEX channels"):
            if self._files.exists("/proc/devices") and f" {_NAME}" in self._files.text("/proc/devices"):
                count = channel_count(self._files)
        return Pool([_device(number) for number in range(min(count, self._published))], problems=problems)

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """The device file of the channel, or of all."""
        major = major_of(self._files, _NAME)
        for device in claim.devices:
            config = device.config(ComputeDomainChannelConfig)
            numbers = [_number(device.name)]
            if config is not None and config.allocation_mode == "All":
                numbers = list(range(channel_count(self._files)))
            nodes = [numbered(f"/dev/{_NAME}/channel{number}", major, number) for number in numbers]
            yield device.prepared(Edits(device_nodes=nodes))

    def unprepare(self, claim: Claim) -> None:
        """Preparing changed nothing."""


def channel_count(files: Files) -> int:
    """How many channels the kernel driver has.

    Raises:
        OSError: its parameters cannot be read.
    """
    if not files.exists(_PARAMETERS):
        return _COUNT
    for line in files.text(_PARAMETERS).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "ImexChannelCount" and value.strip().isdecimal():
            return int(value)
    return _COUNT


def _device(number: int) -> Device:
    attributes = {"type": DeviceAttribute(string="channel"), "id": DeviceAttribute(int_=number)}
    return Device(name=f"channel-{number}", attributes=attributes)


def _number(name: str) -> int:
    text = name.removeprefix("channel-")
    if not text.isdecimal():
        raise PrepareError(f"{name}: is no IMEX channel")
    return int(text)
