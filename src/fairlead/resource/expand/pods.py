"""From workloads to the pods that are still to be placed.

A workload whose owner is in the input, too, makes no pods of its own: the ReplicaSet of a Deployment in a dump of a
cluster. Pods of the input count for the workload that controls them, so that a dump does not plan a replica twice.
A suspended workload makes no pods; `suspended` tells which those are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from fairlead.resource.base import KubeObject, ObjectMeta, OwnerReference
from fairlead.resource.expand.daemons import daemon_spec, runs_on
from fairlead.resource.expand.labels import COMPLETION_INDEX, Marker, Marks
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.workloads import PodSet, Workload
from fairlead.resource.problem import Problem
from fairlead.resource.workload import Pod

FINISHED: Final = frozenset({"Succeeded", "Failed"})

_Key = tuple[str, str, str]


@dataclass(frozen=True)
class Candidate:
    """A pod to be placed, and where its spec stands in the input (`path` in the object called `label`)."""

    pod: Pod
    owner: str
    label: str
    path: str
    gang: str | None


def candidates(objects: Objects, node_names: Sequence[str]) -> Iterator[Candidate]:
    """The pending pods of the input, then those that its workloads still lack."""
    families = _Families(objects)
    nodes = {node.name: node for node in objects.nodes}
    unnamed = 0
    for pod in objects.pods:
        if pod.spec.node_name or pod.status.phase in FINISHED or pod.metadata.deletion_timestamp:
            continue
        if not pod.name:
            pod = replace(pod, metadata=replace(pod.metadata, name=f"{pod.metadata.generate_name}{unnamed}"))
            unnamed += 1
        workload = families.workload_of(pod)
        gang = None
        if workload is not None:
            pod_set = _set_of(workload, pod.name)
            gang = pod_set.gang if pod_set else None
        yield Candidate(pod, families.owner_of(pod), f'Pod "{pod.key}"', "spec", gang)
    for workload in objects.workloads:
        if families.workload_of(workload) is not None or workload.suspended:
            continue
        marker = Marker(workload)
        owned = _by_prefix(workload, families.pods_of(workload))
        for pod_set in workload.pod_sets:
            mine = owned.get(pod_set.prefix, [])
            template = pod_set.template
            if template.spec.node_name:
                continue
            marks = marker.marks(pod_set)
            label = f'{workload.kind} "{workload.key}"'
            path = f"{pod_set.path}.spec"
            if pod_set.daemon:
                held = {pod.spec.node_name or _pinned(pod) for pod in mine}
                for name in node_names:
                    if name in held or (name in nodes and not runs_on(template.spec, nodes[name])):
                        continue
                    pod = _pod(workload, pod_set, marks, f"{pod_set.prefix}-{name}", 0)
                    pod = replace(pod, spec=daemon_spec(pod.spec, name))
                    yield Candidate(pod, _title(workload), label, path, pod_set.gang)
                continue
            for name, number in _missing(pod_set, mine):
                pod = _pod(workload, pod_set, marks, name, number)
                yield Candidate(pod, _title(workload), label, path, pod_set.gang)


def suspended(objects: Objects) -> list[Problem]:
    """The workloads that were told to make no pods for now, and by which field."""
    families = _Families(objects)
    return [
        Problem(
            f'{workload.kind} "{workload.key}"',
            workload.suspended,
            "suspended, none of its pods are planned",
            objects.source_of(workload),
        )
        for workload in objects.workloads
        if workload.suspended and families.workload_of(workload) is None
    ]


class _Families:
    """Who controls whom, as far as the input knows."""

    def __init__(self, objects: Objects) -> None:
        self._workloads: dict[_Key, Workload] = {
            (workload.kind, workload.namespace, workload.name): workload for workload in objects.workloads
        }
        self._pods: dict[_Key, list[Pod]] = {}
        for pod in objects.pods:
            workload = self.workload_of(pod)
            # A finished pod of a Job has done its part; any other kind replaces it.
            if workload is not None and (pod.status.phase not in FINISHED or workload.kind == "Job"):
                self._pods.setdefault((workload.kind, workload.namespace, workload.name), []).append(pod)

    def workload_of(self, item: KubeObject) -> Workload | None:
        """The topmost workload of the input above an object."""
        found: Workload | None = None
        seen: set[int] = set()
        while id(item) not in seen:
            seen.add(id(item))
            owner = item.metadata.controller
            if owner is None:
                break
            above = self._workloads.get((owner.kind, item.namespace, owner.name))
            if above is None:
                break
            found = item = above
        return found

    def owner_of(self, pod: Pod) -> str:
        """What a pod of the input belongs to: a workload, what its metadata names, or itself."""
        workload = self.workload_of(pod)
        if workload is not None:
            return _title(workload)
        owner = pod.metadata.controller
        return f"{owner.kind} {pod.namespace}/{owner.name}" if owner else f"Pod {pod.key}"

    def pods_of(self, workload: Workload) -> list[Pod]:
        """The pods of the input that a workload controls."""
        return self._pods.get((workload.kind, workload.namespace, workload.name), [])


def _by_prefix(workload: Workload, pods: list[Pod]) -> dict[str, list[Pod]]:
    """The pods that each set of a workload has, by the prefix of the set."""
    if len(workload.pod_sets) == 1:
        return {workload.pod_sets[0].prefix: pods}
    prefixes = {pod_set.prefix: pod_set for pod_set in workload.pod_sets}
    owned: dict[str, list[Pod]] = {}
    for pod in pods:
        pod_set = _set_with_prefix(prefixes, pod.name)
        if pod_set is not None:
            owned.setdefault(pod_set.prefix, []).append(pod)
    return owned


def _missing(pod_set: PodSet, present: list[Pod]) -> Iterator[tuple[str, int]]:
    """Names and numbers of the pods that a set still lacks."""
    missing = pod_set.replicas - len(present)
    if not pod_set.numbered and pod_set.replicas == 1:
        if missing > 0:
            yield pod_set.prefix, 0
        return
    taken = {pod.name for pod in present}
    if pod_set.indexed:
        # Random letters follow the index in these names.
        taken |= {f"{pod_set.prefix}-{pod.metadata.annotations.get(COMPLETION_INDEX)}" for pod in present}
    number = pod_set.start
    while missing > 0:
        name = f"{pod_set.prefix}-{number}"
        if name not in taken:
            missing -= 1
            yield name, number
        number += 1


def _set_of(workload: Workload, name: str) -> PodSet | None:
    """The set that a pod of a workload belongs to: the only one, or the one whose prefix its name has."""
    if len(workload.pod_sets) == 1:
        return workload.pod_sets[0]
    prefixes = {pod_set.prefix: pod_set for pod_set in workload.pod_sets}
    return _set_with_prefix(prefixes, name)


def _set_with_prefix(prefixes: dict[str, PodSet], name: str) -> PodSet | None:
    """Looks for ever shorter beginnings of a name, since controllers append numbers and random letters."""
    while name:
        found = prefixes.get(name)
        if found is not None:
            return found
        name = name.rpartition("-")[0]
    return None


def _pod(workload: Workload, pod_set: PodSet, marks: Marks, name: str, number: int) -> Pod:
    owner = OwnerReference(workload.api_version, workload.kind, workload.name, workload.metadata.uid, True)
    meta = ObjectMeta(
        name=name,
        namespace=workload.namespace,
        labels=marks.labels_of(name, number),
        annotations=marks.annotations_of(number),
        owner_references=[owner],
    )
    return Pod(api_version="v1", kind="Pod", metadata=meta, spec=pod_set.template.spec)


def _pinned(pod: Pod) -> str:
    """The node that a pod of a DaemonSet waits for."""
    required = pod.spec.affinity.node_affinity and pod.spec.affinity.node_affinity.required
    for term in required.node_selector_terms if required else ():
        for need in term.match_fields:
            if need.key == "metadata.name" and need.operator == "In" and len(need.values) == 1:
                return need.values[0]
    return ""


def _title(workload: Workload) -> str:
    return f"{workload.kind} {workload.key}"
