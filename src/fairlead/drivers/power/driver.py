"""The driver: NX on the kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import ClassVar, Final

from fairlead.driver import (
    Claim,
    DeviceNode,
    Driver,
    Edits,
    Health,
    Pool,
    PreparedDevice,
    PrepareError,
    look_for_changes,
)
from fairlead.drivers.power.accelerator import NODE, accelerator, credits_of, signature
from fairlead.drivers.power.config import NxConfig
from fairlead.drivers.power.devices import CAPACITY, class_of, device_of, devices
from fairlead.hardware import Machine, Problems

_ANYBODY: Final = 0o666
"""The claim is the permission: containers do not run as root, and the node's owner is."""


class PowerDriver(Driver):
    """NX of one Power machine."""

    name = "nx.device.power.ibm.com"
    configs = (NxConfig,)
    plugin_resources = (r"power-dev-plugin/.*nx-gzip.*",)
    poll: ClassVar[float] = 5.0
    """Seconds between two looks at the totals of credits, which change with the partition (DLPAR)."""

    def __init__(self, machine: Machine, reserve: int = 0, assumed: int | None = None) -> None:
        """Args:
        machine: where NX is.
        reserve: credits of the default class that are kept for programs without a claim.
        assumed: credits where the kernel counts none; None for what is known of the hardware.
        """
        self._files: Final = machine.files
        self._reserve = reserve
        self._assumed = assumed

    def discover(self) -> Pool:
        """A device for each class of credits, or each chip."""
        problems = Problems()
        found = accelerator(self._files, problems)
        made = [] if found is None else devices(found, self._reserve, self._assumed, problems)
        return Pool(made, problems=problems)

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """The device node, and how many credits of each class the claim has: nothing on the machine is changed."""
        for device in claim.devices:
            config = device.config(NxConfig)
            if config is not None and (reason := config.refused()):
                raise PrepareError(reason)
        if not self._files.exists(NODE):
            raise PrepareError(f"{NODE} is not there any more: its kernel module was unloaded or failed")
        edits = Edits(
            env=_environment(claim),
            device_nodes=[DeviceNode(path=NODE, host_path=NODE, permissions="rw", file_mode=_ANYBODY)],
        )
        for device in claim.devices:
            yield device.prepared(edits, attributes=device.device.attributes if device.device else None)

    def unprepare(self, claim: Claim) -> None:
        """Preparing changed nothing."""

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Tells when totals change, NX or processors come or go."""
        look_for_changes(lambda: signature(self._files), changed, stop, self.poll)

    def health(self) -> Iterator[Health]:
        """Credits that were lost: the kernel has closed windows of programs that run."""
        try:
            found = credits_of(self._files, Problems())
        except OSError:
            return  # discovery tells what is wrong
        for kind, known in found.items():
            if known is not None and known.used > known.total:
                lost = known.used - known.total
                yield Health(device_of(kind), False, f"{lost} open windows lost their credits: {known.total} are left")


def make(argument: str, node: str, machine: Machine) -> list[Driver]:
    """The driver of `[reserve=NUMBER][,credits=NUMBER]`.

    Raises:
        ValueError: it is of another form.
    """
    options = {key: value for key, _, value in (one.partition("=") for one in argument.split(",") if one)}
    if options.keys() - {"reserve", "credits"} or not all(value.isdecimal() for value in options.values()):
        raise ValueError(f"must be [reserve=NUMBER][,credits=NUMBER], is {argument!r}")
    assumed = int(options["credits"]) if "credits" in options else None
    return [PowerDriver(machine, int(options.get("reserve", 0)), assumed)]


def _environment(claim: Claim) -> dict[str, str]:
    amounts: dict[str, int] = {}
    chips = set()
    for device in claim.devices:
        if (amount := device.consumed_capacity.get(CAPACITY)) is not None:
            kind = class_of(device.name)
            amounts[kind] = amounts.get(kind, 0) + amount.value()
        if device.device is not None and "vasID" in device.device.attributes:
            chips.add(device.device.attributes["vasID"].int_)
    made = {"NX_DEVICE_CLAIM": "added"} | {f"NX_CREDITS_{kind.upper()}": str(n) for kind, n in amounts.items()}
    if len(chips) == 1:
        # A program that names no VAS gets that of the chip on which it happens to run.
        made["NX_GZIP_DEV_NUM"] = str(chips.pop())
    return made
