"""Older versions read as v1; versions that are not served, and fields that a version does not have, are named."""

from __future__ import annotations

import pytest

from fairlead.resource import Objects, Problem, read_text, to_builtins, validate

V1_SLICE = """
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: d.example.com
  nodeName: n
  pool: {name: n, generation: 1, resourceSliceCount: 1}
  devices:
  - name: gpu-0
    attributes: {index: {int: 1}}
    capacity: {memory: {value: 1Gi}}
"""
V1BETA1_SLICE = """
apiVersion: resource.k8s.io/v1beta1
kind: ResourceSlice
metadata: {name: s}
spec:
  driver: d.example.com
  nodeName: n
  allNodes: false
  pool: {name: n, generation: 1, resourceSliceCount: 1}
  devices:
  - name: gpu-0
    basic:
      attributes: {index: {int: 1}}
      capacity: {memory: {value: 1Gi}}
"""
V1_CLAIM = """
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: c}
spec:
  devices:
    requests:
    - name: gpu
      exactly: {deviceClassName: gpu.example.com, count: 2}
    - name: nic
      firstAvailable: [{name: a, deviceClassName: nic.example.com}]
"""
V1BETA1_CLAIM = """
apiVersion: resource.k8s.io/v1beta1
kind: ResourceClaim
metadata: {name: c}
spec:
  devices:
    requests:
    - {name: gpu, deviceClassName: gpu.example.com, count: 2}
    - name: nic
      firstAvailable: [{name: a, deviceClassName: nic.example.com}]
"""


def read(text: str) -> tuple[Objects, list[str]]:
    objects, problems = read_text(text.encode(), "in.yaml")
    return objects, [str(problem) for problem in problems]


def test_slices_of_v1beta1_read_as_v1() -> None:
    old, _ = read(V1BETA1_SLICE)
    new, _ = read(V1_SLICE)
    assert old.slices[0].spec == new.slices[0].spec
    assert to_builtins(old.slices[0]) == to_builtins(new.slices[0])


def test_claims_of_v1beta1_read_as_v1() -> None:
    old, problems = read(V1BETA1_CLAIM)
    new, _ = read(V1_CLAIM)
    assert problems == []
    assert old.warnings == []
    assert old.claims[0].spec == new.claims[0].spec


def test_v1beta2_has_the_shape_of_v1() -> None:
    old, _ = read(V1_CLAIM.replace("/v1", "/v1beta2"))
    new, _ = read(V1_CLAIM)
    assert old.claims[0].spec == new.claims[0].spec


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1alpha3"])
def test_taint_rules_of_all_versions(version: str) -> None:
    text = f"""
    apiVersion: resource.k8s.io/{version}
    kind: DeviceTaintRule
    metadata: {{name: r}}
    spec: {{deviceSelector: {{driver: d}}, taint: {{key: a, effect: NoExecute}}}}
    status: {{conditions: []}}
    """
    objects, problems = read(text)
    assert problems == []
    assert objects.warnings == []
    assert objects.taint_rules[0].spec.taint.effect == "NoExecute"


def test_problems_name_fields_as_the_document_does() -> None:
    objects, problems = read(V1BETA1_SLICE.replace("{int: 1}", "{int: one}"))
    assert objects.slices == []
    expected = 'ResourceSlice "s": spec.devices[0].basic.attributes[index].int: Invalid value: "one"'
    assert problems == [f"in.yaml: {expected}: must be an integer"]


def test_validation_names_fields_as_the_document_does() -> None:
    objects, _ = read(V1BETA1_CLAIM.replace("count: 2", "count: -1"))
    assert validate(objects.claims[0]) == [
        Problem(
            'ResourceClaim "default/c"',
            "spec.devices.requests[0].count",
            "Invalid value: -1: must be greater than zero",
        )
    ]


def test_a_version_that_is_not_served() -> None:
    objects, problems = read(V1_CLAIM.replace("/v1", "/v1alpha2"))
    assert objects.claims == []
    (problem,) = problems
    assert 'no matches for kind "ResourceClaim" in version "resource.k8s.io/v1alpha2"' in problem
    assert "resource.k8s.io/v1, resource.k8s.io/v1beta2, resource.k8s.io/v1beta1" in problem


def test_unknown_fields_are_warnings() -> None:
    objects, problems = read(V1_CLAIM + "  shape: round\n")
    assert problems == []
    assert [str(warning) for warning in objects.warnings] == [
        'in.yaml: ResourceClaim "default/c": spec.shape: unknown field "spec.shape"'
    ]
    assert len(objects.claims) == 1


UNKNOWN_MEMBERS = [
    ("{int: 1}", "{int: 1, complex: 2i}", "spec.devices[0].attributes[index].complex"),
    ("{int: 1}", "{complex: 2i}", "spec.devices[0].attributes[index].complex"),
]


@pytest.mark.parametrize(("old", "new", "path"), UNKNOWN_MEMBERS)
def test_an_unknown_value_leaves_an_attribute_without_any(old: str, new: str, path: str) -> None:
    objects, problems = read(V1_SLICE.replace(old, new))
    assert problems == [f'in.yaml: ResourceSlice "s": {path}: unknown field "{path}"']
    assert objects.slices[0].spec.devices[0].attributes["index"].int_ is None
    assert validate(objects.slices[0]) != []


def test_an_unknown_kind_of_request_is_refused_in_every_version() -> None:
    for text in (V1_CLAIM, V1BETA1_CLAIM):
        objects, problems = read(text.replace("- name: nic", "- name: nic\n      roughly: {}"))
        path = "spec.devices.requests[1].roughly"
        assert problems == [f'in.yaml: ResourceClaim "default/c": {path}: unknown field "{path}"']
        assert objects.claims[0].spec.devices.requests[1].first_available == []


def test_an_unknown_constraint_is_refused() -> None:
    objects, problems = read(V1_CLAIM + "    constraints: [{matchAttribute: a.b/c, nearAttribute: a.b/d}]\n")
    path = "spec.devices.constraints[0].nearAttribute"
    assert problems == [f'in.yaml: ResourceClaim "default/c": {path}: unknown field "{path}"']
    assert objects.claims[0].spec.devices.constraints[0].match_attribute is None


def test_a_taint_rule_with_an_unknown_criterion_is_not_used() -> None:
    text = """
    apiVersion: resource.k8s.io/v1alpha3
    kind: DeviceTaintRule
    metadata: {name: r}
    spec: {deviceSelector: {deviceClassName: gpu}, taint: {key: a, effect: NoExecute}}
    """
    objects, problems = read(text)
    assert objects.taint_rules == []
    assert 'unknown field "spec.deviceSelector.deviceClassName"' in problems[0]
