"""The nodes that a DaemonSet has a pod on.

The controller makes pods for nodes that match the template's node selector, node affinity and tolerations, and pins
each to its node by affinity. Of a node of which only the name is known, it is taken that it matches.

Source: `k8s.io/kubernetes` pkg/controller/daemon.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from fairlead.resource.base import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from fairlead.resource.workload import Affinity, Node, NodeAffinity, NodeTaint, PodSpec, Toleration

_TOLERATED: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


def daemon_spec(spec: PodSpec, node_name: str) -> PodSpec:
    """The spec of the pod of one node: pinned to it, and tolerating its conditions."""
    pin = NodeSelectorRequirement(key="metadata.name", operator="In", values=[node_name])
    required = spec.affinity.node_affinity and spec.affinity.node_affinity.required
    terms = required.node_selector_terms if required else [NodeSelectorTerm()]
    pinned = [NodeSelectorTerm(term.match_expressions, [pin]) for term in terms]
    node_affinity = NodeAffinity(required=NodeSelector(pinned))
    affinity: Affinity = replace(spec.affinity, node_affinity=node_affinity)
    added = [Toleration(key=key, operator="Exists", effect=effect) for key, effect in _TOLERATED]
    return replace(spec, affinity=affinity, tolerations=[*spec.tolerations, *added])


def runs_on(spec: PodSpec, node: Node) -> bool:
    """Whether the pods of a template belong on a node."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    required = spec.affinity.node_affinity and spec.affinity.node_affinity.required
    if required and not any(_term_holds(term, node) for term in required.node_selector_terms):
        return False
    return all(
        taint.effect not in ("NoSchedule", "NoExecute")
        or (taint.key, taint.effect) in _TOLERATED
        or any(_tolerates(toleration, taint) for toleration in spec.tolerations)
        for taint in node.spec.taints
    )


def _term_holds(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.name}
    return all(_holds(need, node.metadata.labels) for need in term.match_expressions) and all(
        _holds(need, fields) for need in term.match_fields
    )


def _holds(need: NodeSelectorRequirement, labels: dict[str, str]) -> bool:
    value = labels.get(need.key)
    if need.operator == "In":
        return value in need.values
    if need.operator == "NotIn":
        return value not in need.values
    if need.operator == "Exists":
        return value is not None
    if need.operator == "DoesNotExist":
        return value is None
    try:
        left, right = int(value or ""), int(need.values[0])
    except (ValueError, IndexError):
        return False
    return left > right if need.operator == "Gt" else left < right


def _tolerates(toleration: Toleration, taint: NodeTaint) -> bool:
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return toleration.key == taint.key and toleration.value == taint.value
