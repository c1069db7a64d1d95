# ruff: noqa: RUF012 - msgspec copies the empty defaults
"""What makes pods, reduced to sets of equal pods: how many, named how, together with which others.

Kinds of Kubernetes and of the common training operators are known by name, since they name pods and count them in
their own ways. Any other kind that holds a pod template in the usual places (`spec.template`,
`spec.*ReplicaSpecs`) is read like a Deployment or a training job. A kind without a template makes no pods here.

Names follow the controllers where those are deterministic; where a controller adds random letters, a number takes
their place.

Sources: kube-controller-manager, JobSet, LeaderWorkerSet, mpi-operator v2, training-operator v1, KubeRay v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fairlead.resource.base import KubeObject, Model
from fairlead.resource.codec import decode_hook
from fairlead.resource.manifest.schema import Finding, examine, shape_of
from fairlead.resource.problem import invalid
from fairlead.resource.workload import PodTemplateSpec

MAX_PODS: Final = 100_000


class PodSet(Model, frozen=True):
    """Equal pods of a workload.

    Pod `i` is called `prefix-<start + i>`, or `prefix` alone where the set is not `numbered`. `daemon` means one
    pod a node instead of `replicas`. All sets with the same `gang` run together or not at all.

    What the labels of the pods say: `role`, the replica type, replicated job or group of the set; `family`, how
    that is counted together with others where the kind lets users say so; `ordinal`, which of the equal sets of its
    role this is; `indexed`, that the pods of a Job know their completion index.
    """

    prefix: str
    template: PodTemplateSpec
    path: str = "spec.template"
    replicas: int = 1
    numbered: bool = True
    start: int = 0
    daemon: bool = False
    gang: str | None = None
    role: str = ""
    family: str = ""
    ordinal: int = 0
    indexed: bool = False


class Workload(KubeObject, frozen=True):
    """An object that makes pods; `suspended` is the field that says that it makes none for now."""

    pod_sets: list[PodSet] = []
    suspended: str = ""


class _Reader:
    """Reads numbers and templates of one document and notes what is wrong with them."""

    def __init__(self, document: dict[str, Any], name: str, label: str) -> None:
        self.spec: dict[str, Any] = _dict(document.get("spec"))
        self.name = name
        self.label = label
        self.findings: list[Finding] = []
        self.sets: list[PodSet] = []

    def number(self, holder: dict[str, Any], field: str, default: int, path: str = "spec") -> int:
        value = holder.get(field)
        if value is None:
            return default
        if type(value) is not int or value < 0:
            self.findings.append(Finding(f"{path}.{field}", invalid(value, "must be a number of at least 0"), "error"))
            return 0
        if value > MAX_PODS:
            reason = invalid(value, f"more than {MAX_PODS} pods of one object are not planned")
            self.findings.append(Finding(f"{path}.{field}", reason, "error"))
            return 0
        return value

    def add(self, template: Any, path: str, prefix: str, replicas: int = 1, **more: Any) -> None:
        value, findings = examine(template, shape_of(PodTemplateSpec), path, strict=False)
        if findings:
            self.findings += findings
            return
        converted = msgspec.convert(value, PodTemplateSpec, dec_hook=decode_hook)
        self.sets.append(PodSet(prefix, converted, path, replicas=replicas, **more))


def read_pod_sets(document: dict[str, Any], kind: str, name: str, label: str) -> tuple[list[PodSet], list[Finding]]:
    """The pod sets of a document; none and no finding when its kind makes no pods. `label` names its gang."""
    reader = _Reader(document, name, label)
    known = {
        "DaemonSet": _daemon_set,
        "Job": _job,
        "CronJob": _cron_job,
        "JobSet": _job_set,
        "LeaderWorkerSet": _leader_worker_set,
        "RayCluster": _ray_cluster,
        "RayJob": _ray_job,
        "RayService": _ray_service,
        "PodTemplate": _nothing,
    }
    known.get(kind, _generic)(reader)
    if sum(pods.replicas for pods in reader.sets) > MAX_PODS:
        reason = f"Forbidden: more than {MAX_PODS} pods of one object are not planned"
        return [], [Finding("spec", reason, "error")]
    return reader.sets, reader.findings


def suspended(document: dict[str, Any]) -> str:
    """The field by which a workload is told to make no pods for now; empty where there is none."""
    spec = _dict(document.get("spec"))
    if spec.get("suspend") is True:
        return "spec.suspend"
    return "spec.runPolicy.suspend" if _dict(spec.get("runPolicy")).get("suspend") is True else ""


def _generic(reader: _Reader) -> None:
    spec = reader.spec
    roles = [
        (role, replica, f"spec.{field}.{role}")
        for field, specs in spec.items()
        if field.endswith("ReplicaSpecs") and isinstance(specs, dict)
        for role, replica in specs.items()
        if isinstance(replica, dict) and _is_template(replica.get("template"))
    ]
    for role, replica, path in roles:
        replicas = reader.number(replica, "replicas", 1, path)
        # mpi-operator calls its one launcher `<job>-launcher`; every other replica has an index.
        numbered = role != "Launcher"
        prefix = f"{reader.name}-{role.lower()}"
        more: dict[str, Any] = {"numbered": numbered, "gang": reader.label, "role": role}
        reader.add(replica["template"], f"{path}.template", prefix, replicas, **more)
    if _is_template(spec.get("template")):
        replicas = reader.number(spec, "replicas", 1)
        start = reader.number(_dict(spec.get("ordinals")), "start", 0, "spec.ordinals")
        reader.add(spec["template"], "spec.template", reader.name, replicas, start=start)


def _daemon_set(reader: _Reader) -> None:
    reader.add(reader.spec.get("template"), "spec.template", reader.name, daemon=True)


def _job(reader: _Reader) -> None:
    _add_job(reader, reader.spec, "spec", reader.name, reader.label)


def _cron_job(reader: _Reader) -> None:
    job = _dict(_dict(reader.spec.get("jobTemplate")).get("spec"))
    _add_job(reader, job, "spec.jobTemplate.spec", f"{reader.name}-0", reader.label)


def _add_job(reader: _Reader, job: dict[str, Any], path: str, prefix: str, gang: str | None) -> None:
    """The pods of a Job that run at the same time; those of an indexed one that all do are a gang."""
    parallelism = reader.number(job, "parallelism", 1, path)
    completions = reader.number(job, "completions", parallelism, path)
    indexed = job.get("completionMode") == "Indexed"
    reader.add(
        job.get("template"),
        f"{path}.template",
        prefix,
        min(parallelism, completions),
        gang=gang if indexed and completions == parallelism > 1 else None,
        indexed=indexed,
    )


def _job_set(reader: _Reader) -> None:
    for index, replicated in _dicts(reader.spec.get("replicatedJobs")):
        path = f"spec.replicatedJobs[{index}]"
        job = _dict(_dict(replicated.get("template")).get("spec"))
        parallelism = reader.number(job, "parallelism", 1, f"{path}.template.spec")
        completions = reader.number(job, "completions", parallelism, f"{path}.template.spec")
        # Jobs of a JobSet are indexed unless they say otherwise.
        indexed = job.get("completionMode") != "NonIndexed"
        role = str(replicated.get("name", ""))
        family = str(replicated.get("groupName") or "default")
        more: dict[str, Any] = {"gang": reader.label, "role": role, "family": family, "indexed": indexed}
        for number in range(reader.number(replicated, "replicas", 1, path)):
            prefix = f"{reader.name}-{role}-{number}"
            replicas = min(parallelism, completions)
            template_path = f"{path}.template.spec.template"
            reader.add(job.get("template"), template_path, prefix, replicas, ordinal=number, **more)


def _leader_worker_set(reader: _Reader) -> None:
    templates = _dict(reader.spec.get("leaderWorkerTemplate"))
    path = "spec.leaderWorkerTemplate"
    size = reader.number(templates, "size", 1, path)
    leader = "leaderTemplate" if templates.get("leaderTemplate") else "workerTemplate"
    for group in range(reader.number(reader.spec, "replicas", 1)):
        prefix = f"{reader.name}-{group}"
        more: dict[str, Any] = {"gang": f"{reader.label} group {group}", "ordinal": group}
        reader.add(templates.get(leader), f"{path}.{leader}", prefix, numbered=False, role="leader", **more)
        if size > 1:
            workers = templates.get("workerTemplate")
            reader.add(workers, f"{path}.workerTemplate", prefix, size - 1, start=1, role="worker", **more)


def _ray_cluster(reader: _Reader) -> None:
    _add_ray_cluster(reader, reader.spec, "spec")


def _ray_job(reader: _Reader) -> None:
    _add_ray_cluster(reader, _dict(reader.spec.get("rayClusterSpec")), "spec.rayClusterSpec")


def _ray_service(reader: _Reader) -> None:
    _add_ray_cluster(reader, _dict(reader.spec.get("rayClusterConfig")), "spec.rayClusterConfig")


def _add_ray_cluster(reader: _Reader, cluster: dict[str, Any], path: str) -> None:
    head = _dict(cluster.get("headGroupSpec"))
    if head:
        template_path = f"{path}.headGroupSpec.template"
        more: dict[str, Any] = {"numbered": False, "gang": reader.label, "role": "headgroup"}
        reader.add(head.get("template"), template_path, f"{reader.name}-head", **more)
    for index, group in _dicts(cluster.get("workerGroupSpecs")):
        group_path = f"{path}.workerGroupSpecs[{index}]"
        replicas = reader.number(group, "replicas", reader.number(group, "minReplicas", 1, group_path), group_path)
        hosts = reader.number(group, "numOfHosts", 1, group_path)
        role = str(group.get("groupName", ""))
        prefix = f"{reader.name}-{role}-worker"
        template_path = f"{group_path}.template"
        reader.add(group.get("template"), template_path, prefix, replicas * hosts, gang=reader.label, role=role)


def _nothing(reader: _Reader) -> None:
    """A kind that holds a template and makes no pods of it."""


def _is_template(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("spec"), dict) and "containers" in value["spec"]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(value, list):
        yield from ((index, item) for index, item in enumerate(value) if isinstance(item, dict))
