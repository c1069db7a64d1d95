"""What reading a set of manifests yields: the objects by kind, in input order."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.resource.base import KubeObject
from fairlead.resource.budget import PodDisruptionBudget
from fairlead.resource.claim import DeviceClass, ResourceClaim, ResourceClaimTemplate
from fairlead.resource.manifest.workloads import Workload
from fairlead.resource.problem import Problem
from fairlead.resource.slice import ResourceSlice
from fairlead.resource.taint import DeviceTaintRule
from fairlead.resource.workload import Node, Pod, PodGroup


@dataclass
class Objects:
    """All objects of an input.

    `skipped` counts the objects of kinds that have no part in allocation. `warnings` are problems that the API
    server would only warn of. `sources` says where an object was read, by `(kind, namespace, name)`. `promised` holds
    the ResourceClaimTemplates, by namespace and name, that a controller would make, and for which object.
    """

    slices: list[ResourceSlice] = field(default_factory=list)
    classes: list[DeviceClass] = field(default_factory=list)
    claims: list[ResourceClaim] = field(default_factory=list)
    templates: list[ResourceClaimTemplate] = field(default_factory=list)
    taint_rules: list[DeviceTaintRule] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    pod_groups: list[PodGroup] = field(default_factory=list)
    budgets: list[PodDisruptionBudget] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    sources: dict[tuple[str, str, str], str] = field(default_factory=dict)
    promised: dict[tuple[str, str], str] = field(default_factory=dict)

    def source_of(self, item: KubeObject) -> str:
        """Where an object was read; empty when it was not read from a manifest."""
        return self.sources.get((item.kind, item.namespace, item.name), "")
