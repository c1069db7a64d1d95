"""Gangs: pods placed together over racks and blocks, by exact search over kinds of nodes."""

from fairlead.placement.gangs.demand import Costs, Gang, Offer, Role, Slices, Vector
from fairlead.placement.gangs.outcome import (
    Change,
    Need,
    Objective,
    Placement,
    Relaxation,
    Remedy,
    Share,
    Shortage,
    Shortfall,
)
from fairlead.placement.gangs.sites import Site, Sites
from fairlead.placement.gangs.solver import solve

__all__ = [
    "Change",
    "Costs",
    "Gang",
    "Need",
    "Objective",
    "Offer",
    "Placement",
    "Relaxation",
    "Remedy",
    "Role",
    "Share",
    "Shortage",
    "Shortfall",
    "Site",
    "Sites",
    "Slices",
    "Vector",
    "solve",
]
