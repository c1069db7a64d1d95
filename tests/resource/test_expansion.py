"""From workloads to pods and claims: names, counts, groups, and what a dump of a cluster already holds."""

from __future__ import annotations

import pytest

from fairlead.resource import PlannedPod, bound_pods, expand, read_text, suspended

TEMPLATE = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu, namespace: ml}
spec:
  metadata: {labels: {team: a}, annotations: {note: b}}
  spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
"""
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: shared, namespace: ml}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
"""
POD_SPEC = """{
  containers: [{name: c, resources: {claims: [{name: gpu}]}}],
  resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]}"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: ml}
spec: %s
"""


def plan(*documents: str, nodes: tuple[str, ...] = ()) -> tuple[list[PlannedPod], list[str]]:
    objects, problems = read_text("\n---\n".join(documents).encode(), "in.yaml")
    assert problems == []
    pods, problems = expand(objects, nodes)
    return pods, [f"{problem.object}: {problem.field}: {problem.reason}" for problem in problems]


def workload(kind: str, version: str, spec: str, name: str = "w") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: ml}}\nspec: {spec}\n"


def test_a_pod_gets_a_claim_from_its_template() -> None:
    (pod,), problems = plan(TEMPLATE, POD % ("p", POD_SPEC))
    assert problems == []
    assert (pod.owner, pod.group) == ("Pod ml/p", None)
    (claim,) = pod.claims
    assert (claim.name, claim.generated, claim.extended) == ("gpu", True, {})
    meta = claim.claim.metadata
    assert (meta.namespace, meta.name, meta.labels) == ("ml", "p-gpu", {"team": "a"})
    assert meta.annotations == {"note": "b", "resource.kubernetes.io/pod-claim-name": "gpu"}
    (owner,) = meta.owner_references
    assert (owner.kind, owner.name, owner.controller) == ("Pod", "p", True)
    assert claim.claim.spec.devices.requests[0].exactly is not None
    assert claim.claim.spec.devices.requests[0].exactly.count == 1


def test_pods_that_name_one_claim_share_the_object() -> None:
    spec = POD_SPEC.replace("resourceClaimTemplateName: one-gpu", "resourceClaimName: shared")
    (first, second), problems = plan(CLAIM, POD % ("a", spec), POD % ("b", spec))
    assert problems == []
    assert first.claims[0].claim is second.claims[0].claim
    assert not first.claims[0].generated


CONTAINERS = f"{{spec: {POD_SPEC}}}"
WORKLOADS = [
    ("Deployment", "apps/v1", f"{{replicas: 2, template: {CONTAINERS}}}", ["w-0", "w-1"], False),
    ("Deployment", "apps/v1", f"{{template: {CONTAINERS}}}", ["w-0"], False),
    ("Deployment", "apps/v1", f"{{replicas: 0, template: {CONTAINERS}}}", [], False),
    ("ReplicaSet", "apps/v1", f"{{replicas: 2, template: {CONTAINERS}}}", ["w-0", "w-1"], False),
    ("ReplicationController", "v1", f"{{replicas: 1, template: {CONTAINERS}}}", ["w-0"], False),
    (
        "StatefulSet",
        "apps/v1",
        f"{{replicas: 2, ordinals: {{start: 5}}, template: {CONTAINERS}}}",
        ["w-5", "w-6"],
        False,
    ),
    ("DaemonSet", "apps/v1", f"{{template: {CONTAINERS}}}", ["w-n1", "w-n2"], False),
    ("Job", "batch/v1", f"{{parallelism: 3, completions: 2, template: {CONTAINERS}}}", ["w-0", "w-1"], False),
    (
        "Job",
        "batch/v1",
        f"{{parallelism: 2, completions: 2, completionMode: Indexed, template: {CONTAINERS}}}",
        ["w-0", "w-1"],
        True,
    ),
    ("CronJob", "batch/v1", f"{{jobTemplate: {{spec: {{template: {CONTAINERS}}}}}}}", ["w-0-0"], False),
    (
        "JobSet",
        "jobset.x-k8s.io/v1alpha2",
        "{replicatedJobs: [{name: j, replicas: 2, "
        f"template: {{spec: {{parallelism: 2, template: {CONTAINERS}}}}}}}]}}",
        ["w-j-0-0", "w-j-0-1", "w-j-1-0", "w-j-1-1"],
        True,
    ),
    (
        "MPIJob",
        "kubeflow.org/v2beta1",
        f"{{mpiReplicaSpecs: {{Launcher: {{template: {CONTAINERS}}}, "
        f"Worker: {{replicas: 2, template: {CONTAINERS}}}}}}}",
        ["w-launcher", "w-worker-0", "w-worker-1"],
        True,
    ),
    (
        "PyTorchJob",
        "kubeflow.org/v1",
        f"{{pytorchReplicaSpecs: {{Master: {{template: {CONTAINERS}}}, "
        f"Worker: {{replicas: 2, template: {CONTAINERS}}}}}}}",
        ["w-master-0", "w-worker-0", "w-worker-1"],
        True,
    ),
    (
        "RayCluster",
        "ray.io/v1",
        f"{{headGroupSpec: {{template: {CONTAINERS}}}, "
        f"workerGroupSpecs: [{{groupName: g, replicas: 2, template: {CONTAINERS}}}]}}",
        ["w-head", "w-g-worker-0", "w-g-worker-1"],
        True,
    ),
    ("Serving", "example.com/v1", f"{{replicas: 2, template: {CONTAINERS}}}", ["w-0", "w-1"], False),
]


