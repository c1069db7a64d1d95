"""Inputs for the command line, and the types of the fixtures that run it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]
Program = Callable[..., "subprocess.CompletedProcess[bytes]"]


def write(path: Path, text: str) -> Path:
    """Writes a file and returns its path."""
    path.write_text(text)
    return path


CLUSTER = """\
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: node-1-gpu}
spec:
  driver: gpu.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 1, resourceSliceCount: 1}
  devices:
  - name: gpu-0
    attributes: {model: {string: Falcon}, resource.kubernetes.io/pcieRoot: {string: pci0000:10}, index: {int: 0}}
    capacity: {memory: {value: 80Gi}}
  - name: gpu-1
    attributes: {model: {string: Swift}, resource.kubernetes.io/pcieRoot: {string: pci0000:20}, index: {int: 1}}
    capacity: {memory: {value: 24Gi}}
"""

WORKLOAD = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one-gpu, namespace: ml}
spec:
  spec:
    devices:
      requests:
      - name: gpu
        exactly:
          deviceClassName: gpu.example.com
          selectors:
          - cel: {expression: 'device.attributes["gpu.example.com"].index >= 0'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: infer, namespace: ml}
spec:
  replicas: 2
  selector: {matchLabels: {app: infer}}
  template:
    metadata: {labels: {app: infer}}
    spec:
      containers:
      - name: main
        image: example
        resources: {claims: [{name: gpu}]}
      resourceClaims:
      - {name: gpu, resourceClaimTemplateName: one-gpu}
"""
