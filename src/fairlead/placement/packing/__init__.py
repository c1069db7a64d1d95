"""Node policies: which of the nodes that fit takes a pod.

| name | what it optimises | looks at |
| --- | --- | --- |
| `first-fit` | nothing: the first node of the order that fits | the order |
| `random` | nothing: a node and devices drawn by lot | what fits |
| `best-fit` | full nodes: the least CPU and devices left on the node that takes the pod | the node |
| `fgd` | room for the typical pods: the least growth of fragmentation, rounded as published | node, typical pods |
| `pack` | the same without rounding, and full nodes where fragmentation says little; the default | node, typical pods |

All are deterministic: equal scores go to the first node of a given order, and `random` draws from a given `Random`.
`docs/policies.md` has the formulas, and what each reaches on recorded clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from fairlead.placement.packing.fragmentation import Fragmentation, Hardware, Shape
from fairlead.placement.packing.left import UNIT, Left, left_of
from fairlead.placement.packing.policy import Choice, NodePolicy
from fairlead.placement.packing.ranks import Scored
from fairlead.placement.packing.scoring import SCORINGS, Outcome, Scoring
from fairlead.placement.packing.typical import TypicalPod, shapes_of, typical_pods

DEFAULT: Final = "pack"
NODE_POLICIES: Final = tuple(SCORINGS)
"""The names that `node_policy` knows."""


def node_policy(
    name: str = DEFAULT,
    *,
    typical: Sequence[TypicalPod] = (),
    order: Sequence[str] | None = None,
    rng: Random | None = None,
    explain: bool = False,
) -> NodePolicy:
    """A policy for one planner.

    Args:
        name: one of `NODE_POLICIES`.
        typical: the pods to keep room for (`typical_pods`); without any, fragmentation is the same everywhere and
            `pack` goes by how full nodes are.
        order: the nodes, first those that are preferred where scores are equal; by name where not given.
        rng: what `random` draws from; a generator with seed 0 where not given.
        explain: whether to keep, in `choices`, why each pod has its node; costs a look at the next best node.

    Raises:
        ValueError: no policy has that name.
    """
    if name not in SCORINGS:
        raise ValueError(f"unknown policy {name!r}: must be one of {', '.join(NODE_POLICIES)}")
    return NodePolicy(SCORINGS[name], typical, order, rng, explain)


__all__ = [
    "DEFAULT",
    "NODE_POLICIES",
    "UNIT",
    "Choice",
    "Fragmentation",
    "Hardware",
    "Left",
    "NodePolicy",
    "Outcome",
    "Scored",
    "Scoring",
    "Shape",
    "TypicalPod",
    "left_of",
    "node_policy",
    "shapes_of",
    "typical_pods",
]
