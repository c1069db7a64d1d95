"""Pools of accelerators on a fabric: they belong to no node, every node of their rack reaches them.

As composable systems publish them: a pool with a node selector for one rack, devices that bind to the node once they
are allocated, and a condition that tells when the fabric has attached one (KEP-5007). The driver's name is of our own
domain.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import Device
from fairlead.simulation.hardware.parts import attributes, capacity, uuid_of
from fairlead.simulation.hardware.profile import Field, Part, Profile
from fairlead.simulation.hardware.site import RACK, Site

DRIVER: Final = "fabric.fairlead.dev"


def _build(part: Part, site: Site) -> None:
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    racks = dict.fromkeys(node.metadata.labels[RACK] for node in site.nodes)
    for rack in racks:
        devices = [
            Device(
                name=f"fabric-gpu-{index}",
                attributes=attributes(
                    {
                        "type": "gpu",
                        "productName": "NVIDIA H100 PCIe",
                        "uuid": f"GPU-{uuid_of(f'{rack}/fabric/{index}')}",
                        "fabric": rack,
                    }
                ),
                capacity=capacity(memory="81559Mi"),
                binds_to_node=True,
                binding_conditions=["FabricDeviceReady"],
                binding_failure_conditions=["FabricDeviceReschedule", "FabricDeviceFailed"],
            )
            for index in range(part.number("devices"))
        ]
        site.publish(DRIVER, devices, pool=f"{rack}-fabric", only=(RACK, rack))


PROFILE = Profile(
    "fabric",
    "a pool of GPUs on the fabric of every rack of the parts before, attached to a node when allocated",
    (Field("devices", 8, "GPUs in the pool of a rack", most=128),),
    _build,
    extends=True,
)
