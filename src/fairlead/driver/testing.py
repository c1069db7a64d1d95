"""A node in a folder: what an author needs to test a driver without kubelet, API server, or root.

    def test_a_card(tmp_path):
        node = LocalNode(CardDriver(), tmp_path)
        claim = node.claim("card-0", config=CardConfig(mode="fast"))
        assert node.prepare(claim).env == {"CARD_0": "fast"}
        node.unprepare(claim)
        assert node.leftovers() == []

What runs is the kit's own code but for sockets and the network: checks, the state file, CDI files, recovery. Errors are
those that kubelet would get. Not for anything but tests: it waits for no disk, and runs in the thread of the test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from fairlead.driver.author import Driver, Pool, PrepareError
from fairlead.driver.cdi import DeviceNode, Edits, Mount, SpecFolder
from fairlead.driver.claims import for_author, read_claim
from fairlead.driver.config import Config
from fairlead.driver.engine import Engine
from fairlead.driver.files import Files
from fairlead.driver.health import HealthTracker, Hysteresis, tainted
from fairlead.driver.inventory import DiscoveryError, make_inventory
from fairlead.driver.metadata import MetadataFolder
from fairlead.driver.record import DeviceStatus
from fairlead.driver.slices import Publication, driver_name_faults, plan, problems_of
from fairlead.driver.steps import Steps
from fairlead.driver.store import Store
from fairlead.resource import (
    AllocationResult,
    Device,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ObjectMeta,
    OpaqueDeviceConfiguration,
    Quantity,
    ResourceClaim,
    ResourceClaimStatus,
    ResourceSlice,
    encode_hook,
)

__all__ = ["LocalNode", "PrepareError", "Prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a container gets that uses all devices of a claim."""

    cdi_ids: tuple[str, ...]
    """What kubelet hands to the container runtime."""
    edits: tuple[Edits, ...]
    """Of the devices that have any, in the order of the claim."""
    statuses: Mapping[str, DeviceStatus] = field(default_factory=dict)
    """For the claim's status, by device."""

    @property
    def env(self) -> dict[str, str]:
        """The environment; of a name that comes twice the last."""
        return {name: value for edits in self.edits for name, value in edits.env.items()}

    @property
    def device_nodes(self) -> list[DeviceNode]:
        """The device nodes."""
        return [node for edits in self.edits for node in edits.device_nodes]

    @property
    def mounts(self) -> list[Mount]:
        """The mounts, but for those of metadata files."""
        return [mount for edits in self.edits for mount in edits.mounts]


