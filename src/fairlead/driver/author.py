"""What the author of a driver writes, and the values that pass between the author's code and the kit.

An author derives from `Driver` and writes `discover`, `prepare` and `unprepare`; `watch` and `health` where the
hardware can tell. The kit calls these from one thread a driver, never two at the same time (`watch` and `health` have
threads of their own), so they may block. They know nothing of sockets, files, retries or the API server.

What an author must keep: `unprepare` undoes whatever `prepare` may have done for a claim, also when `prepare` was cut
off half-way, when it never ran, and when the machine was started anew since; it may be called more than once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import ClassVar, Literal, TypeVar

from fairlead.driver.cdi import Edits
from fairlead.driver.config import Config
from fairlead.driver.record import DeviceStatus
from fairlead.resource import CounterSet, Device, DeviceAttribute, DeviceTaint, NodeSelector, Quantity

_Config = TypeVar("_Config", bound=Config)
Effect = Literal["None", "NoSchedule", "NoExecute"]


class PrepareError(Exception):
    """A claim cannot be prepared or unprepared; the text tells the user why. Kubelet will ask again."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Devices that are published together, in the order in which they are to be preferred."""

    devices: Sequence[Device]
    counters: Sequence[CounterSet] = ()
    """What partitions of the same hardware share."""
    name: str = ""
    """Unique in the cluster for the driver; empty stands for the node's name."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Name of a partition to the name of the whole that it is a part of."""
    problems: Sequence[str] = ()
    """What could not be read and is left out, a line each with the name of the hardware; the kit tells it."""
    reach: NodeSelector | Literal["all nodes"] | None = None
    """The nodes that reach the devices; None for this node alone. A pool that others reach needs a name. It is
    published by the one process that has `--shared-pools`; drivers on nodes discover it, too, and prepare devices."""


@dataclass(frozen=True, slots=True)
class ClaimDevice:
    """One device of a claim."""

    request: str
    """The request's name, without the alternative of a prioritized list."""
    alternative: str
    """The chosen alternative of a prioritized list; empty where the request is none."""
    pool: str
    name: str
    device: Device | None
    """The device as it was discovered last; None where it has gone since it was prepared."""
    share_id: str | None = None
    """What tells this share of a device from others; None for a device that is not shared."""
    admin_access: bool = False
    """Whether the claim observes a device that others may hold."""
    consumed_capacity: Mapping[str, Quantity] = field(default_factory=dict)
    configs: tuple[Config, ...] = ()
    """What the class and the claim configure, one of a kind; the last one was written last."""

    def config(self, kind: type[_Config]) -> _Config | None:
        """The configuration of that kind; None where there is none."""
        return next((one for one in self.configs if isinstance(one, kind)), None)

    def prepared(
        self,
        edits: Edits | None = None,
        status: DeviceStatus | None = None,
        attributes: dict[str, DeviceAttribute] | None = None,
    ) -> PreparedDevice:
        """What `Driver.prepare` returns for this device.

        Args:
            edits: what the container runtime does; none where there is nothing to do.
            status: for the claim's status.
            attributes: what containers may read in the device's metadata file (KEP-5304); None for no file.
        """
        return PreparedDevice(self, edits or Edits(), status, attributes)


