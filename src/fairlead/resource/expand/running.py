"""Pods that run, with the claims that they have and the workload that they belong to.

The workload is what a pod itself says of it: the PodGroup that it is scheduled with, the labels that JobSet and
LeaderWorkerSet put on their pods, the Deployment whose ReplicaSet is named after it, or else the controller in its
owner references. So it is known without the workload's own manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from fairlead.resource.base import OwnerReference
from fairlead.resource.claim import DeviceClass, ResourceClaim
from fairlead.resource.expand.claims import ClaimFinder
from fairlead.resource.expand.extended import ExtendedResources
from fairlead.resource.expand.planned import PlannedPod
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.workload import Pod

_JOB_SET: Final = "jobset.sigs.k8s.io/jobset-name"
_LEADER_WORKER_SET: Final = "leaderworkerset.sigs.k8s.io/name"
_LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
_TEMPLATE_HASH: Final = "pod-template-hash"
_ONE_BY_ONE: Final = frozenset({"ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Node"})
"""Controllers whose pods do not depend on each other; those of any other are taken to be a gang."""


@dataclass(frozen=True, slots=True)
class RunningPod:
    """A pod that has a node.

    `planned` holds its claims; its `group` is set where its workload stops when one pod does. `controller` is what
    makes it again. `missing` says which of its claims is not known, empty where all are.
    """

    planned: PlannedPod
    controller: OwnerReference | None
    missing: str = ""

    @property
    def pod(self) -> Pod:
        """The pod itself."""
        return self.planned.pod


def running_pods(
    pods: Iterable[Pod], claims: Sequence[ResourceClaim], classes: Sequence[DeviceClass]
) -> list[RunningPod]:
    """The pods with their claims, in order.

    Args:
        pods: pods that have a node.
        claims: all claims that are known.
        classes: for the claims that were made for extended resources.
    """
    finder = ClaimFinder(Objects(claims=list(claims)))
    extended = ExtendedResources(classes)
    running = []
    for pod in pods:
        used, faults = finder.claims_of(pod)
        missing = "; ".join(f"spec.{path}: {reason}" for path, reason in faults)
        existing = finder.extended_claim_of(pod)
        of_resources = extended.claim_of(pod, existing.name, existing) if existing is not None else None
        if of_resources is not None:
            used.append(of_resources)
        controller = pod.metadata.controller
        owner, gang = _workload(pod, controller)
        planned = PlannedPod(pod, owner, owner if gang else None, tuple(used))
        running.append(RunningPod(planned, controller, missing))
    return running


def _workload(pod: Pod, controller: OwnerReference | None) -> tuple[str, bool]:
    """What the pod belongs to, and whether that stops when one of its pods does."""
    labels = pod.metadata.labels
    group = pod.spec.scheduling_group
    if group is not None and group.pod_group_name:
        return f"PodGroup {pod.namespace}/{group.pod_group_name}", True
    if _JOB_SET in labels:
        return f"JobSet {pod.namespace}/{labels[_JOB_SET]}", True
    if _LEADER_WORKER_SET in labels:
        number = f" group {labels[_LWS_GROUP]}" if _LWS_GROUP in labels else ""
        return f"LeaderWorkerSet {pod.namespace}/{labels[_LEADER_WORKER_SET]}{number}", True
    if controller is None:
        return f"Pod {pod.key}", False
    suffix = f"-{labels.get(_TEMPLATE_HASH, '')}"
    if controller.kind == "ReplicaSet" and len(suffix) > 1 and controller.name.endswith(suffix):
        return f"Deployment {pod.namespace}/{controller.name.removesuffix(suffix)}", False
    return f"{controller.kind} {pod.namespace}/{controller.name}", controller.kind not in _ONE_BY_ONE