class LocalNode:
    """One driver on one node."""

    def __init__(self, driver: Driver, root: Path, name: str = "node-1") -> None:
        """Starts the driver.

        Args:
            driver: under test.
            root: an empty folder, or one that another `LocalNode` has used: then this is the driver started again.
            name: of the node.

        Raises:
            DiscoveryError: what it discovers cannot be published, or its name cannot be used.
        """
        if faults := driver_name_faults(driver.name):
            raise DiscoveryError(f"driver {driver.name!r}: {faults}")
        self.driver: Final = driver
        self.name: Final = name
        self.root: Final = root
        self.events: Final[list[tuple[str, dict[str, object]]]] = []
        """What the kit would have logged."""
        self._boots = count(1)
        self._claims = count(1)
        self._now = 0.0
        self._killed: list[object] = []
        self._tracker: Final = HealthTracker(
            driver.name, driver.unhealthy_effect, name, Hysteresis(driver.recover_after, 20 * driver.recover_after)
        )
        self._specs: Final = SpecFolder(driver.name, root / "cdi", _Unsynced())
        self._start(f"boot-{next(self._boots)}")
        self.published()
        self._engine.recover()

    def published(self, after: float = 0.0) -> dict[str, Device]:
        """The devices as they are published now, with the taints of those that are unhealthy, by name.

        Args:
            after: seconds that have gone by since the last time.

        Raises:
            DiscoveryError: they cannot be published; the text has the API server's reasons.
        """
        return {device.name: device for pool in self._look(after) for device in pool.devices}

    def slices(self, after: float = 0.0) -> list[ResourceSlice]:
        """The ResourceSlices that would be written to an empty cluster, as `published`."""
        return [write.item for write in plan(self._publication, self._look(after), [], {})]

    def claim(
        self,
        *devices: str,
        request: str = "devices",
        config: Config | Mapping[str, Any] | Iterable[Config | Mapping[str, Any]] = (),
        share: str | None = None,
        consumed: Mapping[str, str] | None = None,
        admin: bool = False,
    ) -> ResourceClaim:
        """A claim that has these devices, with an UID of its own.

        Args:
            devices: names of devices.
            request: that they were allocated for; `NAME/ALTERNATIVE` for one of a prioritized list.
            config: what the user configures; a mapping stands for opaque parameters as they are written.
            share: the share of the devices, for devices that allow several allocations.
            consumed: capacity that the share takes, by name.
            admin: whether the claim only observes.
        """
        pools = {name: pool for pool, name in self._engine.inventory.devices}
        taken = {name: Quantity.parse(text) for name, text in (consumed or {}).items()}
        results = [
            DeviceRequestAllocationResult(
                request=request,
                driver=self.driver.name,
                pool=pools.get(name, self.name),
                device=name,
                admin_access=admin or None,
                share_id=share,
                consumed_capacity=taken,
            )
            for name in devices
        ]
        given = [config] if isinstance(config, (Config, Mapping)) else list(config)
        configs = [
            DeviceAllocationConfiguration(
                source="FromClaim", opaque=OpaqueDeviceConfiguration(driver=self.driver.name, parameters=_written(one))
            )
            for one in given
        ]
        allocation = AllocationResult(devices=DeviceAllocationResult(results=results, config=configs))
        return ResourceClaim(
            api_version="resource.k8s.io/v1",
            kind="ResourceClaim",
            metadata=ObjectMeta(name=f"claim-{next(self._claims)}", namespace="default", uid=str(uuid4())),
            status=ResourceClaimStatus(allocation=allocation),
        )

    def prepare(self, claim: ResourceClaim) -> Prepared:
        """Prepares a claim, as kubelet asks for it.

        Raises:
            PrepareError: it is not possible; whatever was begun has been undone.
        """
        answers = self._engine.prepare(claim, claim.metadata.uid)
        record = self._engine.record(claim.metadata.uid)
        assert record is not None
        return Prepared(
            tuple(name for answer in answers for name in answer.cdi_ids),
            tuple(one.edits for one in record.devices if one.edits),
            {one.result.device: one.status for one in record.devices if one.status is not None},
        )

    def unprepare(self, claim: ResourceClaim) -> None:
        """Unprepares a claim, as kubelet asks for it.

        Raises:
            PrepareError: it is not possible now.
        """
        self._engine.unprepare(claim.metadata.uid)

    def kill_while_preparing(self, claim: ResourceClaim, after: int = 1) -> None:
        """Kills the driver while it prepares a claim, and starts it again: the driver's `unprepare` cleans up.

        Args:
            claim: one that is not prepared.
            after: devices that are ready by then, of a driver that yields them one by one; with 0 the driver's
                `prepare` is not even called.

        Raises:
            PrepareError: the claim would not be prepared at all.
            AssertionError: the driver's `unprepare` failed.
        """
        record = read_claim(claim, claim.metadata.uid, self.driver, self._engine.inventory)
        with self._store.locked() as ledger:
            ledger.save(ledger.prepared.having(record))
        if after:
            preparing = iter(self.driver.prepare(for_author(record, self.driver, self._engine.inventory)))
            for _ in zip(range(after), preparing, strict=False):
                pass
            self._killed.append(preparing)  # kept, for a killed process runs no `finally`
        self.restart()

    def restart(self) -> None:
        """Starts the driver's process again: everything that it does not find on the disk is forgotten.

        Raises:
            AssertionError: something could not be put right.
        """
        self._restart(self._boot)

    def reboot(self) -> None:
        """Starts the machine again: /var/run is empty, no claim is prepared any more, and `unprepare` cleans up.

        Raises:
            AssertionError: something could not be put right.
        """
        for path in self.root.glob("cdi/*"):
            path.unlink()
        self._restart(f"boot-{next(self._boots)}")

    def leftovers(self) -> list[str]:
        """What is left of claims: `prepared CLAIM` and the names of CDI and metadata files; none when all is undone."""
        held = [f"prepared {record.uid}" for record in self._engine.records()]
        files = [path for folder in ("cdi", "plugin/dra-device-metadata") for path in self.root.glob(f"{folder}/*")]
        return sorted(held + [str(path.relative_to(self.root)) for path in files])

    @property
    def _publication(self) -> Publication:
        tells_health = type(self.driver).health is not Driver.health
        return Publication(self.driver.name, self.name, "a-node", tells_health)

    def _look(self, after: float) -> list[Pool]:
        found = make_inventory(self.driver.discover(), self.name)
        if problems := problems_of(self._publication, found.pools):
            raise DiscoveryError("; ".join(map(str, problems)))
        self._engine.inventory = found
        reports = list(self.driver.health())
        if unknown := [one.device for one in reports if (one.pool or self.name, one.device) not in found.devices]:
            raise DiscoveryError(f"health: device {unknown[0]}: was not discovered")
        self._now += after
        self._tracker.report(reports, self._now)
        return tainted(found.pools, self._tracker.conditions(found))

    def _start(self, boot: str) -> None:
        self._boot = boot
        self._store = Store(self.root / "plugin", boot, _Unsynced(), patience=1.0)
        metadata = MetadataFolder(self.driver.name, self.root / "plugin", _Unsynced())
        self._engine = Engine(self.driver, self._store, Steps(self.driver, self._specs, metadata, self._log), self._log)

    def _restart(self, boot: str) -> None:
        inventory = self._engine.inventory
        self._start(boot)
        self._engine.inventory = inventory
        problems = self._engine.recover()
        assert not problems, "; ".join(problems)

    def _log(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


class _Unsynced(Files):
    """Does not wait for the disk: no test loses power."""

    def sync(self, handle: int) -> None:
        """Returns at once."""

    def sync_folder(self, path: Path) -> None:
        """Returns at once."""


def _written(config: Config | Mapping[str, Any]) -> dict[str, Any]:
    """Opaque parameters as a user writes them."""
    if isinstance(config, Mapping):
        return dict(config)
    fields: dict[str, Any] = msgspec.to_builtins(config, enc_hook=encode_hook)
    return {"apiVersion": config.api_version, "kind": config.kind(), **fields}
