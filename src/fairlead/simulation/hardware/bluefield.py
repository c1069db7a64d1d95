"""A BlueField-3 DPU in every node: its ports as devices whose functions and bandwidth are shared.

No driver for DPUs exists that could be copied; the model follows the hardware: two ports, each with up to 126 virtual
functions (one a share) and 200 Gb/s. The driver's name is of our own domain. The PCI address is one that no other
profile uses.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import Device
from fairlead.simulation.hardware.parts import BUS, NUMA, ROOT, attributes, uuid_of
from fairlead.simulation.hardware.power import shared
from fairlead.simulation.hardware.profile import Field, Part, Profile
from fairlead.simulation.hardware.site import ARCH, Site

DRIVER: Final = "dpu.fairlead.dev"
_GIGABIT: Final = 10**9


def _port(node: str, port: int, on_pc: bool, functions: int, gigabits: int) -> Device:
    bus, root = (f"0000:29:00.{port}", "pci0000:27") if on_pc else (f"0006:01:00.{port}", "pci0006:00")
    values = {
        "type": "port",
        "model": "BlueField-3",
        "deviceID": "a2dc",
        "serial": uuid_of(f"{node}/dpu")[:13],
        "port": port,
        "eswitchMode": "switchdev",
        BUS: bus,
        ROOT: root,
        NUMA: 0,
    }
    return Device(
        name=f"port-{port}",
        attributes=attributes(values),
        capacity={"functions": shared(functions), "bandwidth": shared(gigabits * _GIGABIT, _GIGABIT, _GIGABIT)},
        allow_multiple_allocations=True,
    )


def _build(part: Part, site: Site) -> None:
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    for node in site.nodes:
        on_pc = node.metadata.labels[ARCH] == "amd64"
        ports = [_port(node.name, port, on_pc, part.number("functions"), part.number("gigabits")) for port in range(2)]
        site.publish(DRIVER, ports, pool=node.name)


PROFILE = Profile(
    "bluefield",
    "a BlueField-3 DPU in every node of the parts before: two ports with shared functions and bandwidth",
    (
        Field("functions", 126, "virtual functions of a port"),
        Field("gigabits", 200, "bandwidth of a port in Gb/s"),
    ),
    _build,
    extends=True,
)
