"""The devices for a set of claims on one node: exact search, and the reasons when there is none."""

from fairlead.allocator.allocator import Allocator, Decision, Wanted, decide
from fairlead.allocator.moves import Standing, standing
from fairlead.allocator.problem import Problem
from fairlead.allocator.reasons import Excluded, Kind, Reason
from fairlead.allocator.relax import Relaxation, Relaxations, Relaxer, relaxations
from fairlead.allocator.request import ClaimShape, Request, RequestError
from fairlead.allocator.rules import Across, GroupRule
from fairlead.allocator.search import FatalError, Pick
from fairlead.allocator.slot import Slot

__all__ = [
    "Across",
    "Allocator",
    "ClaimShape",
    "Decision",
    "Excluded",
    "FatalError",
    "GroupRule",
    "Kind",
    "Pick",
    "Problem",
    "Reason",
    "Relaxation",
    "Relaxations",
    "Relaxer",
    "Request",
    "RequestError",
    "Slot",
    "Standing",
    "Wanted",
    "decide",
    "relaxations",
    "standing",
]
