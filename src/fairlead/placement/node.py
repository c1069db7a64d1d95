"""Whether a node takes a pod, devices aside: kube-scheduler's filters one by one.

In this order: NodeName, NodeUnschedulable, TaintToleration, NodeAffinity, NodePorts, NodeResourcesFit. What a node does
not say, it has: one without `status.allocatable` has room for everything, and one that names some amounts but not CPU,
memory, storage or pods is not short of those. Extended resources that a node does not name it does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from fairlead.inventory import SelectorError, selects
from fairlead.placement.reasons import Finding
from fairlead.placement.requests import HostPort, host_ports, pod_requests
from fairlead.resource import Node, NodeSelector, NodeTaint, Pod, Quantity, Toleration

HOSTNAME = "kubernetes.io/hostname"
_UNSCHEDULABLE = NodeTaint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_UNSAID_IS_ENOUGH = ("cpu", "memory", "ephemeral-storage", "pods")


@dataclass(frozen=True, slots=True)
class PodNeeds:
    """What a pod asks of a node, computed once for all nodes."""

    requests: Mapping[str, Quantity]
    amounts: tuple[tuple[str, int], ...]
    """The requests above zero in units of 10^-9, one pod among them."""
    ports: frozenset[HostPort]
    node_selector: Mapping[str, str]
    node_affinity: NodeSelector | None
    tolerations: tuple[Toleration, ...]
    node_name: str
    """The one node that the pod names itself; empty for any."""
    devices: Mapping[str, Quantity]
    """The part of the requests that the devices of the pod's claims take."""

    @property
    def conditions(self) -> Hashable:
        """Equal for pods that a node refuses alike."""
        return (
            tuple([(name, self.requests[name].nano, str(self.requests[name])) for name, _ in self.amounts]),
            self.ports,
            tuple(self.node_selector.items()),
            self.node_affinity and msgspec.json.encode(self.node_affinity),
            self.tolerations,
            self.node_name,
        )

    @classmethod
    def of(cls, pod: Pod, devices: Mapping[str, Quantity] | None = None) -> PodNeeds:
        """The needs of a pod.

        Args:
            pod: the pod.
            devices: what the devices of its claims take of CPU, memory and the like.
        """
        spec = pod.spec
        requests = pod_requests(spec, devices)
        requests["pods"] = Quantity.from_int(1)
        affinity = spec.affinity.node_affinity
        return cls(
            requests=requests,
            amounts=tuple((name, amount.nano) for name, amount in requests.items() if amount.nano > 0),
            ports=host_ports(spec),
            node_selector=spec.node_selector,
            node_affinity=affinity.required if affinity is not None else None,
            tolerations=tuple(spec.tolerations),
            node_name=spec.node_name,
            devices=devices or {},
        )


