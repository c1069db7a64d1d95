"""Feature gates: which parts of Dynamic Resource Allocation a cluster has switched on.

A gate switches behaviour inside the one allocator; it never selects another. Names are those of the conformance
cases; the gates of a cluster carry the prefix `DRA` before most of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Features:
    """The gates that change what an allocation is; the defaults are everything that Kubernetes 1.37 has."""

    admin_access: bool = True
    consumable_capacity: bool = True
    device_binding_and_status: bool = True
    device_taints: bool = True
    list_type_attributes: bool = True
    partitionable_devices: bool = True
    prioritized_list: bool = True

    @classmethod
    def named(cls, names: Iterable[str]) -> Features:
        """Exactly the named gates on, for example `["AdminAccess"]`.

        Raises:
            ValueError: a name is not one of ours.
        """
        wanted = set(names)
        known = {_gate(field.name): field.name for field in fields(cls)}
        if unknown := sorted(wanted - known.keys()):
            raise ValueError(f"unknown feature {unknown[0]!r}: known are {', '.join(sorted(known))}")
        return cls(**{attribute: gate in wanted for gate, attribute in known.items()})


def _gate(attribute: str) -> str:
    return "".join(part.capitalize() for part in attribute.split("_"))
