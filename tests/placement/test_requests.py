"""What a pod asks for: the amounts that kube-scheduler counts."""

from __future__ import annotations

from typing import Any

import pytest
from places import container, pod

from fairlead.placement import pod_requests

CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "containers run side by side and add up": (
        {"containers": [container(cpu="1", memory="1Gi"), container(cpu="500m")]},
        {"cpu": "1500m", "memory": "1Gi"},
    ),
    "init containers run one after another and the greatest counts": (
        {"containers": [container(cpu="1")], "initContainers": [container(cpu="3"), container(cpu="2")]},
        {"cpu": "3"},
    ),
    "each resource has its own greatest": (
        {"containers": [container(cpu="4", memory="1Gi")], "initContainers": [container(cpu="1", memory="8Gi")]},
        {"cpu": "4", "memory": "8Gi"},
    ),
    "a sidecar runs beside the containers": (
        {"containers": [container(cpu="2")], "initContainers": [container(cpu="1", sidecar=True)]},
        {"cpu": "3"},
    ),
    "a sidecar runs beside the init containers after it": (
        {"containers": [container(cpu="1")], "initContainers": [container(cpu="2", sidecar=True), container(cpu="4")]},
        {"cpu": "6"},
    ),
    "a sidecar does not run beside the init containers before it": (
        {"containers": [container(cpu="1")], "initContainers": [container(cpu="4"), container(cpu="2", sidecar=True)]},
        {"cpu": "4"},
    ),
    "overhead comes on top": (
        {"containers": [container(cpu="1")], "overhead": {"cpu": "250m", "memory": "120Mi"}},
        {"cpu": "1250m", "memory": "120Mi"},
    ),
    "a limit without a request is a request": (
        {"containers": [container(limits={"cpu": "2", "example.com/gpu": "1"}, cpu="1")]},
        {"cpu": "1", "example.com/gpu": "1"},
    ),
    "the pod's own requests replace those of its containers": (
        {"containers": [container(cpu="1", memory="1Gi")], "resources": {"requests": {"cpu": "4"}}},
        {"cpu": "4", "memory": "1Gi"},
    ),
    "the pod's own limit counts where no container says anything": (
        {"containers": [container(cpu="1")], "resources": {"limits": {"cpu": "4", "memory": "2Gi"}}},
        {"cpu": "1", "memory": "2Gi"},
    ),
}


@pytest.mark.parametrize(("spec", "expected"), CASES.values(), ids=CASES)
def test_requests(spec: dict[str, Any], expected: dict[str, str]) -> None:
    containers = spec.pop("containers") if "containers" in spec else []
    made = pod("pod", *containers, **spec)
    assert {name: str(amount) for name, amount in pod_requests(made.spec).items()} == expected
