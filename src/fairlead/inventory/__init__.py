"""Which devices exist, which node reaches them, and what is taken.

`Inventory` takes slices, claims and taint rules as events and hands out a `NodeView` for each node: its devices in the
order in which they are tried, as bits of masks.
"""

from fairlead.inventory.attributes import AttributeIndex, Value
from fairlead.inventory.changes import Changes
from fairlead.inventory.content import Matches, Reader, attribute_values
from fairlead.inventory.features import Features
from fairlead.inventory.holdings import Holdings
from fairlead.inventory.inventory import Inventory
from fairlead.inventory.pool import InventoryError, Pool
from fairlead.inventory.record import DeviceId, PoolId, SliceRecord
from fairlead.inventory.selection import SelectorError, check_requirement, requirement_holds, selects
from fairlead.inventory.view import NodeView, Occupancy

__all__ = [
    "AttributeIndex",
    "Changes",
    "DeviceId",
    "Features",
    "Holdings",
    "Inventory",
    "InventoryError",
    "Matches",
    "NodeView",
    "Occupancy",
    "Pool",
    "PoolId",
    "Reader",
    "SelectorError",
    "SliceRecord",
    "Value",
    "attribute_values",
    "check_requirement",
    "requirement_holds",
    "selects",
]
