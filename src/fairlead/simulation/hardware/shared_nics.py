"""Network interfaces of a node that pods share: each gets an interface of its own on top, and a part of the bandwidth.

The model is that of macvlan on a bond: no PCI function goes to a pod, so there is no address, and the number of pods is
bounded by the bandwidth alone (KEP-5075). No driver that is published counts bandwidth so; the driver's name is of our
own domain.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import Device
from fairlead.simulation.hardware.parts import attributes, mac_of
from fairlead.simulation.hardware.power import shared
from fairlead.simulation.hardware.profile import Field, Part, Profile
from fairlead.simulation.hardware.site import Site

DRIVER: Final = "nic.fairlead.dev"
_GIGABIT: Final = 10**9


def _build(part: Part, site: Site) -> None:
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    bandwidth = shared(part.number("gigabits") * _GIGABIT, _GIGABIT, _GIGABIT)
    for node in site.nodes:
        bonds = [
            Device(
                name=f"bond{number}",
                attributes=attributes(
                    {"type": "bond", "ifName": f"bond{number}", "mac": mac_of(f"{node.name}/bond{number}"), "mtu": 9000}
                ),
                capacity={"bandwidth": bandwidth},
                allow_multiple_allocations=True,
            )
            for number in range(part.number("bonds"))
        ]
        site.publish(DRIVER, bonds, pool=node.name)


PROFILE = Profile(
    "shared-nics",
    "network interfaces in every node of the parts before, shared by bandwidth",
    (
        Field("bonds", 1, "interfaces of a node", most=16),
        Field("gigabits", 200, "bandwidth of an interface in Gb/s"),
    ),
    _build,
    extends=True,
)
