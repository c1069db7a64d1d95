"""What is wrong with an input is said in a line, exit status 1 or 2, and nothing is printed half."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import CLUSTER, WORKLOAD, Program, Run, write

GARBAGE = bytes(range(256)) * 4096 * 10
TEXT_GARBAGE = b"lorem ipsum {[: \n" * 620_000

COSTLY = WORKLOAD.replace(
    'device.attributes["gpu.example.com"].index >= 0',
    "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, "
    "[1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, a + b + c + d + e > 0)))))",
)

CASES: dict[str, tuple[str | bytes, str | bytes, str]] = {
    "truncated YAML": (CLUSTER[:-40] + "\n  - {name: [", WORKLOAD, "line"),
    "not UTF-8": (GARBAGE, WORKLOAD, "UTF-8"),
    "ten megabytes of garbage": (TEXT_GARBAGE, WORKLOAD, "line 2, column 1"),
    "a wrong type": (CLUSTER.replace("name: gpu-0", "name: {x: 1}"), WORKLOAD, "spec.devices[0].name"),
    "a list instead of an object": ("- a\n- b\n", WORKLOAD, "expected an object"),
    "a slice with duplicate devices": (
        CLUSTER.replace("name: gpu-1", "name: gpu-0"),
        WORKLOAD,
        'ResourceSlice "node-1-gpu": spec.devices[1]: Duplicate value: "gpu-0"',
    ),
    "an expression over the cost limit": (
        CLUSTER,
        COSTLY,
        "spec.spec.devices.requests[0].exactly.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit",
    ),
    "an expression that is no CEL": (
        CLUSTER,
        WORKLOAD.replace("index >= 0", "index >="),
        "selectors[0].cel.expression: Invalid value",
    ),
    "a class that is not there": (
        CLUSTER,
        WORKLOAD.replace("deviceClassName: gpu.example.com", "deviceClassName: gone"),
        'ResourceClaimTemplate "ml/one-gpu": spec.spec.devices.requests[0].exactly.deviceClassName: Not found: "gone"',
    ),
    "a template that is not there": (
        CLUSTER,
        WORKLOAD.replace("resourceClaimTemplateName: one-gpu", "resourceClaimTemplateName: gone"),
        'Deployment "ml/infer": spec.template.spec.resourceClaims[0].resourceClaimTemplateName: Not found: "gone"',
    ),
    "two objects of one name": (CLUSTER + "---\n" + CLUSTER, WORKLOAD, 'Duplicate value: "node-1-gpu"'),
    "a version that nobody serves": (
        CLUSTER,
        WORKLOAD.replace("resource.k8s.io/v1", "resource.k8s.io/v1alpha2"),
        'in version "resource.k8s.io/v1alpha2"',
    ),
    "a request of a type that we do not know": (
        CLUSTER,
        WORKLOAD.replace("exactly:", "approximately:"),
        "approximately",
    ),
}


@pytest.mark.parametrize(("slices", "pods", "text"), CASES.values(), ids=CASES)
def test_nothing_is_planned(run: Run, tmp_path: Path, slices: str | bytes, pods: str | bytes, text: str) -> None:
    for name, content in (("slices.yaml", slices), ("pods.yaml", pods)):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run("plan", "-f", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert "Error: " in result.stderr.splitlines()[-1]
    assert len(result.stderr) < 20_000


def test_a_broken_workload_is_left_out_and_the_others_are_planned(run: Run, cluster: Path, workload: Path) -> None:
    pod = (
        "---\napiVersion: v1\nkind: Pod\nmetadata: {name: dangling, namespace: ml}\n"
        "spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: gone}]}\n"
    )
    workload.write_text(workload.read_text() + pod)
    result = run("plan", "-f", cluster, "-f", workload)
    assert result.exit_code == 1
    assert "2 of 2 pods placed" in result.stdout
    assert 'Pod "ml/dangling": spec.resourceClaims[0].resourceClaimName: Not found: "gone"' in result.stderr


def test_many_problems_are_cut_short(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "many.yaml", "---\n".join(CLUSTER for _ in range(100)))
    lines = run("plan", "-f", tmp_path).stderr.splitlines()
    assert lines[-2] == "... and 74 more: fairlead validate shows all"
    assert lines[-1] == "Error: 99 problems in the input, nothing was planned"


class TestAsAProgram:
    """Exit statuses of the real thing."""

    def test_the_three_exit_statuses(self, program: Program, cluster: Path, workload: Path, tmp_path: Path) -> None:
        assert program("plan", "-f", cluster, "-f", workload).returncode == 0
        more = write(tmp_path / "more.yaml", WORKLOAD.replace("replicas: 2", "replicas: 9"))
        assert program("plan", "-f", cluster, "-f", more).returncode == 1
        broken = program("plan", "-f", cluster, "-f", "-", stdin=b"{[")
        assert (broken.returncode, broken.stdout) == (2, b"")
        assert b"Traceback" not in broken.stderr

    @pytest.mark.parametrize("command", ["plan", "validate"])
    def test_a_path_that_is_not_there(self, program: Program, command: str) -> None:
        result = program(command, "-f", "/nowhere")
        assert (result.returncode, result.stdout) == (2, b"")
        assert b"'/nowhere' does not exist" in result.stderr

    def test_a_reader_that_goes_away(self, cluster: Path, workload: Path) -> None:
        import subprocess
        import sys

        python = f"{sys.executable} -c 'from fairlead.cli import main; main()'"
        line = f"{python} plan -f {cluster} -f {workload} -o json | true"
        result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60, check=False)
        assert result.stderr.count(b"Traceback") == 0
        assert b"Exception ignored" not in result.stderr
