"""Manifests that drivers and clouds publish: all are read, validated and expanded without an exception."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.resource import expand, read_paths, validate, validate_pools, write_yaml
from fairlead.resource.manifest import read_text

ROOT = Path(os.environ.get("FAIRLEAD_SHARED", Path(__file__).parents[3] / "shared")) / "manifests"
FILES = sorted(file for file in ROOT.rglob("*.yaml")) if ROOT.is_dir() else []

# What is really wrong with published files, by a part of their names.
BROKEN = {
    "noschedule_4-pod-not-scheduled": "apiVersion: Required value",
    "mig-parted-config": "apiVersion: Required value",
    "sharing-demo-claims": 'in version "resource.k8s.io/v1alpha2"',
    "selectors_claims": 'in version "resource.k8s.io/v1alpha2"',
    "v1beta1_gpu-test-vfiopci": 'in version "resource.k8s.io/v1alpha3"',
    "demo_nx-test": 'unknown field "spec.spec.devices.requests[0].deviceClassName"',
}


@pytest.mark.skipif(not FILES, reason="the shared manifests are not here")
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_published_manifests(file: Path) -> None:
    objects, problems = read_paths([str(file)])
    expected = next((reason for part, reason in BROKEN.items() if part in file.name), None)
    if expected is None:
        assert problems == []
    else:
        assert problems
        assert all(expected in str(problem) for problem in problems)
    for item in [*objects.slices, *objects.classes, *objects.claims, *objects.templates, *objects.taint_rules]:
        found = [problem for problem in validate(item) if "uid" not in problem.field]
        assert found == [] or expected
        again, _ = read_text(write_yaml(item).encode(), "again")
        assert len(again.sources) == 1
    assert validate_pools(objects.slices) == []
    expand(objects, ["node-1", "node-2"])
