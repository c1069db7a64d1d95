"""What is known of a cluster before anything is placed: a snapshot, as values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fairlead.inventory import Features
from fairlead.resource import (
    DeviceClass,
    DeviceTaintRule,
    Node,
    ObjectMeta,
    Pod,
    PodDisruptionBudget,
    ResourceClaim,
    ResourceSlice,
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes, devices, and who has them: `pods` are those bound to a node, `claims` may be allocated or not."""

    nodes: Sequence[Node] = ()
    slices: Sequence[ResourceSlice] = ()
    classes: Sequence[DeviceClass] = ()
    claims: Sequence[ResourceClaim] = ()
    taint_rules: Sequence[DeviceTaintRule] = ()
    pods: Sequence[Pod] = ()
    budgets: Sequence[PodDisruptionBudget] = ()
    features: Features = field(default_factory=Features)


def named_nodes(slices: Iterable[ResourceSlice]) -> list[Node]:
    """A node with room for each name that slices or their devices name, for manifests that hold no Nodes."""
    names: set[str] = set()
    for slice_ in slices:
        if slice_.spec.node_name:
            names.add(slice_.spec.node_name)
        names.update(device.node_name for device in slice_.spec.devices if device.node_name)
    return [assumed_node(name) for name in sorted(names)]


def assumed_node(name: str, labels: dict[str, str] | None = None) -> Node:
    """A node of which nothing but name and labels is known: it has room."""
    return Node(api_version="v1", kind="Node", metadata=ObjectMeta(name=name, labels=labels or {}))
