"""Which gated pods belong together, when a unit is complete, and which claims its pods use.

A unit is what is placed whole or not at all: the pods of a PodGroup with a gang policy; the pods that name one group
with the label or annotation `fairlead.dev/group`; the pods with `fairlead.dev/group-size` and no group that one object
controls (for JobSet, LeaderWorkerSet and the training operators: that belong to one of theirs); or a pod alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from fairlead.controller.patches import GATE
from fairlead.resource import Pod, PodClaim, PodGroup, ResourceClaim

GROUP: Final = "fairlead.dev/group"
GROUP_SIZE: Final = "fairlead.dev/group-size"
_FINISHED: Final = ("Succeeded", "Failed")
_FAMILIES: Final = (
    ("LeaderWorkerSet", ("leaderworkerset.sigs.k8s.io/name", "leaderworkerset.sigs.k8s.io/group-index")),
    ("JobSet", ("jobset.sigs.k8s.io/jobset-name",)),
    ("MPIJob", ("training.kubeflow.org/job-name",)),
)
"""Labels that tell which pods belong to one workload, where no single object controls them all."""


class UnitError(ValueError):
    """What the pods of a unit say of it cannot be used; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Named:
    """A unit's name, and whether it is a group: pods of a group are counted."""

    text: str
    group: bool


def has_gate(pod: Pod) -> bool:
    """Whether the pod waits for us."""
    return any(gate.name == GATE for gate in pod.spec.scheduling_gates)


def other_gates(pod: Pod) -> list[str]:
    """The gates that others have to remove."""
    return [gate.name for gate in pod.spec.scheduling_gates if gate.name != GATE]


def finished(pod: Pod) -> bool:
    """Whether the pod has given back its node."""
    return pod.status.phase in _FINISHED


def unit_of(pod: Pod, pod_group: Callable[[str], PodGroup | None]) -> Named:
    """The unit that a pod belongs to; a PodGroup of which nothing is known yet is taken for a gang."""
    named = pod.spec.scheduling_group
    if named is not None and named.pod_group_name:
        known = pod_group(f"{pod.namespace}/{named.pod_group_name}")
        if known is not None and known.spec.scheduling_policy.gang is None:
            return Named(f"pod {pod.key}", False)
        return Named(f"PodGroup {pod.namespace}/{named.pod_group_name}", True)
    group = _said(pod, GROUP)
    if group:
        return Named(f"group {pod.namespace}/{group}", True)
    if _said(pod, GROUP_SIZE):
        labels = pod.metadata.labels
        for kind, keys in _FAMILIES:
            if all(key in labels for key in keys):
                return Named(f"{kind} {pod.namespace}/{'/'.join(labels[key] for key in keys)}", True)
        owner = pod.metadata.controller
        if owner is not None:
            return Named(f"{owner.kind} {pod.namespace}/{owner.name}", True)
    return Named(f"pod {pod.key}", False)


def size_of(pods: Iterable[Pod], pod_group: Callable[[str], PodGroup | None]) -> int:
    """How many pods a group needs before it can be placed.

    Raises:
        UnitError: that cannot be told.
    """
    sizes: set[int] = set()
    for pod in pods:
        named = pod.spec.scheduling_group
        if named is not None and named.pod_group_name:
            group = pod_group(f"{pod.namespace}/{named.pod_group_name}")
            if group is None:
                raise UnitError(f"PodGroup {named.pod_group_name} does not exist")
            gang = group.spec.scheduling_policy.gang
            sizes.add(gang.min_count if gang is not None else 1)
            continue
        text = _said(pod, GROUP_SIZE)
        if text is None:
            raise UnitError(f"pod {pod.key} has {GROUP} but not {GROUP_SIZE}, the number of pods of its group")
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise UnitError(f"pod {pod.key}: {GROUP_SIZE}: {text!r} is not a number of pods")
        sizes.add(int(text))
    if len(sizes) > 1:
        shown = " and ".join(str(size) for size in sorted(sizes))
        raise UnitError(f"its pods contradict each other: {GROUP_SIZE} is {shown}")
    return sizes.pop() if sizes else 1


def claims_of(pod: Pod, claim: Callable[[str], ResourceClaim | None]) -> list[PodClaim]:
    """The claims of a pod, in the order of its spec.

    Raises:
        UnitError: one of them is not there (yet), or is not this pod's.
    """
    made = {status.name: status for status in pod.status.resource_claim_statuses}
    found = []
    for wanted in pod.spec.resource_claims:
        generated = wanted.resource_claim_name is None
        name = wanted.resource_claim_name
        if name is None:
            status = made.get(wanted.name)
            if status is None:
                template = wanted.resource_claim_template_name
                raise UnitError(f"the claim for {wanted.name} is not made yet from ResourceClaimTemplate {template}")
            name = status.resource_claim_name
            if name is None:
                continue  # its controller found that none is needed
        known = claim(f"{pod.namespace}/{name}")
        if known is None:
            raise UnitError(f"ResourceClaim {name} does not exist")
        owner = known.metadata.controller
        if generated and owner is not None and owner.kind == "Pod" and owner.uid != pod.metadata.uid:
            raise UnitError(f"ResourceClaim {name} was made for another pod")
        found.append(PodClaim(wanted.name, known, generated))
    return found


def group_of(pod: Pod, claim: str, pod_group: Callable[[str], PodGroup | None]) -> PodGroup | None:
    """The PodGroup that has a claim of its pods (`spec.resourceClaims[].name`) for all of them (KEP-5729).

    A pod's claim is its PodGroup's where both say the same of it: name, and claim or template.
    """
    named = pod.spec.scheduling_group
    group = pod_group(f"{pod.namespace}/{named.pod_group_name}") if named is not None else None
    if group is None:
        return None
    own = [one for one in pod.spec.resource_claims if one.name == claim]
    return group if any(one in group.spec.resource_claims for one in own) else None


def _said(pod: Pod, key: str) -> str | None:
    return pod.metadata.labels.get(key) or pod.metadata.annotations.get(key)
