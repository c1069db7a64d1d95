"""The labels and annotations of pods made from workloads: what their controllers add, and nothing else."""

from __future__ import annotations

import hashlib

import pytest

from fairlead.resource import Pod, expand, read_text

TEMPLATE = "{metadata: {labels: {app: a}, annotations: {note: b}}, spec: {containers: [{name: c}]}}"
TRAINING = "training.kubeflow.org/"
JOBSET = "jobset.sigs.k8s.io/"
LWS = "leaderworkerset.sigs.k8s.io/"


def pods_of(kind: str, version: str, spec: str, nodes: tuple[str, ...] = ()) -> dict[str, Pod]:
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: w, namespace: ml}}\nspec: {spec}\n"
    objects, problems = read_text(text.encode(), "in.yaml")
    assert problems == []
    planned, problems = expand(objects, nodes)
    assert problems == []
    return {one.pod.name: one.pod for one in planned}


def added(pod: Pod) -> dict[str, str]:
    """The labels beside the template's own, which are kept."""
    labels = dict(pod.metadata.labels)
    assert labels.pop("app") == "a"
    assert pod.metadata.annotations["note"] == "b"
    return labels


def replicas(field: str, **roles: int) -> str:
    specs = ", ".join(f"{role}: {{replicas: {count}, template: {TEMPLATE}}}" for role, count in roles.items())
    return f"{{{field}: {{{specs}}}}}"


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


