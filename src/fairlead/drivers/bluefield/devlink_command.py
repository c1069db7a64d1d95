"""The live door to devlink: the program `devlink` of iproute2, whose JSON is read here.

The library pyroute2 reads devlink, too, but makes no ports; with the program reading and changing are one way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from fairlead.drivers.bluefield.commands import run, run_json
from fairlead.drivers.bluefield.devlink import Devlink, DevlinkInfo, DevlinkPort
from fairlead.hardware import HardwareError

_NET_ADMIN: Final = 12
"""The number of the capability (linux/capability.h)."""


class _Versions(msgspec.Struct):
    fixed: dict[str, str] = {}
    running: dict[str, str] = {}


class _Info(msgspec.Struct):
    driver: str = ""
    serial_number: str = ""
    versions: _Versions = msgspec.field(default_factory=_Versions)


class _Mode(msgspec.Struct):
    mode: str = ""


class _Function(msgspec.Struct):
    hw_addr: str = ""
    state: str = ""
    opstate: str = ""
    ipsec_packet: str = ""
    ipsec_crypto: str = ""


class _Port(msgspec.Struct):
    flavour: str = ""
    netdev: str = ""
    controller: int = 0
    port: int = -1
    pfnum: int = -1
    vfnum: int = -1
    sfnum: int = -1
    function: _Function | None = None


class _Reporter(msgspec.Struct):
    reporter: str
    state: str = ""


class _Devices(msgspec.Struct):
    dev: dict[str, _Mode] = {}


class _Infos(msgspec.Struct):
    info: dict[str, _Info] = {}


class _Ports(msgspec.Struct):
    port: dict[str, _Port] = {}


class _Reporters(msgspec.Struct):
    health: dict[str, list[_Reporter]] = {}


class DevlinkCommand(Devlink):
    """devlink of this machine."""

    def __init__(self, program: str = "devlink") -> None:
        """Args:
        program: name or path.
        """
        self._program: Final = program

    def devices(self) -> list[str]:
        """devlink dev show"""
        return sorted(run_json([self._program, "-j", "dev", "show"], _Devices).dev)

    def info(self, device: str) -> DevlinkInfo:
        """devlink dev info DEV"""
        found = run_json([self._program, "-j", "dev", "info", device], _Infos).info.get(device, _Info())
        running = found.versions.running
        firmware = running.get("fw.version") or running.get("fw") or ""
        return DevlinkInfo(found.driver, found.serial_number, firmware, found.versions.fixed.get("fw.psid", ""))

    def eswitch(self, device: str) -> str:
        """devlink dev eswitch show DEV

        The kernel answers EPERM to a process without CAP_NET_ADMIN, and to one whose device's e-switch is managed
        elsewhere; so the first has a code of its own.
        """
        try:
            found = run_json([self._program, "-j", "dev", "eswitch", "show", device], _Devices).dev.get(device, _Mode())
        except HardwareError as error:
            if error.code == "EPERM" and not _may_administer():
                raise HardwareError(f"{error}; and this process has no capability NET_ADMIN", "no-capability") from None
            raise
        if not found.mode:
            raise HardwareError(f"{device}: devlink did not say which mode its e-switch is in")
        return found.mode

    def ports(self) -> list[DevlinkPort]:
        """devlink port show"""
        found = run_json([self._program, "-j", "port", "show"], _Ports).port
        return [_port(handle, port) for handle, port in found.items()]

    def health(self, device: str) -> dict[str, str]:
        """devlink health show DEV"""
        found = run_json([self._program, "-j", "health", "show", device], _Reporters).health
        return {one.reporter: one.state for one in found.get(device, [])}

    def add_sf(self, device: str, pf: int, sf: int, controller: int) -> DevlinkPort:
        """devlink port add DEV flavour pcisf pfnum PF sfnum SF [controller N]"""
        numbers = ["flavour", "pcisf", "pfnum", str(pf), "sfnum", str(sf)]
        where = ["controller", str(controller)] if controller else []
        found = run_json([self._program, "-j", "port", "add", device, *numbers, *where], _Ports).port
        for handle, port in found.items():
            if (port.flavour, port.pfnum, port.sfnum) == ("pcisf", pf, sf):
                return _port(handle, port)
        raise HardwareError(f"{device}: devlink did not say which port it made for pf{pf}sf{sf}")

    def delete_port(self, handle: str) -> None:
        """devlink port del PORT"""
        run([self._program, "port", "del", handle])

    def set_mac(self, handle: str, mac: str) -> None:
        """devlink port function set PORT hw_addr MAC"""
        run([self._program, "port", "function", "set", handle, "hw_addr", mac])

    def set_state(self, handle: str, state: str) -> None:
        """devlink port function set PORT state STATE"""
        run([self._program, "port", "function", "set", handle, "state", state])

    def set_rate(self, handle: str, tx_max: int) -> None:
        """devlink port function rate set PORT tx_max N"""
        run([self._program, "port", "function", "rate", "set", handle, "tx_max", f"{tx_max}mbit"])


def _may_administer() -> bool:
    """Whether this process has CAP_NET_ADMIN; so too where that cannot be told."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    except (OSError, StopIteration, ValueError):
        return True
    return bool(held >> _NET_ADMIN & 1)


def _port(handle: str, port: _Port) -> DevlinkPort:
    function = port.function or _Function()
    return DevlinkPort(
        handle,
        port.flavour,
        port.netdev,
        port.controller,
        port.port,
        port.pfnum,
        port.vfnum,
        port.sfnum,
        function.hw_addr,
        function.state,
        function.opstate,
        bool(function.ipsec_packet or function.ipsec_crypto),
    )
