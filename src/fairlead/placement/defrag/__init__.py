"""The fewest moves of running pods that let a blocked workload start: a plan, nothing is changed."""

from fairlead.placement.defrag.balance import Shortage
from fairlead.placement.defrag.budgets import Budget, Budgets
from fairlead.placement.defrag.devices import held_by
from fairlead.placement.defrag.movable import Hold, Kept, Movable, Mover, movable
from fairlead.placement.defrag.search import Defragmentation, defragment
from fairlead.placement.defrag.trial import Move

__all__ = [
    "Budget",
    "Budgets",
    "Defragmentation",
    "Hold",
    "Kept",
    "Movable",
    "Move",
    "Mover",
    "Shortage",
    "defragment",
    "held_by",
    "movable",
]
