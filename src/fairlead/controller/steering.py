"""Where pods may be planned, beyond what they say themselves: as an addition to their node affinity.

The additions are made to copies for planning and written nowhere, so planning knows one way to keep pods from nodes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Final, Literal

from msgspec.structs import replace

from fairlead.resource import NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PlannedPod

_NAME: Final = "metadata.name"


def away_from(pod: PlannedPod, nodes: Iterable[str]) -> PlannedPod:
    """The pod, not to be planned on some nodes."""
    return _restricted(pod, "NotIn", nodes)


def only_on(pod: PlannedPod, nodes: Iterable[str]) -> PlannedPod:
    """The pod, to be planned on some nodes."""
    return _restricted(pod, "In", nodes)


def readable(reason: str) -> str:
    """A reason for pods that were restricted, without the names of all the nodes that the restriction was about."""
    reason = re.sub(r"the pod's node affinity wants metadata\.name In \[[^\]]*\]", "not near its group", reason)
    return re.sub(r"the pod's node affinity wants metadata\.name NotIn \[[^\]]*\]", "left alone for a while", reason)


def _restricted(pod: PlannedPod, operator: Literal["In", "NotIn"], nodes: Iterable[str]) -> PlannedPod:
    requirement = NodeSelectorRequirement(key=_NAME, operator=operator, values=sorted(nodes))
    affinity = pod.pod.spec.affinity
    known = affinity.node_affinity or NodeAffinity()
    terms = known.required.node_selector_terms if known.required is not None else [NodeSelectorTerm()]
    # A term without requirements selects nothing, and must go on to do so.
    kept = [term for term in terms if known.required is None or term.match_fields or term.match_expressions]
    required = NodeSelector(
        node_selector_terms=[replace(term, match_fields=[*term.match_fields, requirement]) for term in kept]
    )
    spec = replace(pod.pod.spec, affinity=replace(affinity, node_affinity=replace(known, required=required)))
    return dataclasses.replace(pod, pod=replace(pod.pod, spec=spec))
