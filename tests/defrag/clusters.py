"""Clusters with pods that run, in a few words, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from places import allocation, claim, cluster, container, gpus, node, planned, pod, read

import builders
from fairlead.placement import Cluster
from fairlead.placement.defrag import Defragmentation, defragment
from fairlead.resource import (
    Node,
    OwnerReference,
    PlannedPod,
    Pod,
    PodDisruptionBudget,
    PodResourceClaim,
    PodResourceClaimStatus,
    PodStatus,
    ResourceClaim,
)

RACK = "cloud.provider.com/topology-rack"


class Running:
    """Collects running pods with their claims."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self.claims: list[ResourceClaim] = []

    def add(
        self,
        name: str,
        on: str,
        *devices: str,
        owner: str = "ReplicaSet/web",
        cpu: str = "0",
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> Pod:
        """A pod on a node with devices of it; `owner` is `Kind/name`, or empty for a bare pod."""
        made = pod(name, container(cpu=cpu), labels=labels, **spec)
        kind, _, owner_name = owner.partition("/")
        owners = [OwnerReference("apps/v1", kind, owner_name, "", True)] if owner else []
        statuses: list[PodResourceClaimStatus] = []
        wanted: list[PodResourceClaim] = []
        if devices:
            wanted.append(PodResourceClaim("gpu", resource_claim_template_name="gpu"))
            statuses.append(PodResourceClaimStatus("gpu", f"{name}-gpu"))
            status = allocation(*devices, node_name=on)
            status["reservedFor"] = [{"resource": "pods", "name": name, "uid": ""}]
            self.claims.append(claim(f"{name}-gpu", builders.request("gpu", len(devices)), status=status))
        meta = replace(made.metadata, owner_references=owners, annotations=dict(annotations or {}))
        full = replace(made.spec, node_name=on, priority=priority, resource_claims=wanted)
        made = replace(made, metadata=meta, spec=full, status=PodStatus("Running", resource_claim_statuses=statuses))
        self.pods.append(made)
        return made

    def on(self, nodes: Sequence[Node], slices: Sequence[Mapping[str, Any]], **fields: Any) -> Cluster:
        """The cluster in which they run."""
        claims = [*self.claims, *fields.pop("claims", ())]
        return cluster(nodes, slices, pods=self.pods, claims=claims, **fields)


def rig(
    *names: str, gpus_each: int = 2, rack: Mapping[str, str] | None = None, **amounts: str
) -> tuple[list[Node], list[dict[str, Any]]]:
    """Nodes with GPUs."""
    devices = " ".join(f"gpu-{number}" for number in range(gpus_each))
    nodes = [node(name, {RACK: rack[name]} if rack else None, **amounts) for name in names]
    return nodes, [gpus(name, devices) for name in names]


def waiting(
    count: int = 1, gpus_each: int = 2, *, cpu: str = "0", priority: int | None = None, gang: str | None = None
) -> list[list[PlannedPod]]:
    """A workload that waits: one pod, or a gang."""
    members = []
    for number in range(count):
        made = pod(f"train-{number}", container(cpu=cpu), priority=priority)
        if gang is not None:
            made = replace(made, metadata=replace(made.metadata, annotations={"fairlead.dev/gang": gang}))
        own = [claim(f"train-{number}", builders.request("gpu", gpus_each))] if gpus_each else []
        one = planned(made, *own)
        members.append(PlannedPod(made, "Job ml/train", "Job ml/train" if count > 1 else None, one.claims))
    return [members]


def budget(name: str, labels: Mapping[str, str] | None, **spec: Any) -> PodDisruptionBudget:
    """A budget in namespace `ml`; `allowed=1` is its status."""
    status = {"disruptionsAllowed": spec.pop("allowed")} if "allowed" in spec else {}
    selector = {"selector": {"matchLabels": dict(labels)}} if labels is not None else {}
    metadata = {"name": name, "namespace": "ml"}
    return read(PodDisruptionBudget, {"metadata": metadata, "spec": {**selector, **spec}, "status": status})


def moved(found: Defragmentation) -> list[str]:
    """The names of the moved pods, sorted."""
    assert found.moves is not None, found.kept
    return sorted(move.mover.planned.pod.name for move in found.moves)


def plan_for(on: Cluster, units: list[list[PlannedPod]], **options: Any) -> Defragmentation:
    """The plan, checked: nothing is held twice, nobody is on a node that has too little CPU."""
    found = defragment(on, units, **options)
    if found.moves is not None:
        check(on, found)
    return found


def check(on: Cluster, found: Defragmentation) -> None:
    """The state after the moves is one that a cluster could be in."""
    moves = {move.mover.key: move for move in found.moves or ()}
    held: list[tuple[str, str, str]] = []
    cpu: dict[str, int] = {}
    claims = {one.key: one for one in on.claims}
    for mover in found.moves or ():
        for used in mover.placement.claims:
            claims[used.claim.key] = used.claim
    for placement in found.placements:
        assert placement.placed
        for used in placement.claims:
            claims[used.claim.key] = used.claim
    for one in claims.values():
        if one.status.allocation is not None:
            held += [(r.driver, r.pool, r.device) for r in one.status.allocation.devices.results]
    assert len(held) == len(set(held))
    places = [(one, one.spec.node_name) for one in on.pods if one.key not in moves]
    places += [(move.mover.planned.pod, move.placement.node) for move in moves.values()]
    places += [(placement.pod.pod, placement.node) for placement in found.placements]
    for one, name in places:
        asked = one.spec.containers[0].resources.requests.get("cpu")
        cpu[name] = cpu.get(name, 0) + (asked.nano if asked is not None else 0)
    for one_node in on.nodes:
        have = one_node.status.allocatable.get("cpu")
        assert have is None or cpu.get(one_node.name, 0) <= have.nano
    assert not found.movable.budgets.broken(moves)
