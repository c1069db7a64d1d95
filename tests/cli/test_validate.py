"""`fairlead validate`: one line an error, and nothing but errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import CLUSTER, WORKLOAD, Run


def test_valid_objects_are_counted(run: Run, cluster: Path, workload: Path) -> None:
    result = run("validate", "-f", cluster, "-f", workload)
    assert (result.exit_code, result.stdout) == (0, "3 objects are valid\n")


def test_other_kinds_are_skipped_and_named(run: Run) -> None:
    result = run("validate", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n" + CLUSTER)
    assert (result.exit_code, result.stdout) == (0, "1 object is valid (skipped: 1 ConfigMap)\n")


def test_an_error_is_a_line_with_file_object_field_and_reason(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "slices.yaml"
    file.write_text(CLUSTER.replace("name: gpu-1", "name: gpu-0"))
    result = run("validate", "-f", file)
    assert result.exit_code == 1
    assert result.stdout == f'{file}: ResourceSlice "node-1-gpu": spec.devices[1]: Duplicate value: "gpu-0"\n'
    assert result.stderr == "1 error\n"


def test_what_a_compiler_says_in_several_lines_is_one(run: Run) -> None:
    result = run("validate", "-f", "-", stdin=WORKLOAD.replace("index >= 0", "index >= 0 && 1 > true"))
    assert result.exit_code == 1
    [line] = result.stdout.splitlines()
    assert "no matching overload" in line


def test_json_for_programs(run: Run) -> None:
    result = run("validate", "-f", "-", "-o", "json", stdin=CLUSTER.replace("name: gpu-1", "name: gpu-0"))
    assert result.exit_code == 1
    assert json.loads(result.stdout) == [
        {
            "object": 'ResourceSlice "node-1-gpu"',
            "field": "spec.devices[1]",
            "reason": 'Duplicate value: "gpu-0"',
            "source": "<stdin>",
        }
    ]


def test_no_error_is_an_empty_list(run: Run, cluster: Path) -> None:
    assert json.loads(run("validate", "-f", cluster, "-o", "json").stdout) == []


TRUE_ERRORS = {
    "resource-claim.yaml": "status.reservedFor[0].uid: Required value",  # UIDs were removed from the recording
    "demo_nx-test.yaml": 'unknown field "spec.spec.devices.requests[0].deviceClassName"',  # v1beta1 shape in v1
    "pod-not-scheduled.yaml": "apiVersion: Required value",  # a status, no manifest
    "mig-parted-config.yaml": "apiVersion: Required value",  # configuration of another tool
    "claims.yaml": 'in version "resource.k8s.io/v1alpha',
    "claims-1.yaml": 'in version "resource.k8s.io/v1alpha',
    "vfiopci.yaml": 'in version "resource.k8s.io/v1alpha3"',
}


@pytest.mark.parametrize(
    "folder", ["oci-gb200", "eks-gpu-efa", "nvidia-gpu", "example-driver", "sriov", "spyre", "power-nx"]
)
def test_every_recorded_manifest_loads_or_has_a_true_error(run: Run, shared: Path, folder: str) -> None:
    for file in sorted((shared / "manifests" / folder).iterdir()):
        result = run("validate", "-f", file)
        if result.exit_code:
            assert any(file.name.endswith(end) and text in result.stdout for end, text in TRUE_ERRORS.items())
