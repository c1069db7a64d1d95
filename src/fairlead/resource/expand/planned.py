"""The pods that a plan is made for: values that expansion yields."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.resource.claim import ResourceClaim
from fairlead.resource.workload import Pod


@dataclass(frozen=True)
class PodClaim:
    """A claim of a pod.

    `name` is the pod's name for it, `generated` says that it was made for this pod or its PodGroup. `extended` is
    filled for the claim that stands for extended resources: which requests stand for which resource.
    """

    name: str
    claim: ResourceClaim
    generated: bool = False
    extended: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedPod:
    """A pod that waits for a node.

    `owner` is what made it (`Deployment ml/infer`), or the pod itself. Pods with the same `group` run together or
    not at all.
    """

    pod: Pod
    owner: str
    group: str | None = None
    claims: tuple[PodClaim, ...] = ()
