"""What users may write about sharing a GPU: NVIDIA's kinds of configuration, read strictly.

Source: API resource.nvidia.com/v1beta1 of kubernetes-sigs/dra-driver-nvidia-gpu (field names, values, limits).
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from fairlead.driver import Config
from fairlead.resource import Quantity

_VERSION: Final = "resource.nvidia.com/v1beta1"
_MIB: Final = 1 << 20


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what stands inside of a kind."""


class TimeSlicingConfig(_Part, frozen=True):
    """How long a process has the GPU before the next one."""

    interval: Literal["Default", "Short", "Medium", "Long"] = "Default"


class MpsConfig(_Part, frozen=True):
    """Limits of each client of an MPS daemon."""

    default_active_thread_percentage: int | None = None
    default_pinned_device_memory_limit: Quantity | None = None
    default_per_device_pinned_memory_limit: dict[str, Quantity] = {}
    """By index among the devices of the daemon, or by UUID."""
    multi_user: bool | None = None

    def __post_init__(self) -> None:
        percentage = self.default_active_thread_percentage
        if percentage is not None and not 0 <= percentage <= 100:
            raise ValueError(f"sharing.mpsConfig.defaultActiveThreadPercentage: {percentage} is not from 0 to 100")
        limits = {"defaultPinnedDeviceMemoryLimit": self.default_pinned_device_memory_limit}
        for key, limit in self.default_per_device_pinned_memory_limit.items():
            limits[f"defaultPerDevicePinnedMemoryLimit[{key}]"] = limit
        for name, one in limits.items():
            if one is not None and one.value() < _MIB:
                raise ValueError(f"sharing.mpsConfig.{name}: {one} is less than 1Mi")

    def limits(self, uuids: list[str]) -> dict[str, str]:
        """The limit of each device that has one, in MiB as MPS reads it: `10240M`.

        Raises:
            ValueError: a limit is for a device that is not there.
        """
        found: dict[str, Quantity] = {}
        if self.default_pinned_device_memory_limit is not None:
            found = dict.fromkeys(uuids, self.default_pinned_device_memory_limit)
        for key, limit in self.default_per_device_pinned_memory_limit.items():
            if key not in uuids and not (key.isdecimal() and int(key) < len(uuids)):
                raise ValueError(
                    f"sharing.mpsConfig.defaultPerDevicePinnedMemoryLimit: {key!r} is neither the UUID nor the index "
                    f"of one of the {len(uuids)} devices"
                )
            found[key if key in uuids else uuids[int(key)]] = limit
        return {uuid: f"{limit.value() // _MIB}M" for uuid, limit in found.items()}


class GpuSharing(_Part, frozen=True):
    """How the containers of a claim share a GPU."""

    strategy: Literal["TimeSlicing", "MPS"]
    time_slicing_config: TimeSlicingConfig | None = None
    mps_config: MpsConfig | None = None

    def __post_init__(self) -> None:
        if self.strategy == "MPS" and self.time_slicing_config is not None:
            raise ValueError("sharing.timeSlicingConfig: must not be set with strategy MPS")
        if self.strategy == "TimeSlicing" and self.mps_config is not None:
            raise ValueError("sharing.mpsConfig: must not be set with strategy TimeSlicing")


class MigDeviceSharing(_Part, frozen=True):
    """How the containers of a claim share an instance; instances have no time slice of their own."""

    strategy: Literal["TimeSlicing", "MPS"]
    mps_config: MpsConfig | None = None

    def __post_init__(self) -> None:
        if self.strategy == "TimeSlicing" and self.mps_config is not None:
            raise ValueError("sharing.mpsConfig: must not be set with strategy TimeSlicing")


class GpuConfig(Config, frozen=True):
    """For a whole GPU."""

    api_version: ClassVar[str] = _VERSION
    sharing: GpuSharing | None = None


class MigDeviceConfig(Config, frozen=True):
    """For an instance."""

    api_version: ClassVar[str] = _VERSION
    sharing: MigDeviceSharing | None = None


class ComputeDomainChannelConfig(Config, frozen=True):
    """For an IMEX channel; `domainID` is the UID of the ComputeDomain that NVIDIA's controller wrote the claim for."""

    api_version: ClassVar[str] = _VERSION
    domain_id: str = msgspec.field(default="", name="domainID")
    allocation_mode: Literal["Single", "All"] = "Single"
