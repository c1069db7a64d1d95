"""The parts of a cluster that a policy for the whole of it works on: nodes, their devices, and who decides on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.allocator import Allocator
from fairlead.inventory import Changes, Inventory, NodeView
from fairlead.placement.node import NodeState


@dataclass(frozen=True, slots=True)
class Site:
    """What a planner places pods on, shared with its policy; the planner alone changes anything of it."""

    inventory: Inventory
    allocator: Allocator
    nodes: Mapping[str, NodeState]
    """By name, in the order of names."""
    moved: Changes
    """The nodes whose pods or amounts changed."""

    def view(self, name: str) -> NodeView:
        """The devices of a node as they are now.

        Raises:
            InventoryError: a node selector in the slices cannot be evaluated.
        """
        node = self.nodes[name]
        return self.inventory.view(name, node.labels, node.declared)
