"""The live door to devlink: the program `devlink` of iproute2, whose JSON is read here.

The library pyroute2 reads devlink, too, but makes no ports; with the program reading and changing are one way.
"""

from __future__ import annotations

from typing import Any, Final

from fairlead.drivers.bluefield.commands import run, run_json
from fairlead.drivers.bluefield.devlink import Devlink, DevlinkInfo, DevlinkPort
from fairlead.hardware import HardwareError


class DevlinkCommand(Devlink):
    """devlink of this machine."""

    def __init__(self, program: str = "devlink") -> None:
        """Args:
        program: name or path.
        """
        self._program: Final = program

    def devices(self) -> list[str]:
        """devlink dev show"""
        return sorted(_object(run_json([self._program, "-j", "dev", "show"]), "dev"))

    def info(self, device: str) -> DevlinkInfo:
        """devlink dev info DEV"""
        found = _object(run_json([self._program, "-j", "dev", "info", device]), "info").get(device, {})
        versions = found.get("versions", {})
        running = versions.get("running", {})
        return DevlinkInfo(
            str(found.get("driver", "")),
            str(found.get("serial_number", "")),
            str(running.get("fw.version") or running.get("fw") or ""),
            str(versions.get("fixed", {}).get("fw.psid", "")),
        )

    def eswitch(self, device: str) -> str:
        """devlink dev eswitch show DEV"""
        found = _object(run_json([self._program, "-j", "dev", "eswitch", "show", device]), "dev")
        return str(found.get(device, {}).get("mode", ""))

    def ports(self) -> list[DevlinkPort]:
        """devlink port show"""
        found = _object(run_json([self._program, "-j", "port", "show"]), "port")
        return [_port(handle, port) for handle, port in found.items()]

    def health(self, device: str) -> dict[str, str]:
        """devlink health show DEV"""
        found = _object(run_json([self._program, "-j", "health", "show", device]), "health")
        return {str(one.get("reporter", "")): str(one.get("state", "")) for one in found.get(device, [])}

    def add_sf(self, device: str, pf: int, sf: int, controller: int) -> DevlinkPort:
        """devlink port add DEV flavour pcisf pfnum PF sfnum SF [controller N]"""
        numbers = ["flavour", "pcisf", "pfnum", str(pf), "sfnum", str(sf)]
        where = ["controller", str(controller)] if controller else []
        found = _object(run_json([self._program, "-j", "port", "add", device, *numbers, *where]), "port")
        for handle, port in found.items():
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


def _object(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key, {}) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise HardwareError(f"devlink printed something else than an object with {key!r}")
    return found


def _port(handle: str, port: Any) -> DevlinkPort:
    if not isinstance(port, dict):
        raise HardwareError(f"devlink: port {handle}: is no object")
    function = port.get("function") or {}
    try:
        return DevlinkPort(
            handle,
            str(port.get("flavour", "")),
            str(port.get("netdev", "")),
            int(port.get("controller", 0)),
            int(port.get("port", -1)),
            int(port.get("pfnum", -1)),
            int(port.get("vfnum", -1)),
            int(port.get("sfnum", -1)),
            str(function.get("hw_addr", "")),
            str(function.get("state", "")),
            str(function.get("opstate", "")),
            "ipsec_packet" in function or "ipsec_crypto" in function,
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise HardwareError(f"devlink: port {handle}: cannot be understood: {error}") from None
