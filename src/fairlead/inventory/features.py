"""Feature gates: which parts of Dynamic Resource Allocation a cluster has switched on.

A gate switches behaviour inside the one allocator; it never selects another. Names are those that Kubernetes'
allocator and the conformance cases use; the gates of a cluster carry the prefix `DRA` before most of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Features:
    """The gates that change what an allocation is; the defaults are everything that Kubernetes 1.37 has.

    That includes its alpha features: they concern only devices and requests that use their fields. Where such a gate
    is off in a cluster, the API server drops the fields, so nothing is lost by understanding them.
    """

    admin_access: bool = True
    compatibility_groups: bool = True
    """KEP-5963: devices draw on one counter set together only with a group in common."""
    consumable_capacity: bool = True
    derived_attributes: bool = True
    """KEP-6080: attributes that a request computes for constraints."""
    device_binding_and_status: bool = True
    device_taints: bool = True
    fractional_capacity_range: bool = True
    """KEP-5075: ranges of capacity in thousandths."""
    list_type_attributes: bool = True
    node_allocatable_resources: bool = True
    """KEP-5517: devices that stand for, or take some of, the node's CPU and memory; placement counts those."""
    optional_node_operations: bool = True
    """KEP-5945: devices that need no work on the node, where the node understands that."""
    partitionable_devices: bool = True
    prioritized_list: bool = True

    @classmethod
    def named(cls, names: Iterable[str]) -> Features:
        """Exactly the named gates on, for example `["AdminAccess"]`.

        Raises:
            ValueError: a name is not one of ours.
        """
        wanted = {_ALIASES.get(name, name) for name in names}
        known = {_gate(field.name): field.name for field in fields(cls)}
        if unknown := sorted(wanted - known.keys()):
            raise ValueError(f"unknown feature {unknown[0]!r}: known are {', '.join(sorted(known))}")
        return cls(**{attribute: gate in wanted for gate, attribute in known.items()})


_ALIASES = {"DeviceCompatibilityGroups": "CompatibilityGroups"}
"""Names of gates in a cluster that differ by more than the prefix."""


def _gate(attribute: str) -> str:
    return "".join(part.capitalize() for part in attribute.split("_"))
