"""What reading yields for manifests that are right: files, kinds, exact values, defaults, and writing back."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fairlead.resource import Objects, Quantity, read_paths, read_text, to_builtins, write_json, write_yaml

SLICE = """
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: node-1-gpu, creationTimestamp: null}
spec:
  driver: gpu.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 2, resourceSliceCount: 1}
  devices:
  - name: gpu-0
    attributes:
      index: {int: 0}
      model: {string: "1.10"}
      driverVersion: {version: 1.2.3}
      resource.kubernetes.io/pcieRoot: {string: pci0000:10}
    capacity:
      memory: {value: 80Gi}
      share: {value: 0.1}
      units: {value: 12345678901234567890}
"""
CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: one-gpu}
spec:
  devices:
    requests:
    - name: gpu
      exactly:
        deviceClassName: gpu.example.com
        tolerations: [{key: example.com/broken}]
    - name: nic
      firstAvailable:
      - {name: fast, deviceClassName: fast.example.com, count: 2}
      - {name: all, deviceClassName: slow.example.com, allocationMode: All}
"""


def read(text: str, source: str = "in.yaml") -> Objects:
    objects, problems = read_text(text.encode(), source)
    assert problems == []
    return objects


def test_a_slice_has_its_values_exactly() -> None:
    (item,) = read(SLICE).slices
    (device,) = item.spec.devices
    assert item.metadata.creation_timestamp is None
    assert device.attributes["index"].int_ == 0
    assert device.attributes["model"].string == "1.10"
    assert device.capacity["share"].value == Quantity.parse("100m")
    assert device.capacity["units"].value.nano == 12345678901234567890 * 10**9


@pytest.mark.parametrize("literal", ["0.1", "1e3", '"1e3"', "80"])
def test_numbers_of_json_keep_their_text(literal: str) -> None:
    text = (
        '{"apiVersion":"resource.k8s.io/v1","kind":"ResourceSlice","metadata":{"name":"a"},"spec":{"driver":"d",'
        '"pool":{"name":"p"},"devices":[{"name":"x","capacity":{"c":{"value":LITERAL}}}]}}'
    )
    (item,) = read(text.replace("LITERAL", literal)).slices
    assert item.spec.devices[0].capacity["c"].value == Quantity.parse(literal.strip('"'))


def test_claims_are_defaulted_and_namespaced() -> None:
    (claim,) = read(CLAIM).claims
    gpu, nic = claim.spec.devices.requests
    assert claim.namespace == "default"
    assert gpu.exactly is not None
    assert (gpu.exactly.allocation_mode, gpu.exactly.count) == ("ExactCount", 1)
    assert gpu.exactly.tolerations[0].operator == "Equal"
    assert [(sub.allocation_mode, sub.count) for sub in nic.first_available] == [("ExactCount", 2), ("All", 0)]


def test_limits_of_containers_are_requests() -> None:
    text = """
    apiVersion: v1
    kind: Pod
    metadata: {name: a}
    spec: {containers: [{name: c, resources: {limits: {example.com/gpu: 2, cpu: 1}, requests: {cpu: 500m}}}]}
    """
    (pod,) = read(text).pods
    requests = pod.spec.containers[0].resources.requests
    assert {name: str(value) for name, value in requests.items()} == {"cpu": "500m", "example.com/gpu": "2"}


def test_kinds_without_a_part_in_allocation_are_counted() -> None:
    text = """
    apiVersion: v1
    kind: Namespace
    metadata: {name: a}
---
    apiVersion: resource.nvidia.com/v1beta1
    kind: ComputeDomain
    spec: {numNodes: 4}
---
    apiVersion: v1
    kind: Namespace
    metadata: {name: b}
"""
    assert read(text).skipped == {"Namespace": 2, "ComputeDomain.resource.nvidia.com": 1}


def test_a_podgroup_of_another_group_is_another_kind() -> None:
    objects = read("apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: a}\n")
    assert objects.pod_groups == []
    assert objects.skipped == {"PodGroup.scheduling.x-k8s.io": 1}


