"""The network driver: finds, publishes and prepares network hardware of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import ClassVar, Final

import msgspec

from fairlead.driver import Claim, Config, Driver, Health, Pool, PreparedDevice, PrepareError
from fairlead.drivers.network.configs import NetworkConfig, VfConfig
from fairlead.drivers.network.discovery import Network, Port, discover
from fairlead.drivers.network.door import Netlink
from fairlead.drivers.network.functions import make_functions
from fairlead.drivers.network.keep import Keep
from fairlead.drivers.network.live import LiveNetlink
from fairlead.drivers.network.lldp import Neighbour, read_neighbours
from fairlead.drivers.network.names import Names
from fairlead.drivers.network.objects import Objects, ObjectsError, read_objects
from fairlead.drivers.network.preparing import Preparer
from fairlead.drivers.network.publish import Published, Surroundings, called, publish
from fairlead.drivers.network.settings import Settings, read_settings
from fairlead.hardware import HardwareError, Machine

_BOOT: Final = "/proc/sys/kernel/random/boot_id"
_SETTLE: Final = 0.5
"""Seconds to wait after an event: a card that comes makes many."""


class NetworkDriver(Driver):
    """One driver for the network hardware of a node."""

    configs: ClassVar[Sequence[type[Config]]] = (NetworkConfig, VfConfig)

    def __init__(self, settings: Settings, node: str, machine: Machine, netlink: Netlink | None = None) -> None:
        """Args:
        settings: how it works.
        node: the node's name, for policies that select nodes.
        machine: where the hardware is.
        netlink: the kernel's; None for that of the machine.

        Raises:
            OSError: a file that the settings name cannot be read.
        """
        self.name = settings.name
        self.gives_way_to = settings.others
        self._settings: Final = settings
        self._node: Final = node
        self._machine: Final = machine
        self._netlink: Final = netlink if netlink is not None else machine.door(Netlink, LiveNetlink)  # type: ignore[type-abstract]
        self._names: Final = Names(settings.pciids)
        boot = ""
        with suppress(OSError):
            boot = machine.files.text(_BOOT)
        self._keep: Final = Keep(settings.state, boot)
        self._preparer: Final = Preparer(settings, machine.files, self._netlink, self._keep)
        self._speeds: dict[str, int] = {}
        self._failed: list[str] = []
        self._published: Published | None = None

    def discover(self) -> Pool:
        """What is there now. Devices of claims are shown as they were before."""
        published, _, _ = self._look()
        return published.pool

    def prepare(self, claim: Claim) -> Iterator[PreparedDevice]:
        """One device after the other; names in the pod must differ."""
        try:
            published, network, objects = self._look(strict=True)
        except HardwareError as error:
            raise PrepareError(str(error)) from None
        names: dict[str, str] = {}
        for device in claim.devices:
            made = self._preparer.prepare(claim.uid, claim.namespace, device, published, network, objects, names)
            name = made.status.network_data.interface_name if made.status and made.status.network_data else ""
            if name and name in names:
                raise PrepareError(f"{device.name}: the pod would have two interfaces {name}, also for {names[name]}")
            names[name] = device.name
            yield made

    def unprepare(self, claim: Claim) -> None:
        """All devices, also where one of them cannot be undone now."""
        failed: list[str] = []
        for device in claim.devices:
            if not device.admin_access:
                try:
                    self._preparer.undo(claim.uid, device)
                except PrepareError as error:
                    failed.append(str(error))
        if failed:
            raise PrepareError("; ".join(failed))

    def watch(self, changed: Callable[[], None], stop: Event) -> None:
        """Makes the virtual functions that are asked for, then tells of what comes and goes."""
        self._failed = list(self._make_functions())
        if self._settings.vfs:
            changed()
        while not stop.is_set():
            try:
                if self._netlink.wait(stop, self._settings.poll):
                    stop.wait(_SETTLE)
            except HardwareError:
                stop.wait(self._settings.poll)
            # Without an event as well: one may have come between two waits, and what has no interface makes none.
            changed()

    def health(self) -> Iterable[Health]:
        """A port without a cable, or whose switch is down, is not healthy; its virtual functions are not, either."""
        published = self._published
        for name, port in (published.ports if published is not None else {}).items():
            interface = port.parent or (port.link.name if port.link is not None else "")
            if interface and self._carrier(interface) == 0:
                yield Health(name, False, f"{interface} has no carrier")
            elif port.rdma is not None and self._rdma_down(port):
                yield Health(name, False, f"the port of {port.rdma.name} is down")

    def _look(self, strict: bool = False) -> tuple[Published, Network, Objects]:
        """Finds everything anew.

        Args:
            strict: whether files that cannot be used are an error, or lines in the pool's problems.
        """
        problems: list[str] = list(self._failed)
        objects, neighbours = Objects({}, (), ()), dict[str, Neighbour]()
        try:
            objects = read_objects(self._settings.objects)
        except ObjectsError as error:
            if strict or self._settings.profile == "sriov":
                # Without its policies more would be published than was meant.
                raise HardwareError(str(error)) from None
            problems.append(str(error))
        try:
            neighbours = read_neighbours(self._settings.lldp) if self._settings.lldp is not None else {}
        except (OSError, ValueError) as error:
            problems.append(f"lldp: {error}")
        network = self._with_kept(discover(self._machine, self._netlink))
        network = replace(network, problems=(*problems, *network.problems))
        around = Surroundings(self._settings, self._names, neighbours, objects, self._node)
        self._published = publish(network, around)
        return self._published, network, objects

    def _with_kept(self, network: Network) -> Network:
        """What pods have is shown as it was: its interfaces are in their namespaces, and its names may be others."""
        kept = {one.port.name: one.port for one in self._keep.all() if not one.child}
        ports: dict[str, Port] = {}
        for port in network.ports:
            if port.link is not None and port.link.alias.startswith("dra:") and port.name not in kept and not port.pci:
                continue  # an interface that was made for a claim and is about to move
            found = kept.get(port.name, port)
            if found.mbits:
                self._speeds[port.name] = found.mbits
            elif port.name in self._speeds:
                found = msgspec.structs.replace(found, mbits=self._speeds[port.name])
            ports[port.name] = found
        for name, port in kept.items():
            if port.pci is None:
                ports.setdefault(name, port)
        for name, port in list(ports.items()):
            above = ports.get(port.pci.physical) if port.pci is not None else None
            if above is not None and above.link is not None and not port.parent:
                ports[name] = msgspec.structs.replace(port, parent=above.link.name)
        return replace(network, ports=tuple(ports.values()))

    def _make_functions(self) -> Iterator[str]:
        """Makes virtual functions; a line for each card that does not have them."""
        if not self._settings.vfs:
            return
        try:
            network = discover(self._machine, self._netlink)
        except HardwareError as error:
            yield f"vfs: {error}"
            return
        for name, number in self._settings.vfs.items():
            port = next((one for one in network.ports if one.pci is not None and name in called(one)), None)
            if port is None:
                yield f"vfs={name}: no interface and no function is called that"
                continue
            try:
                make_functions(self._machine.files, port.name, number)
            except HardwareError as error:
                yield f"vfs={name}: {error}"

    def _carrier(self, interface: str) -> int | None:
        """None where it is switched off, is in a pod, or does not say."""
        try:
            return self._machine.files.number(f"/sys/class/net/{interface}/carrier")
        except OSError:
            return None

    def _rdma_down(self, port: Port) -> bool:
        assert port.rdma is not None
        place = f"/sys/class/infiniband/{port.rdma.name}/ports"
        try:
            states = [self._machine.files.text(f"{place}/{one}/state") for one in self._machine.files.listed(place)]
        except OSError:
            return False
        # An interface that is switched off has its RDMA port down as well: only InfiniBand says something by that.
        return port.infiniband and bool(states) and all(one.endswith("DOWN") for one in states)


def make(argument: str, node: str, machine: Machine) -> Sequence[Driver]:
    """The driver of `network=ARGUMENT`. ValueError or OSError for what is wrong with it."""
    return [NetworkDriver(read_settings(argument), node, machine)]
