"""NVIDIA's GPUs, whole, shared and in parts, and the IMEX channels of their NVLink fabric.

Claims for NVIDIA's own driver work unchanged: names of drivers, attributes, capacities, counters, taints and kinds of
configuration are its. docs/drivers/nvidia.md says what is published, and what is not enforced.

`nvml` and `host` are the doors (declared; `live` and `programs` are the real ones), `discovery` and `devices` lead from
a machine to a pool, `changes` and `edits` prepare, `health` tells of ills, `driver` and `channels` join it to the kit.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.driver import Driver
from fairlead.drivers.nvidia.channels import ChannelDriver
from fairlead.drivers.nvidia.config import ComputeDomainChannelConfig, GpuConfig, MigDeviceConfig
from fairlead.drivers.nvidia.driver import GpuDriver
from fairlead.drivers.nvidia.host import Host
from fairlead.drivers.nvidia.nvml import Nvml
from fairlead.drivers.nvidia.options import Options, read_options
from fairlead.hardware import Machine

__all__ = [
    "ChannelDriver",
    "ComputeDomainChannelConfig",
    "GpuConfig",
    "GpuDriver",
    "Host",
    "MigDeviceConfig",
    "Nvml",
    "Options",
    "make",
    "read_options",
]


def make(argument: str, node: str, machine: Machine) -> Sequence[Driver]:
    """The drivers of a machine: GPUs, and channels unless none are wanted.

    Args:
        argument: options, as `read_options` reads them.
        node: the node's name; it changes nothing.
        machine: where the GPUs are.

    Raises:
        ValueError: an option is wrong.
    """
    options = read_options(argument)
    drivers: list[Driver] = [GpuDriver(machine, options)]
    if options.channels:
        drivers.append(ChannelDriver(machine, options))
    return drivers