JOB_NAME = {"batch.kubernetes.io/job-name": "w", "job-name": "w"}
EXPECTED: dict[str, tuple[tuple[str, str, str], dict[str, dict[str, str]]]] = {
    "Deployment": (("Deployment", "apps/v1", f"{{replicas: 2, template: {TEMPLATE}}}"), {"w-0": {}, "w-1": {}}),
    "ReplicaSet": (("ReplicaSet", "apps/v1", f"{{template: {TEMPLATE}}}"), {"w-0": {}}),
    "DaemonSet": (("DaemonSet", "apps/v1", f"{{template: {TEMPLATE}}}"), {"w-n1": {}}),
    "a kind nobody knows": (("Serving", "example.com/v1", f"{{template: {TEMPLATE}}}"), {"w-0": {}}),
    "StatefulSet": (
        ("StatefulSet", "apps/v1", f"{{replicas: 2, ordinals: {{start: 4}}, template: {TEMPLATE}}}"),
        {
            f"w-{n}": {"statefulset.kubernetes.io/pod-name": f"w-{n}", "apps.kubernetes.io/pod-index": str(n)}
            for n in (4, 5)
        },
    ),
    "Job": (("Job", "batch/v1", f"{{parallelism: 2, template: {TEMPLATE}}}"), {"w-0": JOB_NAME, "w-1": JOB_NAME}),
    "Indexed Job": (
        ("Job", "batch/v1", f"{{parallelism: 2, completions: 3, completionMode: Indexed, template: {TEMPLATE}}}"),
        {f"w-{n}": JOB_NAME | {"batch.kubernetes.io/job-completion-index": str(n)} for n in range(2)},
    ),
    "CronJob": (
        ("CronJob", "batch/v1", f"{{jobTemplate: {{spec: {{template: {TEMPLATE}}}}}}}"),
        {"w-0-0": {"batch.kubernetes.io/job-name": "w-0", "job-name": "w-0"}},
    ),
    "MPIJob of mpi-operator": (
        ("MPIJob", "kubeflow.org/v2beta1", replicas("mpiReplicaSpecs", Launcher=1, Worker=2)),
        {
            "w-launcher": {
                f"{TRAINING}operator-name": "mpi-operator",
                f"{TRAINING}job-name": "w",
                f"{TRAINING}job-role": "launcher",
                "batch.kubernetes.io/job-name": "w-launcher",
                "job-name": "w-launcher",
            },
            **{
                f"w-worker-{n}": {
                    f"{TRAINING}operator-name": "mpi-operator",
                    f"{TRAINING}job-name": "w",
                    f"{TRAINING}job-role": "worker",
                    f"{TRAINING}replica-index": str(n),
                }
                for n in range(2)
            },
        },
    ),
    "PyTorchJob": (
        ("PyTorchJob", "kubeflow.org/v1", replicas("pytorchReplicaSpecs", Master=1, Worker=1)),
        {
            "w-master-0": {
                f"{TRAINING}operator-name": "pytorchjob-controller",
                f"{TRAINING}job-name": "w",
                f"{TRAINING}replica-type": "master",
                f"{TRAINING}replica-index": "0",
                f"{TRAINING}job-role": "master",
            },
            "w-worker-0": {
                f"{TRAINING}operator-name": "pytorchjob-controller",
                f"{TRAINING}job-name": "w",
                f"{TRAINING}replica-type": "worker",
                f"{TRAINING}replica-index": "0",
            },
        },
    ),
    "TFJob without a chief": (
        ("TFJob", "kubeflow.org/v1", replicas("tfReplicaSpecs", Worker=2)),
        {
            f"w-worker-{n}": {
                f"{TRAINING}operator-name": "tfjob-controller",
                f"{TRAINING}job-name": "w",
                f"{TRAINING}replica-type": "worker",
                f"{TRAINING}replica-index": str(n),
                **({f"{TRAINING}job-role": "master"} if n == 0 else {}),
            }
            for n in range(2)
        },
    ),
    "replica specs of another group": (
        ("OtherJob", "example.com/v1", replicas("otherReplicaSpecs", Worker=1)),
        {"w-worker-0": {}},
    ),
    "LeaderWorkerSet": (
        (
            "LeaderWorkerSet",
            "leaderworkerset.x-k8s.io/v1",
            f"{{replicas: 1, leaderWorkerTemplate: {{size: 2, workerTemplate: {TEMPLATE}}}}}",
        ),
        {
            name: {
                f"{LWS}name": "w",
                f"{LWS}group-index": "0",
                f"{LWS}worker-index": index,
                f"{LWS}group-key": sha1("ml/w-0"),
                "statefulset.kubernetes.io/pod-name": name,
                "apps.kubernetes.io/pod-index": index,
            }
            for name, index in (("w-0", "0"), ("w-0-1", "1"))
        },
    ),
    "RayCluster": (
        (
            "RayCluster",
            "ray.io/v1",
            f"{{headGroupSpec: {{template: {TEMPLATE}}}, workerGroupSpecs: [{{groupName: g, template: {TEMPLATE}}}]}}",
        ),
        {
            name: {
                "ray.io/is-ray-node": "yes",
                "ray.io/cluster": "w",
                "ray.io/node-type": node_type,
                "ray.io/group": group,
                "ray.io/identifier": f"w-{node_type}",
                "app.kubernetes.io/name": "kuberay",
                "app.kubernetes.io/created-by": "kuberay-operator",
            }
            for name, node_type, group in (("w-head", "head", "headgroup"), ("w-g-worker-0", "worker", "g"))
        },
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_labels(name: str) -> None:
    given, expected = EXPECTED[name]
    assert {name: added(pod) for name, pod in pods_of(*given, nodes=("n1",)).items()} == expected


def job_set() -> dict[str, Pod]:
    job = f"template: {{spec: {{parallelism: 2, completions: 2, template: {TEMPLATE}}}}}"
    groups = f"{{name: a, {job}}}, {{name: b, groupName: g, replicas: 2, {job}}}"
    return pods_of("JobSet", "jobset.x-k8s.io/v1alpha2", f"{{replicatedJobs: [{groups}]}}")


def test_the_labels_of_a_job_set_count_its_jobs_in_three_ways() -> None:
    pod = job_set()["w-b-1-1"]
    said = {
        "jobset-name": "w",
        "replicatedjob-name": "b",
        "replicatedjob-replicas": "2",
        "job-index": "1",
        "global-replicas": "3",
        "job-global-index": "2",
        "group-name": "g",
        "group-replicas": "2",
        "job-group-index": "1",
        "job-key": sha1("ml/w-b-1"),
        "restart-attempt": "0",
    }
    own = {f"{JOBSET}{key}": value for key, value in said.items()}
    index = {"batch.kubernetes.io/job-completion-index": "1"}
    job_name = {"batch.kubernetes.io/job-name": "w-b-1", "job-name": "w-b-1"}
    assert added(pod) == own | index | job_name
    assert pod.metadata.annotations == {"note": "b"} | own | index


def test_indices_are_annotations_too() -> None:
    spec = f"{{parallelism: 2, completions: 2, completionMode: Indexed, template: {TEMPLATE}}}"
    pod = pods_of("Job", "batch/v1", spec)["w-1"]
    assert pod.metadata.annotations == {"note": "b", "batch.kubernetes.io/job-completion-index": "1"}


def test_annotations_of_a_leader_worker_set() -> None:
    spec = f"{{replicas: 1, leaderWorkerTemplate: {{size: 3, workerTemplate: {TEMPLATE}}}}}"
    pods = pods_of("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1", spec)
    assert pods["w-0"].metadata.annotations == {"note": "b", f"{LWS}size": "3"}
    assert pods["w-0-2"].metadata.annotations == {"note": "b", f"{LWS}size": "3", f"{LWS}leader-name": "w-0"}


def test_controllers_overwrite_the_template_but_kuberay_only_in_part() -> None:
    labels = "{job-name: mine, app: a, ray.io/cluster: mine, ray.io/identifier: mine}"
    template = TEMPLATE.replace("{app: a}", labels)
    assert pods_of("Job", "batch/v1", f"{{template: {template}}}")["w-0"].metadata.labels["job-name"] == "w"
    head = pods_of("RayCluster", "ray.io/v1", f"{{headGroupSpec: {{template: {template}}}}}")["w-head"]
    assert head.metadata.labels["ray.io/cluster"] == "w"
    assert head.metadata.labels["ray.io/identifier"] == "mine"


def test_pods_that_differ_in_nothing_share_their_labels() -> None:
    pods = pods_of("Deployment", "apps/v1", f"{{replicas: 2, template: {TEMPLATE}}}")
    assert pods["w-0"].metadata.labels is pods["w-1"].metadata.labels
