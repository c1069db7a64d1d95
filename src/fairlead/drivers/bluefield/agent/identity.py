"""What the agent says of its DPU: versions, the e-switch, functions with representors, offloads, services.

What cannot be read is left empty and told in no other way: the host shows what is known, and a DPU that does not know
its BFB is none the worse.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import fairlead
from fairlead.drivers.bluefield.agent.core import AgentCore
from fairlead.drivers.bluefield.agents import PROTOCOL, PortReport, Report
from fairlead.drivers.bluefield.devlink import Devlink
from fairlead.drivers.bluefield.side import EswitchSide
from fairlead.drivers.bluefield.vpd import read_vpd
from fairlead.hardware import Files, HardwareError

_BFB: Final = ("/etc/mlnx-release", "/etc/bf-release")
"""Where NVIDIA's images for DPUs write what they are."""
_BOOT: Final = "/proc/sys/kernel/random/boot_id"


def make_report(files: Files, devlink: Devlink, side: EswitchSide, core: AgentCore) -> Report:
    """How the DPU is now.

    Raises:
        HardwareError: its e-switch cannot be read.
        StateError: the agent's state cannot be used.
    """
    ports = side.ports()
    devices = list(dict.fromkeys(one.device for one in ports))
    bridges = side.bridges()
    offloads = [
        name
        for name, there in (("ovs", any(one.ovs for one in bridges)), ("ipsec", any(one.ipsec for one in ports)))
        if there
    ]
    firmware, eswitch, serial = "", "", ""
    for device in devices[:1]:
        with suppress(HardwareError):
            info = devlink.info(device)
            firmware, serial = info.firmware, info.serial
        with suppress(HardwareError):
            eswitch = devlink.eswitch(device)
        address = device.removeprefix("pci/")
        with suppress(OSError, ValueError):
            serial = read_vpd(files.read(files.real(f"/sys/bus/pci/devices/{address}/vpd"))).serial or serial
    return Report(
        protocol=PROTOCOL,
        version=fairlead.__version__,
        boot_id=_text(files, _BOOT),
        serial=serial,
        bfb=next(filter(None, (_text(files, path) for path in _BFB)), ""),
        firmware=firmware,
        eswitch=eswitch,
        ports=tuple(PortReport(function, name) for function, name in side.representors().items()),
        bridges=tuple(one.name for one in bridges),
        offloads=tuple(offloads),
        services=core.offers,
        claims=tuple(core.claims()),
    )


def _text(files: Files, path: str) -> str:
    try:
        return files.text(path).partition("\n")[0].strip()
    except OSError:
        return ""
