"""The side that manages the e-switch of a DPU: makes functions ready and takes that back, by the kernel's state alone.

In DPU mode it is the DPU itself, where the agent uses it; in NIC mode it is the host, where the driver does. Every step
looks first whether it is done, so both `ensure` and `undo` may be cut off anywhere and repeated. `check` changes
nothing: it says what could not be done.

A representor that is a port of another bridge belongs to somebody else and is not taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from fairlead.drivers.bluefield.devlink import Devlink, DevlinkPort
from fairlead.drivers.bluefield.functions import Function, Granted, Wanted
from fairlead.drivers.bluefield.network import Bridge, Network
from fairlead.hardware import HardwareError

REFUSED: Final = "refused"
"""The code of an error that stays as long as the claim and the DPU's configuration do."""
_APPEAR: Final = 5.0
"""Seconds within which the representor of a new sub-function must have appeared."""
_POLL: Final = 0.05


class EswitchSide:
    """One DPU's e-switch, or several of one machine."""

    def __init__(
        self,
        devlink: Devlink,
        network: Network,
        controller: int = -1,
        only: Callable[[str], bool] | None = None,
        bridges: Collection[str] = (),
    ) -> None:
        """Asks nothing yet.

        Args:
            devlink: of this machine.
            network: the same.
            controller: whose functions; -1 for those of the first external host where there is one, else of this
                machine.
            only: which devices count, by name; None for all.
            bridges: which may be used, by name; all where none are named.
        """
        self._devlink: Final = devlink
        self._network: Final = network
        self._controller: Final = controller
        self._only: Final = only or (lambda device: True)
        self._bridges: Final = frozenset(bridges)

    def ports(self) -> list[DevlinkPort]:
        """The ports of the e-switches. HardwareError where they cannot be read."""
        return [one for one in self._devlink.ports() if self._only(one.device)]

    def bridges(self) -> list[Bridge]:
        """The bridges that functions may be connected to. HardwareError where they cannot be read."""
        return [one for one in self._network.bridges() if not self._bridges or one.name in self._bridges]

    def controller(self, ports: Iterable[DevlinkPort]) -> int:
        """Whose functions these are: 0 for this machine's own."""
        if self._controller >= 0:
            return self._controller
        return min((one.controller for one in ports if one.controller > 0), default=0)

    def representors(self) -> dict[Function, str]:
        """The functions that are there, with their interfaces on this side. HardwareError as `ports`."""
        ports = self.ports()
        controller = self.controller(ports)
        pairs = ((_function(one), one) for one in ports if one.controller == controller)
        return {function: one.netdev for function, one in pairs if function is not None}

    def check(self, wanted: Iterable[Wanted]) -> None:
        """Whether this can be done; nothing is changed.

        Raises:
            HardwareError: it cannot; code `refused` where waiting does not help.
        """
        ports = self.ports()
        bridges = {one.name: one for one in self.bridges()}
        for one in wanted:
            self._bridge(one, bridges)
            port = self._port(one.function, ports)
            if port is not None and port.netdev:
                self._free(port.netdev, one)
            elif one.function.kind != "sf":
                raise HardwareError(f"{one.function}: has no representor here", REFUSED)
            else:
                self._device(one.function.pf, ports)

    def ensure(self, wanted: Wanted) -> Granted:
        """Makes one function ready.

        Raises:
            HardwareError: it is not, and what was done for it may stay, until `undo`.
        """
        ports = self.ports()
        port = self._port(wanted.function, ports)
        if port is None:
            if wanted.function.kind != "sf":
                raise HardwareError(f"{wanted.function}: has no representor here", REFUSED)
            device = self._device(wanted.function.pf, ports)
            controller = self.controller(ports)
            port = self._devlink.add_sf(device, wanted.function.pf, wanted.function.number, controller)
        if wanted.mac and port.mac.lower() != wanted.mac.lower():
            self._devlink.set_mac(port.handle, wanted.mac)
        if wanted.function.kind == "sf" and port.state != "active":
            self._devlink.set_state(port.handle, "active")
        if wanted.tx_max:
            self._devlink.set_rate(port.handle, wanted.tx_max)
        if not wanted.bridge:
            return Granted(wanted.function, port.netdev)
        representor = port.netdev or self._appeared(wanted.function)
        bridge = self._bridge(wanted, {one.name: one for one in self.bridges()})
        self._free(representor, wanted)
        if bridge is not None:
            self._network.attach(representor, bridge, wanted.vlan)
        self._network.set_up(representor, True)
        return Granted(wanted.function, representor, wanted.bridge)

    def undo(self, wanted: Wanted) -> None:
        """Takes one function back, whatever was done for it.

        Raises:
            HardwareError: it could not be; to be repeated.
        """
        port = self._port(wanted.function, self.ports())
        if port is None:
            return
        if wanted.bridge and port.netdev and self._network.bridge_of(port.netdev) == wanted.bridge:
            # Down first: whether it is in the bridge is what says that it has to be done.
            self._network.set_up(port.netdev, False)
            self._network.detach(port.netdev, wanted.bridge)
        if wanted.function.kind == "sf":
            if port.state == "active":
                self._devlink.set_state(port.handle, "inactive")
            self._devlink.delete_port(port.handle)
        elif wanted.tx_max:
            self._devlink.set_rate(port.handle, 0)

    def _appeared(self, function: Function) -> str:
        until = time.monotonic() + _APPEAR
        while True:
            port = self._port(function, self.ports())
            if port is not None and port.netdev and self._network.exists(port.netdev):
                return port.netdev
            if time.monotonic() > until:
                raise HardwareError(f"{function}: its representor has not appeared within {_APPEAR:g} s", "timeout")
            time.sleep(_POLL)

    def _port(self, function: Function, ports: list[DevlinkPort]) -> DevlinkPort | None:
        controller = self.controller(ports)
        return next((one for one in ports if one.controller == controller and _function(one) == function), None)

    def _device(self, pf: int, ports: list[DevlinkPort]) -> str:
        """The device on this side whose e-switch has a physical function."""
        for one in ports:
            if one.pf == pf or (one.flavour == "physical" and one.physical == pf):
                return one.device
        raise HardwareError(f"pf{pf}: no e-switch of this side has it", REFUSED)

    def _bridge(self, wanted: Wanted, bridges: dict[str, Bridge]) -> Bridge | None:
        if not wanted.bridge:
            return None
        bridge = bridges.get(wanted.bridge)
        if bridge is None:
            known = ", ".join(bridges) or "none"
            raise HardwareError(f"{wanted.function}: bridge {wanted.bridge}: is not there; there are: {known}", REFUSED)
        if wanted.vlan and not bridge.vlans:
            raise HardwareError(f"{wanted.function}: bridge {wanted.bridge}: does not filter VLANs", REFUSED)
        return bridge

    def _free(self, representor: str, wanted: Wanted) -> None:
        """Without a bridge of ours a representor stays where its administrator put it."""
        now = self._network.bridge_of(representor) if wanted.bridge else ""
        if now not in ("", wanted.bridge):
            raise HardwareError(
                f"{wanted.function}: its representor {representor} is a port of bridge {now}, not of ours", REFUSED
            )


def _function(port: DevlinkPort) -> Function | None:
    if port.flavour == "pcipf":
        return Function("pf", port.pf)
    if port.flavour == "pcivf":
        return Function("vf", port.pf, port.vf)
    return Function("sf", port.pf, port.sf) if port.flavour == "pcisf" else None
