"""Extended resources that DeviceClasses stand for become the claim that kube-scheduler would write."""

from __future__ import annotations

from fairlead.resource import PlannedPod, expand, read_text

CLASSES = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu.example.com, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {extendedResourceName: example.com/gpu}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: nic.example.com, creationTimestamp: "2026-01-01T00:00:00Z"}
"""


def plan(pod_spec: str, classes: str = CLASSES, more: str = "") -> tuple[list[PlannedPod], list[str]]:
    pod = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: ml}}\nspec: {pod_spec}\n"
    objects, problems = read_text("\n---\n".join([classes, pod, more]).encode(), "in.yaml")
    assert problems == []
    pods, problems = expand(objects, [])
    return pods, [f"{problem.field}: {problem.reason}" for problem in problems]


def requests(pod: PlannedPod) -> list[tuple[str, str, int]]:
    (claim,) = pod.claims
    found = []
    for request in claim.claim.spec.devices.requests:
        assert request.exactly is not None
        assert request.exactly.allocation_mode == "ExactCount"
        found.append((request.name, request.exactly.device_class_name, request.exactly.count))
    return found


def test_one_claim_with_a_request_for_each_container_and_resource() -> None:
    spec = """{containers: [
      {name: a, resources: {limits: {
        cpu: 1, example.com/gpu: 2, deviceclass.resource.kubernetes.io/nic.example.com: 1}}},
      {name: b, resources: {limits: {memory: 1Gi, example.com/gpu: 1}}}]}"""
    (pod,), problems = plan(spec)
    assert problems == []
    # The second number is the place among the sorted names of all resources of the container.
    assert requests(pod) == [
        ("container-0-request-1", "nic.example.com", 1),
        ("container-0-request-2", "gpu.example.com", 2),
        ("container-1-request-0", "gpu.example.com", 1),
    ]
    (claim,) = pod.claims
    assert claim.claim.name == "p-extended-resources"
    assert claim.claim.metadata.annotations == {"resource.kubernetes.io/extended-resource-claim": "true"}
    assert claim.claim.metadata.owner_references[0].name == "p"
    assert claim.extended == {
        "example.com/gpu": ["container-0-request-2", "container-1-request-0"],
        "deviceclass.resource.kubernetes.io/nic.example.com": ["container-0-request-1"],
    }


def test_init_containers_use_what_later_containers_hold() -> None:
    spec = """{initContainers: [
      {name: first, resources: {limits: {example.com/gpu: 1}}},
      {name: big, resources: {limits: {example.com/gpu: 5}}},
      {name: sidecar, restartPolicy: Always, resources: {limits: {example.com/gpu: 1}}}],
     containers: [{name: main, resources: {limits: {example.com/gpu: 2}}}]}"""
    (pod,), _ = plan(spec)
    assert requests(pod) == [
        ("container-1-request-0", "gpu.example.com", 2),
        ("container-2-request-0", "gpu.example.com", 1),
        ("container-3-request-0", "gpu.example.com", 2),
    ]


def test_the_newest_class_wins_then_the_first_name() -> None:
    spec = "{containers: [{name: a, resources: {limits: {example.com/gpu: 1}}}]}"
    newer = (
        CLASSES
        + """
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: z, creationTimestamp: "2026-02-01T00:00:00Z"}
spec: {extendedResourceName: example.com/gpu}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: y, creationTimestamp: "2026-02-01T00:00:00Z"}
spec: {extendedResourceName: example.com/gpu}
"""
    )
    (pod,), _ = plan(spec, newer)
    assert requests(pod) == [("container-0-request-0", "y", 1)]


def test_resources_of_device_plugins_and_zero_amounts_make_no_claim() -> None:
    spec = "{containers: [{name: a, resources: {limits: {vendor.com/gpu: 1, example.com/gpu: 0}}}]}"
    (pod,), problems = plan(spec)
    assert problems == []
    assert pod.claims == ()


def test_an_implicit_name_needs_its_class() -> None:
    spec = "{containers: [{name: a, resources: {limits: {deviceclass.resource.kubernetes.io/tpu: 1}}}]}"
    pods, problems = plan(spec)
    assert pods == []
    assert problems == [
        "spec.containers[0].resources.requests[deviceclass.resource.kubernetes.io/tpu]: "
        'Not found: "tpu": there is no such DeviceClass'
    ]


def test_the_claim_that_kube_scheduler_made_is_used() -> None:
    made = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata:
  name: p-extended-resources-x7k9m
  namespace: ml
  annotations: {resource.kubernetes.io/extended-resource-claim: "true"}
  ownerReferences: [{apiVersion: v1, kind: Pod, name: p, controller: true}]
spec: {devices: {requests: [{name: container-0-request-0, exactly: {deviceClassName: gpu.example.com}}]}}
"""
    (pod,), _ = plan("{containers: [{name: a, resources: {limits: {example.com/gpu: 1}}}]}", more=made)
    assert pod.claims[0].claim.name == "p-extended-resources-x7k9m"