@pytest.mark.parametrize(("kind", "version", "spec", "names", "gang"), WORKLOADS, ids=lambda value: str(value)[:20])
def test_pods_of_workloads(kind: str, version: str, spec: str, names: list[str], gang: bool) -> None:
    pods, problems = plan(TEMPLATE, workload(kind, version, spec), nodes=("n1", "n2"))
    assert problems == []
    assert [pod.pod.name for pod in pods] == names
    assert {pod.owner for pod in pods} <= {f"{kind} ml/w"}
    assert {pod.group for pod in pods} <= {f"{kind} ml/w" if gang else None}
    assert [pod.claims[0].claim.name for pod in pods] == [f"{name}-gpu" for name in names]


def test_groups_of_a_leader_worker_set() -> None:
    spec = f"{{replicas: 2, leaderWorkerTemplate: {{size: 3, workerTemplate: {CONTAINERS}}}}}"
    pods, _ = plan(TEMPLATE, workload("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", spec))
    assert [(pod.pod.name, pod.group) for pod in pods] == [
        (name, f"LeaderWorkerSet ml/w group {name[2]}") for name in ("w-0", "w-0-1", "w-0-2", "w-1", "w-1-1", "w-1-2")
    ]


def test_a_kind_that_only_holds_a_template_makes_no_pods() -> None:
    objects, _ = read_text(workload("PodTemplate", "v1", f"{{template: {CONTAINERS}}}").encode(), "in.yaml")
    assert objects.workloads == []
    assert objects.skipped == {"PodTemplate": 1}


def test_daemons_run_where_they_may() -> None:
    nodes = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {gpu: "yes"}}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {gpu: "yes"}}
