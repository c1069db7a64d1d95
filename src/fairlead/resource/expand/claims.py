"""From a pod to its claims: existing ones by name, new ones from templates, one for all of a PodGroup.

A claim that is made here has the name `<pod>-<claim>`; a cluster would add random letters. One that was made before
is found as the controller finds it: by the pod's status, or by its owner and the annotation with the pod's name for
it. Pods that name the same claim get the very same object.

Source: `k8s.io/kubernetes` pkg/controller/resourceclaim, ValidatePodSpec of pkg/apis/core, KEP-5729.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fairlead.resource.base import ObjectMeta, OwnerReference
from fairlead.resource.claim import ResourceClaim, ResourceClaimTemplate
from fairlead.resource.expand.planned import PodClaim
from fairlead.resource.manifest.convert import V1
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.problem import duplicate, invalid, not_found, required
from fairlead.resource.workload import Container, Pod, PodGroup, PodResourceClaim

CLAIM_NAME_ANNOTATION: Final = "resource.kubernetes.io/pod-claim-name"
EXTENDED_ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"
_NAME_MAX: Final = 253

# Field path below the pod's spec, and reason.
Fault = tuple[str, str]


class ClaimFinder:
    """Finds or makes the claims of pods; remembers what it made for groups."""

    def __init__(self, objects: Objects) -> None:
        self.claims = {(claim.namespace, claim.name): claim for claim in objects.claims}
        self._templates = {(template.namespace, template.name): template for template in objects.templates}
        self._promised = objects.promised
        self._groups = {(group.namespace, group.name): group for group in objects.pod_groups}
        self._owned: dict[tuple[str, str, str, str], ResourceClaim] = {}
        self._extended: dict[tuple[str, str], ResourceClaim] = {}
        for claim in objects.claims:
            annotations = claim.metadata.annotations
            name = annotations.get(CLAIM_NAME_ANNOTATION)
            for owner in claim.metadata.owner_references:
                if owner.controller and name is not None:
                    self._owned.setdefault((claim.namespace, owner.kind, owner.name, name), claim)
                if owner.controller and annotations.get(EXTENDED_ANNOTATION) == "true":
                    self._extended.setdefault((claim.namespace, owner.name), claim)
        self._shared: dict[tuple[str, str, str], ResourceClaim] = {}

    def group_of(self, pod: Pod) -> PodGroup | None:
        """The PodGroup that a pod names, if it is there."""
        group = pod.spec.scheduling_group
        return self._groups.get((pod.namespace, group.pod_group_name)) if group else None

    def claims_of(self, pod: Pod) -> tuple[list[PodClaim], list[Fault]]:
        """The claims of a pod in the order of its spec, and what is wrong with them."""
        found: list[PodClaim] = []
        faults: list[Fault] = []
        names: set[str] = set()
        for index, wanted in enumerate(pod.spec.resource_claims):
            path = f"resourceClaims[{index}]"
            if wanted.name in names:
                faults.append((f"{path}.name", duplicate(wanted.name)))
                continue
            names.add(wanted.name)
            claim = self._claim(pod, wanted, path, faults)
            if claim is not None:
                found.append(claim)
        faults += _check_containers(pod, names, {claim.name: claim.claim for claim in found})
        return found, faults

    def extended_claim_of(self, pod: Pod) -> ResourceClaim | None:
        """The claim of the input that kube-scheduler made for the extended resources of a pod."""
        return self._extended.get((pod.namespace, pod.name))

    def _claim(self, pod: Pod, wanted: PodResourceClaim, path: str, faults: list[Fault]) -> PodClaim | None:
        name, template = wanted.resource_claim_name, wanted.resource_claim_template_name
        if name is not None and template is not None:
            shown = {"resourceClaimName": name, "resourceClaimTemplateName": template}
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            faults.append((path, invalid(shown, detail)))
            return None
        if name is not None:
            claim = self.claims.get((pod.namespace, name))
            if claim is None:
                faults.append((f"{path}.resourceClaimName", not_found(name)))
                return None
            return PodClaim(wanted.name, claim)
        if template is None:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            faults.append((path, required(detail)))
            return None
        group = self.group_of(pod)
        if group is not None and wanted in group.spec.resource_claims:
            return self._group_claim(pod, group, wanted, template, path, faults)
        return self._pod_claim(pod, wanted, template, path, faults)

    def _pod_claim(
        self, pod: Pod, wanted: PodResourceClaim, template: str, path: str, faults: list[Fault]
    ) -> PodClaim | None:
        name = f"{pod.name}-{wanted.name}"
        for status in pod.status.resource_claim_statuses:
            if status.name == wanted.name:
                if status.resource_claim_name is None:
                    return None  # the controller found that no claim is needed
                name = status.resource_claim_name
                existing = self.claims.get((pod.namespace, name))
                if existing is not None:
                    return PodClaim(wanted.name, existing, generated=True)
        existing = self._owned.get((pod.namespace, "Pod", pod.name, wanted.name))
        if existing is not None:
            return PodClaim(wanted.name, existing, generated=True)
        owner = OwnerReference("v1", "Pod", pod.name, pod.metadata.uid, True)
        claim = self._make(pod.namespace, name, wanted.name, template, owner, path, faults)
        return PodClaim(wanted.name, claim, generated=True) if claim is not None else None

    def _group_claim(
        self,
        pod: Pod,
        group: PodGroup,
        wanted: PodResourceClaim,
        template: str,
        path: str,
        faults: list[Fault],
    ) -> PodClaim | None:
        key = (group.namespace, group.name, wanted.name)
        claim = self._shared.get(key) or self._owned.get((group.namespace, "PodGroup", group.name, wanted.name))
        if claim is None:
            owner = OwnerReference(group.api_version, "PodGroup", group.name, group.metadata.uid, True)
            name = f"{group.name}-{wanted.name}"
            claim = self._make(pod.namespace, name, wanted.name, template, owner, path, faults)
            if claim is None:
                return None
        self._shared[key] = claim
        return PodClaim(wanted.name, claim, generated=True)

    def _make(
        self,
        namespace: str,
        name: str,
        pod_claim_name: str,
        template_name: str,
        owner: OwnerReference,
        path: str,
        faults: list[Fault],
    ) -> ResourceClaim | None:
        template = self._templates.get((namespace, template_name))
        if template is None:
            promise = self._promised.get((namespace, template_name))
            detail = f": its controller makes it for {promise}, add it to the input" if promise else ""
            faults.append((f"{path}.resourceClaimTemplateName", not_found(template_name) + detail))
            return None
        return from_template(template, self.free_name(namespace, name), pod_claim_name, owner)

    def free_name(self, namespace: str, name: str) -> str:
        """`name`, or the first name with a number after it that no claim of the input has."""
        name = name[:_NAME_MAX]
        number = 0
        free = name
        while (namespace, free) in self.claims:
            number += 1
            free = f"{name[: _NAME_MAX - 8]}-{number}"
        return free


def from_template(
    template: ResourceClaimTemplate, name: str, pod_claim_name: str, owner: OwnerReference
) -> ResourceClaim:
    """The claim that a template makes: its labels, its annotations and its spec."""
    given = template.spec.metadata
    meta = ObjectMeta(
        name=name,
        namespace=template.namespace,
        labels=given.labels,
        annotations={**given.annotations, CLAIM_NAME_ANNOTATION: pod_claim_name},
        owner_references=[owner],
    )
    return ResourceClaim(api_version=V1, kind="ResourceClaim", metadata=meta, spec=template.spec.spec)


def _check_containers(pod: Pod, names: set[str], claims: dict[str, ResourceClaim]) -> Iterator[Fault]:
    kinds: tuple[tuple[str, list[Container]], ...] = (
        ("initContainers", pod.spec.init_containers),
        ("containers", pod.spec.containers),
    )
    for kind, containers in kinds:
        for number, container in enumerate(containers):
            for index, used in enumerate(container.resources.claims):
                path = f"{kind}[{number}].resources.claims[{index}]"
                if used.name not in names:
                    known = f": {', '.join(sorted(names))}" if names else " which is empty"
                    detail = f"must be one of the names in pod.spec.resourceClaims{known}"
                    yield path, f"{not_found(used.name)}: {detail}"
                elif used.request and used.name in claims:
                    requests = {request.name for request in claims[used.name].spec.devices.requests}
                    if used.request not in requests:
                        detail = f'claim "{claims[used.name].name}" has no such request'
                        yield f"{path}.request", f"{not_found(used.request)}: {detail}"
