"""The labels and annotations that controllers add to the pods of a workload.

Anti-affinity and topology selectors of real manifests rest on them. Left out is what only a running controller knows:
UIDs, hashes of templates and revisions, times. Where template and controller name the same key, the controller's
value counts, except for those labels of KubeRay that users may set themselves.

Sources: kube-controller-manager (Job, StatefulSet), mpi-operator v2, training-operator v1, JobSet v0.10,
LeaderWorkerSet v0.7, KubeRay v1.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fairlead.resource.base import ObjectMeta
from fairlead.resource.manifest.convert import group_of
from fairlead.resource.manifest.workloads import PodSet, Workload

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
_TRAINING: Final = "training.kubeflow.org/"
_JOBSET: Final = "jobset.sigs.k8s.io/"
_LWS: Final = "leaderworkerset.sigs.k8s.io/"
_OF_STATEFUL_SET: Final = "statefulset.kubernetes.io/pod-name"
_POD_INDEX: Final = "apps.kubernetes.io/pod-index"

_Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Marks:
    """What the pods of one set are marked with. Pods that differ in nothing share their labels."""

    labels: _Labels = field(default_factory=dict)
    annotations: _Labels = field(default_factory=dict)
    numbered: tuple[str, ...] = ()
    """Labels with the number of the pod."""
    noted: tuple[str, ...] = ()
    """Annotations with the number of the pod."""
    named: tuple[str, ...] = ()
    """Labels with the name of the pod."""
    first: _Labels = field(default_factory=dict)
    """Labels of the pod with number 0 alone."""

    def labels_of(self, name: str, number: int) -> _Labels:
        """The labels of one pod."""
        if not self.numbered and not self.named:
            return self.labels
        own = dict.fromkeys(self.numbered, str(number)) | dict.fromkeys(self.named, name)
        return self.labels | own | (self.first if number == 0 else {})

    def annotations_of(self, number: int) -> _Labels:
        """The annotations of one pod."""
        return self.annotations | dict.fromkeys(self.noted, str(number)) if self.noted else self.annotations


class Marker:
    """Marks the pods of one workload; counts its sets once for all of them."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.namespace, self.name = workload.namespace, workload.name
        sets = workload.pod_sets
        self.roles = Counter(one.role for one in sets)
        self.families = Counter(one.family for one in sets)
        self.workers = {one.ordinal: one.replicas for one in sets if one.role == "worker"}
        self.places: dict[str, tuple[int, int]] = {}
        """For each set, by its prefix, its place among all and in its family."""
        seen: Counter[str] = Counter()
        for place, one in enumerate(sets):
            self.places.setdefault(one.prefix, (place, seen[one.family]))
            seen[one.family] += 1

    def marks(self, pod_set: PodSet) -> Marks:
        """What the pods of a set are marked with, what its template says included."""
        kind, api_version = self.workload.kind, self.workload.api_version
        group, version = group_of(api_version), api_version.rpartition("/")[2]
        make = _MAKERS.get((group, kind))
        if make is None and group == "kubeflow.org" and pod_set.role:
            make = _mpi if kind == "MPIJob" and version.startswith("v2") else _training
        given = pod_set.template.metadata
        return make(self, pod_set, given) if make is not None else Marks(given.labels, given.annotations)


def _added(
    given: ObjectMeta,
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    numbered: tuple[str, ...] = (),
    noted: tuple[str, ...] = (),
    named: tuple[str, ...] = (),
) -> Marks:
    return Marks({**given.labels, **labels}, {**given.annotations, **(annotations or {})}, numbered, noted, named)


def _of_job(job_name: str) -> _Labels:
    return {"batch.kubernetes.io/job-name": job_name, "job-name": job_name}


