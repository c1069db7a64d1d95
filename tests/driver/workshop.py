"""A driver whose hardware is a folder, and a node's worth of kit around it, for the tests of this folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from fairlead.driver.author import Claim, Driver, Pool, PreparedDevice, PrepareError
from fairlead.driver.cdi import DeviceNode, Edits, SpecFolder
from fairlead.driver.config import Config
from fairlead.driver.engine import Engine
from fairlead.driver.files import Files
from fairlead.driver.inventory import make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.record import DeviceStatus
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.resource import (
    AllocationResult,
    Counter,
    CounterSet,
    Device,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceAttribute,
    DeviceCounterConsumption,
    DeviceRequestAllocationResult,
    NetworkDeviceData,
    ObjectMeta,
    OpaqueDeviceConfiguration,
    Quantity,
    ResourceClaim,
    ResourceClaimStatus,
)

DRIVER = "gpu.example.com"
NODE = "node-1"
BOOT = "boot-1"


class GpuConfig(Config, frozen=True):
    """How a device is shared."""

    api_version: ClassVar[str] = "gpu.example.com/v1"
    sharing: Literal["none", "time"] = "none"
    slice_ms: int = 0


class ClockConfig(Config, frozen=True):
    """Another kind."""

    api_version: ClassVar[str] = "gpu.example.com/v1"
    mhz: int


class Workshop(Driver):
    """Devices gpu-0 to gpu-3, partitions half-0a and half-0b of gpu-0; a prepared one is a file with the claim's UID.

    Preparing takes two steps a device, so that a crash can fall between them.
    """

    name = DRIVER
    configs = (GpuConfig, ClockConfig)

    def __init__(self, hardware: Path, files: Files | None = None) -> None:
        self.hardware = hardware
        self.files = files or Files()
        self.seen: list[Claim] = []
        self.fail: str = ""
        self.stuck: str = ""

    def discover(self) -> Pool:
        whole = {"memory": Counter(Quantity.parse("80Gi"))}
        half = {"memory": Counter(Quantity.parse("40Gi"))}
        attributes = {"model": DeviceAttribute(string="H100")}
        gpus = [
            Device(
                name=f"gpu-{i}",
                attributes=attributes,
                consumes_counters=[DeviceCounterConsumption("gpu-0-counters", whole)] if i == 0 else [],
            )
            for i in range(4)
        ]
        halves = [
            Device(name=f"half-0{x}", consumes_counters=[DeviceCounterConsumption("gpu-0-counters", half)])
            for x in ("a", "b", "c")
        ]
        return Pool(
            [*gpus, *halves],
            [CounterSet(name="gpu-0-counters", counters=whole)],
            parts={one.name: "gpu-0" for one in halves},
        )

    def prepare(self, claim: Claim) -> Iterable[PreparedDevice]:
        self.seen.append(claim)
        done = []
        for device in claim.devices:
            if device.name == self.fail:
                raise PrepareError(f"{device.name} does not answer")
            if not device.admin_access:
                path = self._path(device.name, device.share_id)
                half = path.with_name(f"{path.name}.half")
                held = path.read_text() if path.exists() else claim.uid
                if held != claim.uid:
                    raise AssertionError(f"{device.name} is prepared for {held} and {claim.uid} at the same time")
                handle = self.files.create(half, 0o600)
                self.files.write(handle, claim.uid.encode())
                os.close(handle)
                self.files.rename(half, path)
            done.append(
                device.prepared(
                    Edits(env={f"GPU_{device.request}": device.name}, device_nodes=[DeviceNode(path="/dev/null")]),
                    DeviceStatus(network_data=NetworkDeviceData(interface_name=f"if-{device.name}")),
                    {"model": DeviceAttribute(string="H100")},
                )
            )
        return done

    def unprepare(self, claim: Claim) -> None:
        for device in claim.devices:
            if device.name == self.stuck:
                raise PrepareError(f"{device.name} is busy")
            if not device.admin_access:
                path = self._path(device.name, device.share_id)
                self.files.remove(path.with_name(f"{path.name}.half"))
                if path.exists() and path.read_text() == claim.uid:
                    self.files.remove(path)

    def _path(self, device: str, share: str | None) -> Path:
        return self.hardware / (f"{device}@{share}" if share else device)


class Bench:
    """The folders of one node, which outlive the processes that use them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plugin = root / "plugin"
        self.cdi = root / "cdi"
        self.hardware = root / "hardware"
        self.hardware.mkdir(parents=True, exist_ok=True)
        self.log: list[tuple[str, dict[str, object]]] = []

    def engine(
        self, boot: str = BOOT, files: Files | None = None, kind: type[Workshop] | None = None
    ) -> tuple[Engine, Workshop]:
        """A newly started driver."""
        files = files or Unsynced()
        driver = (kind or Workshop)(self.hardware, files)
        engine = Engine(
            driver,
            Store(self.plugin, boot, files, patience=0.2),
            Steps(driver, SpecFolder(DRIVER, self.cdi, files), MetadataFolder(DRIVER, self.plugin, files), self._told),
            self._told,
        )
        if kind is None:
            engine.inventory = make_inventory(driver.discover(), NODE)
        return engine, driver

    def _told(self, event: str, **fields: object) -> None:
        self.log.append((event, fields))

    def specs(self) -> list[str]:
        return sorted(path.name for path in self.cdi.iterdir()) if self.cdi.is_dir() else []

    def held(self) -> dict[str, str]:
        """What the hardware says: device to claim, with traces of preparing half-way."""
        return {path.name: path.read_text() for path in sorted(self.hardware.iterdir())}

    def metadata(self) -> list[str]:
        root = self.plugin / "dra-device-metadata"
        return sorted(path.name for path in root.iterdir()) if root.is_dir() else []

    def states(self, boot: str = BOOT) -> dict[str, str]:
        """What the store says: claim to state."""
        return {record.uid: record.state for record in Store(self.plugin, boot).read().records()}