spec: {taints: [{key: a, effect: NoSchedule}]}
---
apiVersion: v1
kind: Node
metadata: {name: n3}
---
apiVersion: v1
kind: Node
metadata: {name: n4, labels: {gpu: "yes"}}
spec: {taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}
"""
    spec = "{template: {spec: {nodeSelector: {gpu: 'yes'}, containers: [{name: c}]}}}"
    pods, _ = plan(nodes, workload("DaemonSet", "apps/v1", spec), nodes=("n1", "n2", "n3", "n4", "n5"))
    assert [pod.pod.name for pod in pods] == ["w-n1", "w-n4", "w-n5"]
    affinity = pods[0].pod.spec.affinity.node_affinity
    assert affinity is not None
    assert affinity.required is not None
    assert affinity.required.node_selector_terms[0].match_fields[0].values == ["n1"]


PROBLEMS = [
    (
        "resourceClaims: [{name: gpu, resourceClaimTemplateName: none}]",
        'resourceClaims[0].resourceClaimTemplateName: Not found: "none"',
    ),
    (
        "resourceClaims: [{name: gpu, resourceClaimName: none}]",
        'resourceClaims[0].resourceClaimName: Not found: "none"',
    ),
    (
        "resourceClaims: [{name: gpu}]",
        "resourceClaims[0]: Required value: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
    ),
    (
        "resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}, {name: gpu, resourceClaimName: x}]",
        'resourceClaims[1].name: Duplicate value: "gpu"',
    ),
    (
        "resourceClaims: []",
        'containers[0].resources.claims[0]: Not found: "gpu": '
        "must be one of the names in pod.spec.resourceClaims which is empty",
    ),
    (
        "schedulingGroup: {podGroupName: none}, resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]",
        'schedulingGroup.podGroupName: Not found: "none"',
    ),
]


@pytest.mark.parametrize(("claims", "problem"), PROBLEMS)
def test_pods_that_can_not_run_are_reported_and_not_planned(claims: str, problem: str) -> None:
    spec = f"{{containers: [{{name: c, resources: {{claims: [{{name: gpu}}]}}}}], {claims}}}"
    pods, problems = plan(TEMPLATE, POD % ("p", spec))
    assert pods == []
    assert problems == [f'Pod "ml/p": spec.{problem}']


def test_a_problem_of_a_workload_is_reported_once_at_its_template() -> None:
    spec = f"{{replicas: 3, template: {CONTAINERS}}}"
    pods, problems = plan(workload("Deployment", "apps/v1", spec))
    assert pods == []
    path = "spec.template.spec.resourceClaims[0].resourceClaimTemplateName"
    assert problems == [f'Deployment "ml/w": {path}: Not found: "one-gpu"']


def test_a_group_goes_with_its_broken_member() -> None:
    spec = (
        "{mpiReplicaSpecs: {Launcher: {template: {spec: {containers: [{name: c}]}}}, "
        f"Worker: {{template: {CONTAINERS}}}}}}}"
    )
    pods, problems = plan(workload("MPIJob", "kubeflow.org/v2beta1", spec))
    assert pods == []
    assert len(problems) == 1


def test_a_request_that_the_claim_does_not_have() -> None:
    spec = POD_SPEC.replace("claims: [{name: gpu}]", "claims: [{name: gpu, request: tpu}]")
    pods, problems = plan(TEMPLATE, POD % ("p", spec))
    assert pods == []
    assert problems == [
        'Pod "ml/p": spec.containers[0].resources.claims[0].request: Not found: "tpu": '
        'claim "p-gpu" has no such request'
    ]


GROUP = """
apiVersion: scheduling.k8s.io/v1beta1
kind: PodGroup
metadata: {name: g, namespace: ml}
spec:
  schedulingPolicy: {POLICY}
  resourceClaims: [{name: gpu, resourceClaimTemplateName: one-gpu}]
"""


def test_a_podgroup_has_one_claim_for_all_its_pods() -> None:
    spec = POD_SPEC.replace("containers", "schedulingGroup: {podGroupName: g}, containers")
    group = GROUP.replace("POLICY", "gang: {minCount: 2}")
    deployment = workload("Deployment", "apps/v1", f"{{replicas: 2, template: {{spec: {spec}}}}}")
    (first, second), problems = plan(TEMPLATE, group, deployment)
    assert problems == []
    assert (first.group, second.group) == ("PodGroup ml/g", "PodGroup ml/g")
    assert first.claims[0].claim is second.claims[0].claim
    assert first.claims[0].claim.name == "g-gpu"
    assert first.claims[0].claim.metadata.owner_references[0].kind == "PodGroup"


def test_a_claim_of_another_name_is_the_pods_own() -> None:
    spec = "{schedulingGroup: {podGroupName: g}, resourceClaims: [{name: mine, resourceClaimTemplateName: one-gpu}]}"
    group = GROUP.replace("POLICY", "basic: {}")
    (pod,), _ = plan(TEMPLATE, group, POD % ("p", spec))
    assert pod.group is None
    assert pod.claims[0].claim.name == "p-mine"


def test_claims_that_were_made_before_are_found() -> None:
    made = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata:
  name: p-gpu-x7k9m
  namespace: ml
  annotations: {resource.kubernetes.io/pod-claim-name: gpu}
  ownerReferences: [{apiVersion: v1, kind: Pod, name: p, controller: true, uid: "1"}]
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
"""
    (by_owner,), _ = plan(TEMPLATE, made, POD % ("p", POD_SPEC))
    status = "status: {resourceClaimStatuses: [{name: gpu, resourceClaimName: p-gpu-x7k9m}]}"
    (by_status,), _ = plan(TEMPLATE, made.replace("annotations", "labels"), POD % ("p", POD_SPEC) + status)
    for pod in (by_owner, by_status):
        assert pod.claims[0].claim.name == "p-gpu-x7k9m"
        assert pod.claims[0].generated