@pytest.mark.parametrize("kind", ["List", "ResourceClaimList"])
@pytest.mark.parametrize("style", ["yaml", "json"])
def test_lists_of_either_kind(kind: str, style: str) -> None:
    item = {"metadata": {"name": "a"}, "spec": {}}
    if kind == "List":
        item |= {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
    version = "v1" if kind == "List" else "resource.k8s.io/v1"
    text = json.dumps({"apiVersion": version, "kind": kind, "items": [item]})
    objects = read(text if style == "json" else f"# a comment keeps this YAML\n{text}")
    assert [(claim.kind, claim.key) for claim in objects.claims] == [("ResourceClaim", "default/a")]


def test_json_values_one_after_the_other() -> None:
    one = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"}}'
    assert [pod.name for pod in read(f"{one % 'a'}\n{one % 'b'}").pods] == ["a", "b"]


def test_anchors_and_merge_keys() -> None:
    text = """
    apiVersion: v1
    kind: Node
    metadata: {name: a, labels: &labels {zone: x, rack: r}}
---
    apiVersion: v1
    kind: Node
    metadata:
      name: b
      labels: {<<: {zone: x, rack: r}, rack: q}
"""
    first, second = read(text).nodes
    assert first.metadata.labels == {"zone": "x", "rack": "r"}
    assert second.metadata.labels == {"zone": "x", "rack": "q"}


def test_scalars_mean_what_kubernetes_says() -> None:
    text = 'apiVersion: v1\nkind: Node\nmetadata: {name: a, annotations: {t: 2024-01-01, v: 1.2.3, s: 10:20, q: "1"}}'
    (node,) = read(text).nodes
    assert node.metadata.annotations == {"t": "2024-01-01", "v": "1.2.3", "s": "10:20", "q": "1"}


def test_directories_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yaml").write_text("apiVersion: v1\nkind: Node\nmetadata: {name: b}\n")
    (tmp_path / "sub" / "c.json").write_text('{"apiVersion":"v1","kind":"Node","metadata":{"name":"c"}}')
    (tmp_path / "a.yml").write_text("apiVersion: v1\nkind: Node\nmetadata: {name: a}\n")
    (tmp_path / "notes.txt").write_text("not a manifest")
    objects, problems = read_paths([str(tmp_path), "-"], lambda: b"apiVersion: v1\nkind: Node\nmetadata: {name: d}\n")
    assert problems == []
    assert [node.name for node in objects.nodes] == ["a", "b", "c", "d"]
    assert objects.source_of(objects.nodes[3]) == "<stdin>"


@pytest.mark.parametrize("text", [SLICE, CLAIM])
@pytest.mark.parametrize("write", [write_yaml, write_json])
def test_what_is_written_reads_back_equal(text: str, write) -> None:  # type: ignore[no-untyped-def]
    objects = read(text)
    (item,) = objects.slices + objects.claims  # type: ignore[operator]
    again = read(write(item))
    (back,) = again.slices + again.claims  # type: ignore[operator]
    assert back == item
    assert write(back) == write(item)


def test_written_keys_stand_in_the_order_of_kubectl() -> None:
    (claim,) = read(CLAIM).claims
    value = to_builtins(claim)
    assert list(value) == ["apiVersion", "kind", "metadata", "spec"]
    assert value["apiVersion"] == "resource.k8s.io/v1"
    assert write_yaml(claim).startswith("apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata:\n")


def test_opaque_parameters_pass_through() -> None:
    text = (
        CLAIM
        + """    config:
    - opaque:
        driver: gpu.example.com
        parameters: {apiVersion: x/v1, kind: Config, ratio: 0.5, list: [1, two, {deep: null}], big: 1e3}
"""
    )
    (claim,) = read(text).claims
    opaque = claim.spec.devices.config[0].opaque
    assert opaque is not None
    expected = {"apiVersion": "x/v1", "kind": "Config", "ratio": 0.5, "list": [1, "two", {"deep": None}], "big": 1000.0}
    assert opaque.parameters == expected
    assert read(write_yaml(claim)).claims == [claim]


def test_a_big_dump_is_read_quickly() -> None:
    device = {
        "attributes": {f"a{i}": {"string": f"value {i}"} for i in range(12)},
        "capacity": {"m": {"value": "80Gi"}},
    }
    devices = [{"name": f"gpu-{i}", **device} for i in range(16)]
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    items = [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"s{i}", "managedFields": [{"manager": "x"}]},
            "spec": {"driver": "d", "nodeName": f"n{i}", "pool": pool, "devices": devices},
        }
        for i in range(1000)
    ]
    data = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    started = time.perf_counter()
    objects, problems = read_text(data, "dump.json")
    elapsed = time.perf_counter() - started
    assert problems == []
    assert objects.warnings == []
    assert len(objects.slices) == 1000
    # Ten times slower than measured on an idle machine; the field by field way takes longer than this.
    assert elapsed / (len(data) / 1e6) < 0.2