class Unsynced(Files):
    """Does not wait for the disk, which matters for a loss of power only: tests of thousands of starts need that."""

    def sync(self, handle: int) -> None:
        """Returns at once."""

    def sync_folder(self, path: Path) -> None:
        """Returns at once."""


class Interrupting(Files):
    """Ends the process with SIGKILL before its n-th step, or half-way through it; or fails the step with an errno."""

    def __init__(self, at: int, error: int = 0) -> None:
        self.at = at
        self.error = error
        self.steps = 0

    def _step(self, *path: Path) -> bool:
        self.steps += 1
        if self.steps != self.at:
            return False
        if self.error:
            raise OSError(self.error, os.strerror(self.error), *map(str, path[:1]))
        return True

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        if self._step(path):
            _die()
        super().make_folder(path, mode)

    def create(self, path: Path, mode: int) -> int:
        if self._step(path):
            _die()
        return super().create(path, mode)

    def write(self, handle: int, data: bytes) -> None:
        if self._step():
            os.write(handle, data[: len(data) // 2])
            _die()
        super().write(handle, data)

    def sync(self, handle: int) -> None:
        if self._step():
            _die()

    def rename(self, source: Path, target: Path) -> None:
        if self._step(target):
            _die()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        if self._step(path):
            _die()

    def remove(self, path: Path) -> None:
        if self._step(path):
            _die()
        super().remove(path)

    def remove_folder(self, path: Path) -> None:
        if self._step(path):
            _die()
        super().remove_folder(path)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def result(device: str, request: str = "gpu", **more: object) -> DeviceRequestAllocationResult:
    """A result of our driver on this node."""
    fields: dict[str, Any] = {"request": request, "driver": DRIVER, "pool": NODE, "device": device}
    return DeviceRequestAllocationResult(**fields | more)


def config(source: str, *requests: str, driver: str = DRIVER, **parameters: object) -> DeviceAllocationConfiguration:
    """Configuration of kind GpuConfig unless the parameters say another."""
    head = {"apiVersion": "gpu.example.com/v1", "kind": "GpuConfig"}
    return DeviceAllocationConfiguration(
        source=source,
        requests=list(requests),
        opaque=OpaqueDeviceConfiguration(driver=driver, parameters=head | parameters),
    )


def claim(
    uid: str,
    *results: DeviceRequestAllocationResult,
    config: Iterable[DeviceAllocationConfiguration] = (),
    annotations: dict[str, str] | None = None,
) -> ResourceClaim:
    """An allocated claim of the name `claim-UID`."""
    return ResourceClaim(
        api_version="resource.k8s.io/v1",
        kind="ResourceClaim",
        metadata=ObjectMeta(name=f"claim-{uid}", namespace="ml", uid=uid, annotations=annotations or {}),
        status=ResourceClaimStatus(
            allocation=AllocationResult(devices=DeviceAllocationResult(results=list(results), config=list(config)))
        ),
    )
