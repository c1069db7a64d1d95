"""`NxConfig`, the configuration that IBM's driver reads and drops.

Its form is that of a GPU example. Of what it can say only time slicing at the default interval is how NX works: its
queues are shared by whoever has a window. Everything else is refused with the reason, rather than taken and dropped.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from fairlead.driver import Config


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of what stands in a configuration."""


class TimeSlicing(_Part, frozen=True):
    """How long one user has the device."""

    interval: Literal["Default", "Short", "Medium", "Long"] = "Default"


class SpacePartitioning(_Part, frozen=True):
    """Into how many parts a device is cut."""

    partition_count: int = 1


class NxSharing(_Part, frozen=True):
    """How users share a device."""

    strategy: Literal["TimeSlicing", "SpacePartitioning"]
    time_slicing_config: TimeSlicing | None = None
    space_partitioning_config: SpacePartitioning | None = None


class NxConfig(Config, frozen=True):
    """How users share NX."""

    api_version: ClassVar[str] = "device.power.ibm.com/v1alpha1"
    sharing: NxSharing | None = None

    def refused(self) -> str:
        """Why this cannot be done; empty where it is what NX does anyway."""
        if self.sharing is None:
            return ""
        if self.sharing.strategy == "SpacePartitioning" or self.sharing.space_partitioning_config is not None:
            return "NxConfig: sharing: NX cannot be partitioned: ask for a number of its credits instead"
        if self.sharing.time_slicing_config is not None and self.sharing.time_slicing_config.interval != "Default":
            return "NxConfig: sharing.timeSlicingConfig.interval: NX has no time slices to set: only Default can be had"
        return ""
