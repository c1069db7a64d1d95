"""IBM Power nodes with the NX accelerators of their processors, as shared capacity.

An NX unit is opened by windows; each costs one credit, and the kernel says how many there are for each class
(`nr_total_credits` of the default and the quality-of-service class; about 20 a processor unit). Devices are those of
our driver `power` on a partition of a Power10 with two chips (docs/drivers/power.md), which has the name of IBM's:
that one gives one device a node without its capacity, here the credits are what claims share.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    Device,
    DeviceCapacity,
    Quantity,
)
from fairlead.simulation.hardware.layout import LEAVES_PER_SPINE, PER_LEAF, PER_RACK, node_name, place_labels
from fairlead.simulation.hardware.parts import attributes
from fairlead.simulation.hardware.profile import ZONE, Field, Part, Profile, name_field
from fairlead.simulation.hardware.site import Site

DRIVER: Final = "nx.device.power.ibm.com"
AMOUNTS: Final = {"cpu": "120", "memory": "960Gi", "ephemeral-storage": "4Ti"}


def shared(most: int, default: int = 1, step: int = 1) -> DeviceCapacity:
    """A capacity of which each share takes `default`, or what it asks for in steps."""
    amount = Quantity.from_int
    allowed = CapacityRequestPolicyRange(min=amount(step), max=amount(most), step=amount(step))
    policy = CapacityRequestPolicy(default=amount(default), valid_range=allowed)
    return DeviceCapacity(value=amount(most), request_policy=policy)


PARTITION: Final = {
    "type": "nx-gzip",
    "platform": "pSeries",
    "processor": "POWER10",
    "numaNodes": "0-1",
    "chips": "0-1",
    "minCompressLength": 0,
    "minDecompressLength": 0,
    "maxRequestLength": 1 << 20,
    "nx842": True,
    "nxCrypto": False,
}
"""What all devices of a partition say."""


def _nx(index: int, service: str, credits_: int) -> Device:
    return Device(
        name="cryptonxgzip" if service == "default" else f"cryptonxgzip-{service}",
        attributes=attributes({"index": index, "creditClass": service, **PARTITION}),
        capacity={"credits": shared(credits_)},
        allow_multiple_allocations=True,
    )


def _build(part: Part, site: Site) -> None:
    count = part.number("nodes")
    site.need_class(DRIVER, f"device.driver == '{DRIVER}'")
    for number in range(count):
        node = node_name(part, number, count)
        rack, leaf = number // part.number("per-rack"), number // part.number("per-leaf")
        site.add_node(node, "ppc64le", AMOUNTS, place_labels(part, number, rack, leaf, "power10"))
        devices = [_nx(0, "default", part.number("credits")), _nx(1, "qos", part.number("qos-credits"))]
        site.publish(DRIVER, devices, pool=node)


PROFILE = Profile(
    "power",
    "IBM Power nodes with NX compression accelerators, shared by credits",
    (
        Field("nodes", 4, "number of nodes"),
        name_field("power"),
        ZONE,
        PER_RACK,
        PER_LEAF,
        LEAVES_PER_SPINE,
        Field("credits", 300, "credits of the default class of a node"),
        Field("qos-credits", 100, "credits of the quality-of-service class of a node"),
    ),
    _build,
)