def test_a_name_that_is_taken_is_not_given_again() -> None:
    taken = CLAIM.replace("shared", "p-gpu")
    (pod,), _ = plan(TEMPLATE, taken, POD % ("p", POD_SPEC))
    assert pod.claims[0].claim.name == "p-gpu-1"


def test_only_pods_that_wait_are_planned() -> None:
    spec = "{containers: []}"
    documents = [
        POD % ("waiting", spec),
        POD % ("running", "{nodeName: n1}") + "status: {phase: Running}",
        POD % ("bound", "{nodeName: n1}"),
        POD % ("done", "{nodeName: n1}") + "status: {phase: Succeeded}",
        POD % ("failed", spec) + "status: {phase: Failed}",
        POD.replace("namespace: ml", "namespace: ml, deletionTimestamp: 2026-01-01T00:00:00Z") % ("leaving", spec),
    ]
    pods, _ = plan(*documents)
    assert [pod.pod.name for pod in pods] == ["waiting"]
    objects, _ = read_text("\n---\n".join(documents).encode(), "in.yaml")
    assert [pod.name for pod in bound_pods(objects)] == ["running", "bound"]


def owned(name: str, kind: str, owner: str, spec: str, status: str = "") -> str:
    meta = f"name: {name}, namespace: ml, ownerReferences: [{{kind: {kind}, name: {owner}, controller: true}}]"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{{meta}}}\nspec: {spec}\n{status}\n"


def test_a_dump_does_not_plan_a_replica_twice() -> None:
    deployment = workload("Deployment", "apps/v1", f"{{replicas: 3, template: {CONTAINERS}}}")
    replica_set = workload("ReplicaSet", "apps/v1", f"{{replicas: 3, template: {CONTAINERS}}}", "w-abc").replace(
        "namespace: ml", "namespace: ml, ownerReferences: [{kind: Deployment, name: w, controller: true}]"
    )
    running = owned("w-abc-1", "ReplicaSet", "w-abc", "{nodeName: n1}", "status: {phase: Running}")
    waiting = owned("w-abc-2", "ReplicaSet", "w-abc", "{}")
    failed = owned("w-abc-3", "ReplicaSet", "w-abc", "{}", "status: {phase: Failed}")
    pods, _ = plan(TEMPLATE, deployment, replica_set, running, waiting, failed)
    assert [(pod.pod.name, pod.owner) for pod in pods] == [
        ("w-abc-2", "Deployment ml/w"),
        ("w-0", "Deployment ml/w"),
    ]


def test_daemons_that_run_are_not_planned_again() -> None:
    daemon_set = workload("DaemonSet", "apps/v1", "{template: {spec: {containers: [{name: c}]}}}")
    running = owned("w-x", "DaemonSet", "w", "{nodeName: n1}")
    pods, _ = plan(daemon_set, running, nodes=("n1", "n2"))
    assert [pod.pod.name for pod in pods] == ["w-n2"]


