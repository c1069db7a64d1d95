"""The cluster as a planner knows it: nodes, devices, claims, pods, and what of it is taken.

It begins with a `Cluster` and takes changes: those of the cluster, one by one or many together, and those that placing
makes. After any changes it is what it would be if it had begun with the cluster as it is now; what a change costs
depends on what it is about and not on the size of the cluster, but for device classes and taint rules.

Who works on it reads what changed: `moved` has the nodes whose pods or amounts did, `laid_out` those that came, went or
have other labels, the inventory those whose devices did, or what is taken of them. `reclassed` counts changes of
device classes, after which nothing that is known of shapes of claims holds any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fairlead.allocator import Allocator
from fairlead.inventory import Changes, Inventory
from fairlead.placement.allocatable import AllocatableError, DeviceCosts
from fairlead.placement.claims import Claims
from fairlead.placement.cluster import Cluster
from fairlead.placement.node import NodeState, PodNeeds
from fairlead.placement.requests import Amounts
from fairlead.placement.site import Site
from fairlead.placement.spread import Placed
from fairlead.resource import (
    AllocationResult,
    DeviceClass,
    DeviceTaintRule,
    Node,
    PlannedPod,
    Pod,
    ResourceClaim,
    ResourceSlice,
)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A pod that was placed, with what it took."""

    pod: Pod
    node: NodeState
    needs: PodNeeds
    claims: tuple[str, ...]