def _job(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    index = (COMPLETION_INDEX,) if pod_set.indexed else ()
    return _added(given, _of_job(pod_set.prefix), numbered=index, noted=index)


def _stateful_set(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    return _added(given, {}, numbered=(_POD_INDEX,), named=(_OF_STATEFUL_SET,))


def _job_set(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    place, place_in_family = of.places[pod_set.prefix]
    said = {
        f"{_JOBSET}jobset-name": of.name,
        f"{_JOBSET}replicatedjob-name": pod_set.role,
        f"{_JOBSET}replicatedjob-replicas": str(of.roles[pod_set.role]),
        f"{_JOBSET}global-replicas": str(len(of.workload.pod_sets)),
        f"{_JOBSET}job-index": str(pod_set.ordinal),
        f"{_JOBSET}job-global-index": str(place),
        f"{_JOBSET}group-name": pod_set.family,
        f"{_JOBSET}group-replicas": str(of.families[pod_set.family]),
        f"{_JOBSET}job-group-index": str(place_in_family),
        f"{_JOBSET}job-key": _hash(f"{of.namespace}/{pod_set.prefix}"),
        f"{_JOBSET}restart-attempt": "0",
    }
    index = (COMPLETION_INDEX,) if pod_set.indexed else ()
    return _added(given, said | _of_job(pod_set.prefix), said, numbered=index, noted=index)


def _leader_worker_set(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    leader = pod_set.role == "leader"
    leader_name = f"{of.name}-{pod_set.ordinal}"
    size = 1 + of.workers.get(pod_set.ordinal, 0)
    labels = {
        f"{_LWS}name": of.name,
        f"{_LWS}group-index": str(pod_set.ordinal),
        f"{_LWS}group-key": _hash(f"{of.namespace}/{leader_name}"),
    }
    annotations = {f"{_LWS}size": str(size)}
    if leader:
        labels |= {f"{_LWS}worker-index": "0", _POD_INDEX: str(pod_set.ordinal)}
        return _added(given, labels, annotations, named=(_OF_STATEFUL_SET,))
    annotations[f"{_LWS}leader-name"] = leader_name
    return _added(given, labels, annotations, numbered=(f"{_LWS}worker-index", _POD_INDEX), named=(_OF_STATEFUL_SET,))


def _mpi(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    """The pods of mpi-operator; its launcher is the pod of a Job."""
    labels = {
        f"{_TRAINING}operator-name": "mpi-operator",
        f"{_TRAINING}job-name": of.name,
        f"{_TRAINING}job-role": pod_set.role.lower(),
    }
    if not pod_set.numbered:
        return _added(given, labels | _of_job(pod_set.prefix))
    return _added(given, labels, numbered=(f"{_TRAINING}replica-index",))


def _training(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    """The pods of training-operator; `master` is the one that leads, of a TFJob without chief its first worker."""
    kind = of.workload.kind
    labels = {
        f"{_TRAINING}operator-name": f"{kind.lower()}-controller",
        f"{_TRAINING}job-name": of.name,
        f"{_TRAINING}replica-type": pod_set.role.lower(),
    }
    if pod_set.role in ("Master", "Chief", "Launcher"):
        labels[f"{_TRAINING}job-role"] = "master"
    numbered = (f"{_TRAINING}replica-index",) if pod_set.numbered else ()
    marks = _added(given, labels, numbered=numbered)
    if kind == "TFJob" and pod_set.role == "Worker" and not of.roles.keys() & {"Master", "Chief"}:
        return replace(marks, first={f"{_TRAINING}job-role": "master"})
    return marks


def _ray(of: Marker, pod_set: PodSet, given: ObjectMeta) -> Marks:
    node_type = "worker" if pod_set.numbered else "head"
    free = {
        "ray.io/is-ray-node": "yes",
        "ray.io/identifier": f"{of.name}-{node_type}"[-63:].lstrip("-_."),
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    fixed = {"ray.io/cluster": of.name, "ray.io/node-type": node_type, "ray.io/group": pod_set.role}
    return Marks({**free, **given.labels, **fixed}, given.annotations)


def _hash(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_MAKERS: Final[dict[tuple[str, str], Callable[[Marker, PodSet, ObjectMeta], Marks]]] = {
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _job,
    ("apps", "StatefulSet"): _stateful_set,
    ("jobset.x-k8s.io", "JobSet"): _job_set,
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): _leader_worker_set,
    ("ray.io", "RayCluster"): _ray,
    ("ray.io", "RayJob"): _ray,
    ("ray.io", "RayService"): _ray,
}