def test_members_of_a_gang_that_exist_stay_in_it() -> None:
    spec = f"{{mpiReplicaSpecs: {{Worker: {{replicas: 2, template: {CONTAINERS}}}}}}}"
    waiting = owned("w-worker-1", "MPIJob", "w", "{}")
    pods, _ = plan(TEMPLATE, workload("MPIJob", "kubeflow.org/v2beta1", spec), waiting)
    assert [(pod.pod.name, pod.group) for pod in pods] == [
        ("w-worker-1", "MPIJob ml/w"),
        ("w-worker-0", "MPIJob ml/w"),
    ]


def test_pods_with_a_generated_name_get_a_number() -> None:
    pod = POD.replace("name: %s", "generateName: p-") % "{containers: []}"
    pods, _ = plan(pod, pod)
    assert [pod.pod.name for pod in pods] == ["p-0", "p-1"]


def test_ten_thousand_pods_are_expanded_quickly() -> None:
    spec = f"{{replicas: 10000, template: {CONTAINERS}}}"
    pods, problems = plan(TEMPLATE, workload("Deployment", "apps/v1", spec))
    assert problems == []
    assert len(pods) == 10_000
    assert pods[0].pod.spec is pods[9_999].pod.spec


def test_a_template_that_a_controller_makes_is_told_apart() -> None:
    domain = """
apiVersion: resource.nvidia.com/v1beta1
kind: ComputeDomain
metadata: {name: d, namespace: ml}
spec: {channel: {resourceClaimTemplate: {name: one-gpu}}}
"""
    _, problems = plan(domain, POD % ("p", POD_SPEC))
    (problem,) = problems
    assert problem.endswith(
        'Not found: "one-gpu": its controller makes it for ComputeDomain "ml/d", add it to the input'
    )


def test_only_the_indices_that_are_missing_are_planned() -> None:
    """The names of an Indexed Job's pods end in random letters; their annotation says which index they are."""
    spec = f"{{parallelism: 3, completions: 3, completionMode: Indexed, template: {CONTAINERS}}}"
    running = owned("w-1-x8fk2", "Job", "w", "{nodeName: n1}").replace(
        "metadata: {", "metadata: {annotations: {batch.kubernetes.io/job-completion-index: '1'}, "
    )
    pods, _ = plan(TEMPLATE, workload("Job", "batch/v1", spec), running)
    assert [pod.pod.name for pod in pods] == ["w-0", "w-2"]


SUSPENDED = [
    ("Job", "batch/v1", f"{{suspend: true, template: {CONTAINERS}}}", "spec.suspend"),
    ("CronJob", "batch/v1", f"{{suspend: true, jobTemplate: {{spec: {{template: {CONTAINERS}}}}}}}", "spec.suspend"),
    (
        "JobSet",
        "jobset.x-k8s.io/v1alpha2",
        f"{{suspend: true, replicatedJobs: [{{name: j, template: {{spec: {{template: {CONTAINERS}}}}}}}]}}",
        "spec.suspend",
    ),
    (
        "MPIJob",
        "kubeflow.org/v2beta1",
        f"{{runPolicy: {{suspend: true}}, mpiReplicaSpecs: {{Worker: {{template: {CONTAINERS}}}}}}}",
        "spec.runPolicy.suspend",
    ),
]


@pytest.mark.parametrize(("kind", "version", "spec", "field"), SUSPENDED)
def test_suspended_workloads_are_noted_and_not_planned(kind: str, version: str, spec: str, field: str) -> None:
    assert plan(TEMPLATE, workload(kind, version, spec)) == ([], [])
    objects, _ = read_text(workload(kind, version, spec).encode(), "in.yaml")
    [note] = suspended(objects)
    assert str(note) == f'in.yaml: {kind} "ml/w": {field}: suspended, none of its pods are planned'
    awake = spec.replace("true", "false")
    objects, _ = read_text(workload(kind, version, awake).encode(), "in.yaml")
    assert suspended(objects) == []
    assert plan(TEMPLATE, workload(kind, version, awake))[0]


def test_pods_of_a_suspended_workload_that_are_there_still_wait() -> None:
    spec = f"{{suspend: true, template: {CONTAINERS}}}"
    pods, _ = plan(TEMPLATE, workload("Job", "batch/v1", spec), owned("w-x", "Job", "w", "{}"))
    assert [pod.pod.name for pod in pods] == ["w-x"]