@dataclass(frozen=True, slots=True)
class PreparedDevice:
    """A device that is ready for containers."""

    device: ClaimDevice
    edits: Edits
    status: DeviceStatus | None = None
    attributes: dict[str, DeviceAttribute] | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim with the devices of it that are the driver's; those of other drivers are not shown."""

    uid: str
    namespace: str
    name: str
    devices: tuple[ClaimDevice, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the health of a device now."""

    device: str
    healthy: bool | None
    """None where it cannot be told."""
    message: str = ""
    pool: str = ""
    """Empty stands for the node's name."""
    taint: DeviceTaint | None = None
    """What keeps pods away while the device is not healthy; None for the driver's own `unhealthy_taint`."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a device with binding conditions can be used by the claim that it is allocated to (KEP-5007)."""

    device: ClaimDevice
    ready: bool
    """True makes all binding conditions of the device true, and the pod is bound."""
    message: str = ""
    failed: bool = False
    """Whether waiting is useless: makes the failure conditions true, and the scheduler looks for another device."""


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that holds devices of the driver, seen from the process that has `--shared-pools`; those of its devices
    that have `admin_access` it only observes."""

    claim: Claim
    node: str
    """The node that the allocation is bound to; empty where it is bound to none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of that node; none where it has gone."""
    since: str = ""
    """What tells this allocation of the claim from an earlier one."""


class Driver(ABC):
    """A driver for one kind of hardware on one node."""

    name: str
    """The driver's name in ResourceSlices and DeviceClasses: a DNS subdomain of at most 63 bytes."""
    configs: ClassVar[Sequence[type[Config]]] = ()
    """The kinds of opaque configuration that users may write."""
    plugin_resources: ClassVar[Sequence[str]] = ()
    """Regular expressions over the names of resources under which device plugins offer the same hardware."""
    known_from_slices: ClassVar[bool] = False
    """Whether nodes take the pools that many nodes reach from their ResourceSlices, and do not call `discover`: for
    hardware that is managed elsewhere, so that no node needs a way to its manager."""
    gives_way_to: Sequence[str] = ()
    """Names of drivers that may find the same hardware: what they publish of this node, this one does not."""
    unhealthy_effect: Effect = "NoSchedule"
    """The effect of the taint `DRIVER/unhealthy`: NoExecute also ends the pods that use the device."""
    recover_after: float = 30.0
    """Seconds of good reports before a device counts as healthy again; longer for one that flaps."""

    @abstractmethod
    def discover(self) -> Pool | Iterable[Pool]:
        """The devices that are there now. An error keeps what was published before."""

    @abstractmethod
    def prepare(self, claim: Claim) -> Iterable[PreparedDevice]:
        """Makes the devices of a claim ready, and says what containers that use them need.

        Returns:
            one `ClaimDevice.prepared(...)` for each of `claim.devices`.

        Raises:
            PrepareError: it is not possible; `unprepare` is called next.
        """

    @abstractmethod
    def unprepare(self, claim: Claim) -> None:
        """Undoes `prepare`, whole or in part; nothing happens where nothing is left.

        Raises:
            PrepareError: it is not possible now; the devices stay with the claim until it is.
        """

    def allocated(self, claim: Claim) -> Iterable[Readiness]:
        """Whether the devices of a claim that was allocated, and whose pod is not bound yet, are ready to be prepared.

        Called for claims with devices that have `binding_conditions`, again and again until all of them are ready or
        one has failed. It must change nothing: the claim may be given back without a word. Devices that are not
        mentioned are asked about again.

        Raises:
            PrepareError: it cannot be told now.
        """
        return ()

    def settle(self, held: Sequence[Held]) -> float:
        """Brings shared hardware in line with all claims that hold devices of the driver, whatever went before.

        Called in the process that has `--shared-pools` only, with claims as they were just read of the API server: at a
        start, whenever a claim of the driver changes, and when the time is over. What no claim holds any more was
        unprepared on its node before, for that is when kubelet lets a claim be given back.

        Returns:
            seconds after which to call again at the latest.
        """
        return 60.0

    def keeps(self, pool: str, devices: Sequence[Device]) -> bool:
        """Whether slices of a pool that `discover` does not have now stay as they are: it is not known what became of
        the pool. Asked in the process that has `--shared-pools` and where the last one left slices.

        Args:
            pool: its name.
            devices: in one of its slices.
        """
        return False

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Calls `changed` whenever `discover` has news, until `stop` is set. Without it the kit looks now and then.

        The kit has discovered before it watches: whoever compares looks calls `changed` after the first one, as
        `look_for_changes` does.
        """
        stop.wait()

    def health(self) -> Iterable[Health]:
        """The health of devices; those that are not mentioned are healthy."""
        return ()