class ClusterState:
    """Nodes and what they have, claims and what they hold, pods and where they are."""

    def __init__(self, cluster: Cluster) -> None:
        features = cluster.features
        self.inventory = Inventory(cluster.slices, cluster.claims, cluster.taint_rules, features)
        self.allocator = Allocator(cluster.classes, features)
        self.claims = Claims(cluster.claims, cluster.pods, self.inventory)
        self.nodes = {node.name: NodeState(node) for node in sorted(cluster.nodes, key=lambda node: node.name)}
        """By name, in the order of names."""
        self.costs = DeviceCosts(cluster.slices if features.node_allocatable_resources else ())
        self.placed = Placed()
        self.moved = Changes()
        self.site = Site(self.inventory, self.allocator, self.nodes, self.moved)
        self.laid_out = Changes()
        self.reclassed = 0
        self._pods: dict[str, Pod] = {}
        """Those with a node, as they were told last."""
        self._counted: dict[int, tuple[NodeState, PodNeeds]] = {}
        """By identity of a pod that is counted on a node: nothing keeps two pods of an input from having one name."""
        self._on: dict[str, dict[int, Pod]] = {}
        """By name of a node, known or not, the pods that say they are there."""
        self._users: dict[str, set[str]] = {}
        """By claim, the pods that name it."""
        self._taken: dict[str, _Taken] = {}
        for pod in cluster.pods:
            self._arrive(pod)

    @property
    def pods(self) -> Collection[Pod]:
        """The pods that have a node."""
        return self._pods.values()

    # What the cluster does

    def set_nodes(self, there: Iterable[Node], gone: Iterable[str] = ()) -> None:
        """Takes note of nodes as they are now, and of names of nodes that are no more."""
        came = False
        for name in gone:
            state = self.nodes.pop(name, None)
            if state is not None:
                for pod in self._on.get(name, {}).values():
                    self._discount(pod)
                self.inventory.forget_node(name)
                self.laid_out.note((name,))
        for node in there:
            known = self.nodes.get(node.name)
            if known is None:
                self.nodes[node.name] = NodeState(node)
                came = True
            else:
                looks = known.labels, known.declared
                if not known.update(node):
                    continue
                if looks == (known.labels, known.declared):
                    self.moved.note((node.name,))
                    continue
            pods = list(self._on.get(node.name, {}).values())
            for pod in pods if known is not None else ():
                self._discount(pod)
            for pod in pods:
                self._count(pod)
            self.laid_out.note((node.name,))
        if came:
            in_order = sorted(self.nodes.items())
            self.nodes.clear()
            self.nodes.update(in_order)

    def set_slice(self, slice_: ResourceSlice) -> None:
        """Takes note of a slice as it is now."""
        self.inventory.add_slice(slice_)
        if self.allocator.features.node_allocatable_resources and self.costs.put(slice_):
            self._count_again(self._pods)

    def remove_slice(self, name: str) -> None:
        """Takes note that a slice is gone; one that is not there is no error."""
        self.inventory.remove_slice(name)
        if self.costs.remove(name):
            self._count_again(self._pods)

    def set_classes(self, classes: Iterable[DeviceClass]) -> None:
        """Replaces all device classes."""
        self.allocator.set_classes(classes)
        self.reclassed += 1

    def set_taint_rules(self, rules: Iterable[DeviceTaintRule]) -> None:
        """Replaces all DeviceTaintRules."""
        self.inventory.set_taint_rules(rules)

    def set_claim(self, claim: ResourceClaim) -> None:
        """Takes note of a claim as it is now."""
        self.claims.follow(claim)
        if self.costs:
            self._count_again(self._users.get(claim.key, ()))

    def remove_claim(self, key: str) -> None:
        """Takes note that a claim is gone; one that is not there is no error."""
        self.claims.remove(key)
        if self.costs:
            self._count_again(self._users.get(key, ()))

    def set_pod(self, pod: Pod) -> None:
        """Takes note of a pod that has a node, as it is now."""
        known = self._pods.get(pod.key)
        if known is not None and self._counts_alike(known, pod):
            self.claims.belongs(pod)
            return
        if known is not None:
            self._leave(known)
        self._arrive(pod)
        self.claims.belongs(pod)

    def remove_pod(self, key: str) -> None:
        """Takes note that a pod has no node any more, or is gone; one that is not there is no error."""
        known = self._pods.get(key)
        if known is not None:
            self._leave(known)
            self.claims.forget_pod(key)

    # What placing does

    def take(self, pod: PlannedPod, node: NodeState, needs: PodNeeds, claims: Sequence[str]) -> None:
        """Counts a pod that is placed, with claims that were given it."""
        node.add(needs)
        self.placed.add(pod.pod, node.labels)
        self.moved.note((node.name,))
        self._taken[pod.pod.key] = _Taken(pod.pod, node, needs, tuple(claims))

    def give_back(self, key: str) -> list[str]:
        """Undoes `take`; returns the claims that are gone with the pod.

        Raises:
            KeyError: no pod of that name was placed here, or it was removed already.
        """
        taken = self._taken.pop(key)
        taken.node.remove(taken.needs)
        self.placed.remove(taken.pod)
        self.moved.note((taken.node.name,))
        return self.claims.give_back(key, taken.claims)

    def keep(self, key: str) -> None:
        """Takes a placed pod for one of the cluster's, and its claims for what they are by themselves.

        Raises:
            KeyError: no pod of that name was placed here, or it was removed already.
        """
        taken = self._taken.pop(key)
        self.claims.keep(key, taken.claims)
        self.claims.belongs(taken.pod)
        taken.node.remove(taken.needs)
        self.placed.remove(taken.pod)
        self._arrive(replace(taken.pod, spec=replace(taken.pod.spec, node_name=taken.node.name)))

    def lift(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Takes a pod that has a node off it, until `put_back`; `claims` are its claims without devices.

        Raises:
            KeyError: the pod is not there, or its node is not known.
        """
        self._discount(pod)
        self.claims.set(claims)

    def put_back(self, pod: Pod, claims: Iterable[ResourceClaim]) -> None:
        """Puts a lifted pod back; `claims` are its claims with the devices that they had."""
        self.claims.set(claims)
        self._count(pod)

    # Counting

    def _arrive(self, pod: Pod) -> None:
        self._pods[pod.key] = pod
        self._on.setdefault(pod.spec.node_name, {})[id(pod)] = pod
        self._name_claims(pod)
        if pod.spec.node_name in self.nodes:
            self._count(pod)

    def _leave(self, pod: Pod) -> None:
        del self._pods[pod.key]
        name = pod.spec.node_name
        del self._on[name][id(pod)]
        if not self._on[name]:
            del self._on[name]
        for claim in _claims_named(pod):
            users = self._users[claim]
            users.discard(pod.key)
            if not users:
                del self._users[claim]
        if id(pod) in self._counted:
            self._discount(pod)

    def _name_claims(self, pod: Pod) -> None:
        for claim in _claims_named(pod):
            self._users.setdefault(claim, set()).add(pod.key)

    def _count(self, pod: Pod) -> None:
        node = self.nodes[pod.spec.node_name]
        needs = PodNeeds.of(pod, self._cost_of(pod))
        node.add(needs)
        self.placed.add(pod, node.labels)
        self.moved.note((node.name,))
        self._counted[id(pod)] = node, needs

    def _discount(self, pod: Pod) -> None:
        node, needs = self._counted.pop(id(pod))
        node.remove(needs)
        self.placed.remove(pod)
        self.moved.note((node.name,))

    def _count_again(self, keys: Iterable[str]) -> None:
        """Counts pods anew whose devices may cost something else now."""
        for key in list(keys):
            pod = self._pods[key]
            counted = self._counted.get(id(pod))
            if counted is None:
                continue
            node, before = counted
            needs = PodNeeds.of(pod, self._cost_of(pod))
            if needs.amounts != before.amounts:
                node.remove(before)
                node.add(needs)
                self._counted[id(pod)] = node, needs
                self.moved.note((node.name,))

    def _counts_alike(self, known: Pod, pod: Pod) -> bool:
        """Whether a pod takes what it took before, where it was, and is the same to other pods."""
        counted = self._counted.get(id(known))
        if counted is None or counted[0].name != pod.spec.node_name:
            return False
        if known.metadata.labels != pod.metadata.labels or known.spec.affinity != pod.spec.affinity:
            return False
        if _claims_named(known) != _claims_named(pod):
            return False
        _, before = counted
        needs = PodNeeds.of(pod, self._cost_of(pod))
        return (needs.amounts, needs.ports) == (before.amounts, before.ports)

    def _cost_of(self, pod: Pod) -> Amounts:
        """What the devices of a pod that has a node take there."""
        if not self.costs:
            return {}
        made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
        names: dict[str, set[str]] = {}
        for wanted in pod.spec.resource_claims:
            key = f"{pod.namespace}/{wanted.resource_claim_name or made.get(wanted.name)}"
            names.setdefault(key, set()).add(wanted.name)
        known = [(called, self.claims.get(key)) for key, called in names.items()]
        claims = [(called, claim.status.allocation) for called, claim in known if claim is not None]
        try:
            return self.costs.of(pod, [(called, got) for called, got in claims if got is not None])
        except AllocatableError:
            return {}

    def cost_of_planned(
        self, pod: PlannedPod, claims: Sequence[ResourceClaim], given: Mapping[str, AllocationResult]
    ) -> Amounts:
        """What the devices of a pod that is to be placed take of its node.

        Args:
            pod: the pod.
            claims: its claims as they are.
            given: what claims without devices would get there, by claim.

        Raises:
            AllocatableError: that cannot be told.
        """
        allocations = [(claim.key, given.get(claim.key, claim.status.allocation)) for claim in claims]
        names = {key: {used.name for used in pod.claims if used.claim.key == key} for key, _ in allocations}
        return self.costs.of(pod.pod, [(names[key], got) for key, got in allocations if got is not None])


def _claims_named(pod: Pod) -> set[str]:
    names = [one.resource_claim_name for one in pod.spec.resource_claims]
    names += [one.resource_claim_name for one in pod.status.resource_claim_statuses]
    return {f"{pod.namespace}/{name}" for name in names if name is not None}
