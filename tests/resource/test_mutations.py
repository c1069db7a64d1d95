"""Manifests with random damage never end in an exception, at any step from reading to expansion."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from fairlead.resource import expand, read_text, validate, validate_pools, write_json, write_yaml
from fairlead.resource.manifest.text import parse_yaml, split_documents

TEXT = """
apiVersion: resource.k8s.io/VERSION
kind: ResourceSlice
metadata: {name: s, labels: {a: b}}
spec:
  driver: d.example.com
  pool: {name: p, generation: 1, resourceSliceCount: 1}
  nodeSelector: {nodeSelectorTerms: [{matchExpressions: [{key: z, operator: In, values: [a]}]}]}
  devices:
  - name: gpu-0
    attributes: {a: {int: 1}, b: {version: 1.0.0}, c: {strings: [x]}}
    capacity: {m: {value: 10Gi, requestPolicy: {default: 1Gi, validRange: {min: 1Gi, step: 1Gi}}}}
    consumesCounters: [{counterSet: s, counters: {m: {value: 1}}}]
    taints: [{key: k, effect: NoSchedule}]
    allowMultipleAllocations: true
---
apiVersion: resource.k8s.io/VERSION
kind: ResourceClaimTemplate
metadata: {name: t}
spec:
  spec:
    devices:
      requests:
      - {name: a, exactly: {deviceClassName: c, selectors: [{cel: {expression: "true"}}], tolerations: [{key: k}]}}
      - {name: b, firstAvailable: [{name: x, deviceClassName: c}]}
      constraints: [{requests: [a, b/x], matchAttribute: d.example.com/a}]
      config: [{opaque: {driver: d, parameters: {x: 1.5}}}]
---
apiVersion: resource.k8s.io/VERSION
kind: DeviceClass
metadata: {name: c}
spec: {extendedResourceName: example.com/gpu}
---
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: j}
spec:
  mpiReplicaSpecs:
    Worker:
      replicas: 2
      template:
        spec:
          containers: [{name: c, resources: {limits: {example.com/gpu: 1}, claims: [{name: g}]}}]
          resourceClaims: [{name: g, resourceClaimTemplateName: t}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: d}
spec: {template: {spec: {nodeSelector: {a: b}, containers: [{name: c}]}}}
"""
ODD: list[Any] = [None, [], {}, "", 0, -1, 1.5, "x", True, [None], {"a": None}, [[]], 2**70, [{"name": 5}], "é" * 99]
SNIPPETS = [
    b"- ",
    b"{",
    b"[",
    b": ",
    b"&a ",
    b"*a",
    b"\n",
    b"'",
    b'"',
    b"<<: ",
    b"---\n",
    b"? ",
    b"| ",
    b"!!int ",
    b"\x00",
]


def work_through(data: bytes) -> None:
    objects, problems = read_text(data, "in")
    for problem in problems:
        str(problem)
    for item in [*objects.slices, *objects.classes, *objects.claims, *objects.templates, *objects.taint_rules]:
        validate(item)
        write_yaml(item)
        write_json(item)
    validate_pools(objects.slices)
    expand(objects, ["n1", "n2"])


def damage(value: Any, chance: random.Random) -> None:
    places: list[tuple[Any, Any]] = []
    open_values = [value]
    while open_values:
        holder = open_values.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                open_values.append(holder[key])
    for holder, key in chance.sample(places, chance.randint(1, 3)):
        if isinstance(holder, dict) and chance.random() < 0.2:
            holder[f"new-{key}"] = holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD))


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("seed", range(10))
def test_damaged_values(version: str, seed: int) -> None:
    chance = random.Random(seed)
    text = TEXT.replace("VERSION", version)
    documents = [document for piece, line in split_documents(text) for document in parse_yaml(piece, line)]
    for _ in range(30):
        items = copy.deepcopy(documents)
        for item in items:
            damage(item, chance)
        dump = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        work_through(dump.encode())
        work_through(f"# yaml\n{dump}".encode())


@pytest.mark.parametrize("seed", range(10))
def test_damaged_bytes(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(30):
        data = bytearray(TEXT.replace("VERSION", "v1").encode())
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            if chance.random() < 0.5:
                data[place : place + chance.randint(0, 20)] = chance.choice(SNIPPETS)
            else:
                data[place] = chance.randrange(256)
        work_through(bytes(data))
