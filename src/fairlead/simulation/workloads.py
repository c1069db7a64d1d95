"""Jobs as the objects that a user would submit, and the pods and claims that Kubernetes makes of them.

A training job of several pods is an indexed Job that runs all of them at once, which makes them a gang; a small job is
a Pod; inference is a Deployment. Each pod has one claim from a template: GPUs of the cluster's class and, where it asks
for NICs, functions for RDMA that are not virtual. No constraint joins them: that is what most manifests do, and it
leaves the choice to whoever allocates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from fairlead.resource import Objects, PlannedPod, expand, read_text
from fairlead.simulation.jobs import Arrival, Shape

NAMESPACE: Final = "simulated"
_RDMA: Final = 'device.attributes["dra.net"].rdma == true && device.attributes["dra.net"].virtual == false'
_CPU_A_GPU: Final = 8
_GIB_A_GPU: Final = 64


@dataclass(frozen=True, slots=True)
class Classes:
    """The DeviceClasses that jobs ask for; no NICs are asked for where `nic` is empty."""

    gpu: str
    nic: str = ""


def objects_of(arrival: Arrival, classes: Classes) -> Objects:
    """What a user submits for the job: a ResourceClaimTemplate, and a Job, Pod or Deployment."""
    shape = arrival.shape
    items = [_template(shape, classes), _workload(arrival, classes)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    objects, problems = read_text(text.encode(), arrival.name)
    assert not problems, problems
    return objects


def pods_of(arrival: Arrival, classes: Classes) -> list[PlannedPod]:
    """The pods of the job with their claims, which wait for a node."""
    pods, problems = expand(objects_of(arrival, classes), ())
    assert not problems, problems
    return pods


def _template_name(shape: Shape) -> str:
    return f"gpus-{shape.gpus}-nics-{shape.nics}"


def _template(shape: Shape, classes: Classes) -> dict[str, Any]:
    requests = [{"name": "gpu", "exactly": {"deviceClassName": classes.gpu, "count": shape.gpus}}]
    if shape.nics and classes.nic:
        selectors = [{"cel": {"expression": _RDMA}}]
        exactly = {"deviceClassName": classes.nic, "count": shape.nics, "selectors": selectors}
        requests.append({"name": "nic", "exactly": exactly})
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": _template_name(shape), "namespace": NAMESPACE},
        "spec": {"spec": {"devices": {"requests": requests}}},
    }


def _workload(arrival: Arrival, classes: Classes) -> dict[str, Any]:
    shape = arrival.shape
    amounts = {"cpu": str(_CPU_A_GPU * shape.gpus), "memory": f"{_GIB_A_GPU * shape.gpus}Gi"}
    container = {"name": "main", "resources": {"requests": amounts, "claims": [{"name": "devices"}]}}
    claim = {"name": "devices", "resourceClaimTemplateName": _template_name(shape)}
    spec = {"containers": [container], "resourceClaims": [claim]}
    metadata = {"name": arrival.name, "namespace": NAMESPACE}
    if shape.kind == "training" and shape.pods > 1:
        job = {"parallelism": shape.pods, "completions": shape.pods, "completionMode": "Indexed"}
        body = {**job, "template": {"spec": {**spec, "restartPolicy": "Never"}}}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}
    if shape.kind == "inference" or shape.pods > 1:
        labels = {"app": arrival.name}
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {"replicas": shape.pods, "selector": {"matchLabels": labels}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
