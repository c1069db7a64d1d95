"""From what users write to what is planned: workloads to pods, pods to claims, as Kubernetes' controllers do it.

Only pods that wait for a node are planned. A pod that can not run as it is written (a claim, a template or a class
is not there) is left out and reported, once for all replicas: planned without its devices it would be wrong. With it
go all pods of its group, which could not run without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.resource.expand.claims import ClaimFinder, Fault
from fairlead.resource.expand.extended import ExtendedResources
from fairlead.resource.expand.planned import PlannedPod, PodClaim
from fairlead.resource.expand.pods import FINISHED, Candidate, candidates, suspended
from fairlead.resource.expand.running import RunningPod, running_pods
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.problem import Problem, not_found
from fairlead.resource.workload import Pod

__all__ = ["PlannedPod", "PodClaim", "RunningPod", "bound_pods", "expand", "running_pods", "suspended"]


def expand(objects: Objects, node_names: Sequence[str]) -> tuple[list[PlannedPod], list[Problem]]:
    """The pods that wait for a node, with their claims; DaemonSets have one for each name of `node_names`."""
    finder = ClaimFinder(objects)
    extended = ExtendedResources(objects.classes)
    planned: list[PlannedPod] = []
    problems: dict[Problem, None] = {}
    broken: set[str | None] = set()
    for candidate in candidates(objects, node_names):
        pod = candidate.pod
        claims, faults = finder.claims_of(pod)
        faults += extended.missing(pod)
        group = _group(candidate, finder, faults)
        if faults:
            broken.add(group or candidate.gang)
            source = _source(objects, candidate)
            for path, reason in faults:
                problem = Problem(candidate.label, f"{candidate.path}.{path}", reason, source)
                problems[problem] = None
            continue
        name = finder.free_name(pod.namespace, f"{pod.name}-extended-resources")
        claim = extended.claim_of(pod, name, finder.extended_claim_of(pod))
        if claim is not None:
            claims.append(claim)
        planned.append(PlannedPod(pod, candidate.owner, group, tuple(claims)))
    broken.discard(None)
    return [entry for entry in planned if entry.group not in broken], list(problems)


def bound_pods(objects: Objects) -> list[Pod]:
    """The pods that have a node and still occupy it."""
    return [pod for pod in objects.pods if pod.spec.node_name and pod.status.phase not in FINISHED]


def _group(candidate: Candidate, finder: ClaimFinder, faults: list[Fault]) -> str | None:
    pod = candidate.pod
    named = pod.spec.scheduling_group
    if named is None or not named.pod_group_name:
        return candidate.gang
    group = finder.group_of(pod)
    if group is None:
        faults.append(("schedulingGroup.podGroupName", not_found(named.pod_group_name)))
        return None
    return f"PodGroup {group.key}" if group.spec.scheduling_policy.gang is not None else None


def _source(objects: Objects, candidate: Candidate) -> str:
    kind, _, rest = candidate.label.partition(' "')
    namespace, _, name = rest.rstrip('"').partition("/")
    return objects.sources.get((kind, namespace, name), "")
