"""Devices of one node chosen by their wiring.

`Chooser` puts the decision of a `DevicePolicy` in place of the allocator's own and says in a `Choice` what it is worth
and what else there was. `wishes` reads what a pod asks for in its annotations: a policy, and constraints across its
claims, which `joined` puts in the terms of a node.
"""

from fairlead.placement.wiring.annotations import CONSTRAINTS, DEVICES, Constraint, WishError, Wishes, wishes
from fairlead.placement.wiring.chooser import Chooser, given
from fairlead.placement.wiring.joined import contradicts, joined
from fairlead.placement.wiring.policies import COMPACT, DEVICE_POLICIES, FIRST_FIT, SPREAD, DevicePolicy
from fairlead.placement.wiring.score import Choice, Part, Score
from fairlead.placement.wiring.setting import Setting

__all__ = [
    "COMPACT",
    "CONSTRAINTS",
    "DEVICES",
    "DEVICE_POLICIES",
    "FIRST_FIT",
    "SPREAD",
    "Choice",
    "Chooser",
    "Constraint",
    "DevicePolicy",
    "Part",
    "Score",
    "Setting",
    "WishError",
    "Wishes",
    "contradicts",
    "given",
    "joined",
    "wishes",
]