class NodeState:
    """A node and what the pods on it use. The only thing here that changes."""

    __slots__ = ("_ports", "_taints", "allocatable", "declared", "labels", "name", "used")

    def __init__(self, node: Node) -> None:
        self.name = node.name
        self.labels: Mapping[str, str] = {}
        self.allocatable: Mapping[str, int] = {}
        self.declared: frozenset[str] = frozenset()
        """The features that the node says it has."""
        self.used: dict[str, int] = {}
        self._ports: Counter[HostPort] = Counter()
        self._taints: tuple[NodeTaint, ...] = ()
        self.update(node)

    def update(self, node: Node) -> bool:
        """Takes the node as it is now, with the pods that are on it; returns whether anything of it is new."""
        labels = {HOSTNAME: node.name, **node.metadata.labels}
        allocatable = {name: amount.nano for name, amount in node.status.allocatable.items()}
        declared = frozenset(node.status.declared_features)
        taints = [taint for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute")]
        if node.spec.unschedulable:
            taints = [_UNSCHEDULABLE, *(taint for taint in taints if taint.key != _UNSCHEDULABLE.key)]
        before = (self.labels, self.allocatable, self.declared, self._taints)
        after = (labels, allocatable, declared, tuple(taints))
        self.labels, self.allocatable, self.declared, self._taints = after
        return before != after

    @property
    def ports(self) -> AbstractSet[HostPort]:
        """The host ports that pods have."""
        return self._ports.keys()

    def add(self, needs: PodNeeds) -> None:
        """Counts a pod on the node."""
        for name, amount in needs.amounts:
            self.used[name] = self.used.get(name, 0) + amount
        if needs.ports:
            self._ports.update(needs.ports)

    def remove(self, needs: PodNeeds) -> None:
        """Forgets a pod that was added with the same needs."""
        for name, amount in needs.amounts:
            self.used[name] -= amount
        for port in needs.ports:
            self._ports[port] -= 1
            if not self._ports[port]:
                del self._ports[port]

    def advertises(self, resource: str) -> bool:
        """Whether a device plugin offers the resource here."""
        return self.allocatable.get(resource, 0) > 0

    def refuses(self, needs: PodNeeds, through_claims: frozenset[str]) -> Finding | None:
        """Why the node does not take the pod, or None where it does.

        Args:
            needs: what the pod asks for.
            through_claims: extended resources that devices serve where the node does not advertise them.
        """
        if needs.node_name not in ("", self.name):
            return Finding("labels", f"the pod names another node (spec.nodeName: {needs.node_name})")
        for taint in self._taints:
            if not any(_tolerates(toleration, taint) for toleration in needs.tolerations):
                return _taint_finding(taint)
        finding = self._selected(needs)
        if finding is not None:
            return finding
        if self._ports and not self.ports.isdisjoint(needs.ports):
            return Finding("ports", f"host port {_ports(self.ports & needs.ports)} is taken by another pod")
        return self.lacks(needs, through_claims)

    def lacks(self, needs: PodNeeds, through_claims: frozenset[str]) -> Finding | None:
        """What the node has too little of for the pod, or None where it has enough; arguments as for `refuses`."""
        return self._room(needs, through_claims) if self.allocatable else None

    def _selected(self, needs: PodNeeds) -> Finding | None:
        for key, value in needs.node_selector.items():
            if self.labels.get(key) != value:
                return Finding("labels", f"the pod's nodeSelector wants the node label {key}={value}")
        if needs.node_affinity is not None:
            try:
                if not selects(needs.node_affinity, self.name, self.labels):
                    return Finding("labels", f"the pod's node affinity wants {_describe(needs.node_affinity)}")
            except SelectorError as error:
                return Finding("labels", f"the pod's node affinity cannot be evaluated: {error}")
        return None

    def _room(self, needs: PodNeeds, through_claims: frozenset[str]) -> Finding | None:
        for name, amount in needs.amounts:
            have = self.allocatable.get(name)
            if have is None and name in _UNSAID_IS_ENOUGH:
                continue
            if not have and name in through_claims:
                continue
            have = have or 0
            if self.used.get(name, 0) + amount <= have:
                continue
            if name == "pods":
                return Finding("room", "the node has as many pods as it may")
            wanted = needs.requests[name]
            part = f" ({needs.devices[name]} for its devices)" if name in needs.devices else ""
            if amount > have:
                text = f"the node is too small: {wanted} {name} wanted{part}, more than it has in all"
                return Finding("size", text)
            return Finding("room", f"too little {name} left: {wanted} wanted{part}")
        return None


def _tolerates(toleration: Toleration, taint: NodeTaint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.operator in ("", "Equal") and toleration.value == taint.value


def _taint_finding(taint: NodeTaint) -> Finding:
    if taint is _UNSCHEDULABLE:
        return Finding("cordoned", "the node is cordoned (spec.unschedulable)")
    value = f"={taint.value}" if taint.value else ""
    return Finding("tainted", f"the pod does not tolerate the node taint {taint.key}{value}:{taint.effect}")


def _ports(ports: Iterable[HostPort]) -> str:
    return ", ".join(f"{port}/{protocol}" for protocol, port in sorted(ports))


def _describe(selector: NodeSelector) -> str:
    terms = []
    for term in selector.node_selector_terms:
        parts = []
        for requirement in [*term.match_fields, *term.match_expressions]:
            values = f" [{', '.join(requirement.values)}]" if requirement.values else ""
            parts.append(f"{requirement.key} {requirement.operator}{values}")
        terms.append(" and ".join(parts) or "nothing")
    return " or ".join(terms) or "nothing"
