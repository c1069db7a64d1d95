# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""Nodes, pods and what makes pods: the core objects, as far as placing pods needs them.

A kind that we do not know but that holds pod templates in the usual places (`spec.template`, or the
`*ReplicaSpecs` of the training operators) is read by `fairlead.resource.expand`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fairlead.resource.base import KubeObject, LabelSelector, Model, NodeSelector, ObjectMeta
from fairlead.resource.claim import Condition
from fairlead.resource.quantity import Quantity


class NodeTaint(Model, frozen=True, gc=False):
    """A taint of a node: `effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Model, frozen=True):
    """What keeps pods away from a node."""

    taints: list[NodeTaint] = []
    unschedulable: bool = False


class NodeStatus(Model, frozen=True):
    """What a node has for pods, and what its kubelet says that it can do (`declaredFeatures`, KEP-5328)."""

    allocatable: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    declared_features: list[str] = []


class Node(KubeObject, frozen=True):
    """A node, with what it has and what it keeps away."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Toleration(Model, frozen=True, gc=False):
    """A node taint that a pod accepts: `operator` is Equal (the default) or Exists."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class PodResourceClaim(Model, frozen=True, gc=False):
    """A claim of a pod: an existing one by name, or one made from a template."""

    name: str
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class ContainerClaim(Model, frozen=True, gc=False):
    """`resources.claims[]`: the pod claim, or one request of it, that a container uses."""

    name: str
    request: str = ""


class ResourceRequirements(Model, frozen=True):
    """Amounts that a container asks for."""

    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}
    claims: list[ContainerClaim] = []


class ContainerPort(Model, frozen=True, gc=False):
    """A port; one with `hostPort` can be held once a node."""

    container_port: int = 0
    host_port: int = 0
    protocol: str = "TCP"


class Container(Model, frozen=True):
    """A container; `restartPolicy: Always` on an init container makes it a sidecar."""

    name: str = ""
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str = ""
    ports: list[ContainerPort] = []


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class NodeAffinity(Model, frozen=True):
    """Nodes that a pod needs; `preferred` is kept unread, so that one knows that it is there."""

    required: NodeSelector | None = msgspec.field(default=None, name=_REQUIRED)
    preferred: list[Any] = msgspec.field(default=[], name=_PREFERRED)


class PodAffinityTerm(Model, frozen=True):
    """Pods near which, or away from which, a pod must be, on the same value of the node label `topologyKey`."""

    label_selector: LabelSelector | None = None
    namespaces: list[str] = []
    topology_key: str = ""


class PodAffinity(Model, frozen=True):
    """Terms that all must hold."""

    required: list[PodAffinityTerm] = msgspec.field(default=[], name=_REQUIRED)
    preferred: list[Any] = msgspec.field(default=[], name=_PREFERRED)


class Affinity(Model, frozen=True):
    """Where a pod must and must not be."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class SchedulingGroup(Model, frozen=True, gc=False):
    """`spec.schedulingGroup`: the PodGroup that a pod is scheduled with (KEP-4671)."""

    pod_group_name: str = ""


class PodSchedulingGate(Model, frozen=True, gc=False):
    """`spec.schedulingGates[]`: no scheduler looks at a pod that has one (KEP-3521)."""

    name: str = ""


class TopologySpreadConstraint(Model, frozen=True, gc=False):
    """How evenly the pods of a workload are spread; what placing pods needs to know of it."""

    when_unsatisfiable: str = ""
    node_affinity_policy: str = ""

    @property
    def binding(self) -> bool:
        """Whether it must hold, among the nodes that the pod's node affinity leaves."""
        return self.when_unsatisfiable == "DoNotSchedule" and self.node_affinity_policy != "Ignore"


class PodSpec(Model, frozen=True):
    """What a pod needs."""

    containers: list[Container] = []
    init_containers: list[Container] = []
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity = Affinity()
    tolerations: list[Toleration] = []
    resource_claims: list[PodResourceClaim] = []
    overhead: dict[str, Quantity] = {}
    resources: ResourceRequirements = ResourceRequirements()
    priority: int | None = None
    priority_class_name: str = ""
    scheduler_name: str = ""
    scheduling_group: SchedulingGroup | None = None
    scheduling_gates: list[PodSchedulingGate] = []
    topology_spread_constraints: list[TopologySpreadConstraint] = []


class PodResourceClaimStatus(Model, frozen=True, gc=False):
    """`status.resourceClaimStatuses[]`: the claim that was made for a pod's template."""

    name: str
    resource_claim_name: str | None = None


class PodStatus(Model, frozen=True):
    """How far a pod is: `phase` is Pending, Running, Succeeded or Failed.

    `nominatedNodeName` is set while a scheduler makes room for the pod by preemption.
    """

    phase: str = ""
    resource_claim_statuses: list[PodResourceClaimStatus] = []
    conditions: list[Condition] = []
    nominated_node_name: str = ""


class Pod(KubeObject, frozen=True):
    """A pod, as it stands in a cluster or as a workload would make it."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(Model, frozen=True):
    """The pods that a workload makes."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class PodGroupGang(Model, frozen=True, gc=False):
    """All or nothing from `minCount` pods on."""

    min_count: int = 0


class PodGroupPolicy(Model, frozen=True):
    """`schedulingPolicy`: exactly one member is set; `basic` schedules pod by pod."""

    gang: PodGroupGang | None = None


class PodGroupSpec(Model, frozen=True):
    """How the pods of a group are scheduled, and the claims that they share."""

    scheduling_policy: PodGroupPolicy = PodGroupPolicy()
    resource_claims: list[PodResourceClaim] = []


class PodGroup(KubeObject, frozen=True):
    """A group of pods (`scheduling.k8s.io`, KEP-4671, KEP-5729)."""

    spec: PodGroupSpec = PodGroupSpec()
