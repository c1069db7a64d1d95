"""Where nodes stand: from the number of a node to its rack, its leaf switches, its spine, as labels.

The labels are those that Topograph (`network.topology.nvidia.com/`) and Kueue's documentation
(`cloud.provider.com/topology-`) use: a block is the group of nodes below one set of leaf switches.
"""

from __future__ import annotations

from fairlead.simulation.hardware.profile import Field, Part
from fairlead.simulation.hardware.site import RACK

PER_RACK = Field("per-rack", 4, "nodes in a rack")
PER_LEAF = Field("per-leaf", 32, "nodes below one set of leaf switches (label block)")
LEAVES_PER_SPINE = Field("leaves-per-spine", 8, "leaves below one set of spine switches (label spine)")
_NETWORK = "network.topology.nvidia.com"


def place_labels(part: Part, number: int, rack: int, leaf: int, kind: str) -> dict[str, str]:
    """The labels of a node.

    Args:
        part: with the fields `name`, `zone` and `leaves-per-spine`.
        number: of the node in its part, not used in names of anything wider.
        rack: number of its rack in the part.
        leaf: number of its leaf in the part.
        kind: value of the label for the instance type.
    """
    name, zone = part.text("name"), part.text("zone")
    spine = leaf // part.number("leaves-per-spine")
    block = f"{zone}-{name}-block-{leaf + 1}"
    return {
        "node.kubernetes.io/instance-type": kind,
        "topology.kubernetes.io/region": zone.rpartition("-")[0] or zone,
        "topology.kubernetes.io/zone": zone,
        "cloud.provider.com/topology-block": block,
        RACK: f"{zone}-{name}-rack-{rack + 1}",
        f"{_NETWORK}/datacenter": zone,
        f"{_NETWORK}/spine": f"{zone}-{name}-spine-{spine + 1}",
        f"{_NETWORK}/block": block,
    }


def node_name(part: Part, number: int, count: int) -> str:
    """The name of a node: numbers have equal width, so names sort as nodes stand."""
    return f"{part.text('name')}-{number + 1:0{max(2, len(str(count)))}d}"
