# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""What is known of a claim that is being prepared, is prepared, or is being unprepared: the value that the store keeps.

Two states. `started`: side effects may exist, whole or in part, and must be undone before anything else happens with
the claim. `completed`: everything is in place. Nothing in between is ever used.

All fields but `uid` and `state` have defaults, so that a record of an older version can be read; a newer version adds
fields with defaults only. `devices` holds everything that unpreparing needs, for the claim itself may be gone by then.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fairlead.driver.cdi import Edits
from fairlead.resource import Condition, DeviceAttribute, DeviceRequestAllocationResult, NetworkDeviceData
from fairlead.resource.base import Model

State = Literal["started", "completed"]


class DeviceStatus(Model, frozen=True):
    """What a driver says of an allocated device in the claim's status; `data` is any JSON up to 10 KiB."""

    conditions: list[Condition] = []
    data: Any = None
    network_data: NetworkDeviceData | None = None


class RecordedDevice(Model, frozen=True):
    """One allocated device of a claim, and what preparing it gave."""

    result: DeviceRequestAllocationResult
    configs: list[Any] = []
    """Opaque parameters that apply, as they were written, in the order in which later ones win."""
    cdi_name: str = ""
    edits: Edits | None = None
    status: DeviceStatus | None = None
    attributes: dict[str, DeviceAttribute] | None = None
    """What containers may read of the device (KEP-5304); None for nothing."""


class Record(Model, frozen=True):
    """A claim."""

    uid: str
    state: State
    namespace: str = ""
    name: str = ""
    pod_claim_name: str = ""
    """Name of the claim in its pod, for claims that were made from a template."""
    devices: list[RecordedDevice] = []

    @property
    def results(self) -> list[DeviceRequestAllocationResult]:
        """The allocated devices that are ours."""
        return [device.result for device in self.devices]


def completed(record: Record, devices: list[RecordedDevice]) -> Record:
    """The record once everything is in place."""
    return msgspec.structs.replace(record, state="completed", devices=devices)


def started(record: Record) -> Record:
    """The record as soon as anything of it may be undone."""
    return msgspec.structs.replace(record, state="started")
