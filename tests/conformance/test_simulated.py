"""The kit's first driver, as a process and as users start it, passes every check that is about what it does."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from fairlead.cli import main
from fairlead.conformance import Options, Report, catalogue, run

NODE = "from fairlead.cli import main; main()"
ARGUMENTS = ("--node-name", "{node}", "--kubeconfig", "{kubeconfig}", "--pod-uid", "{pod_uid}")
FOLDERS = ("--plugins-dir", "{plugins}", "--registry-dir", "{registry}", "--cdi-dir", "{cdi}")
CONFIGS = tuple(
    {"apiVersion": "simulated.fairlead.dev/v1", "kind": "SimulatedConfig", "env": {"MODE": mode}}
    for mode in ("class", "claim")
)


def hardware(machine: str, driver: str) -> str:
    """The slices of one driver of a simulated machine."""
    made = CliRunner().invoke(main, ["cluster", machine])
    assert made.exit_code == 0, made.output
    found = [one for one in yaml.safe_load_all(made.stdout) if one and one["kind"] == "ResourceSlice"]
    return yaml.safe_dump_all(one for one in found if one["spec"]["driver"] == driver)


def try_simulated(text: str) -> Report:
    """The report on simulated hardware."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        path = Path(root) / "hardware.yaml"
        path.write_text(text)
        command = (sys.executable, "-c", NODE, "node", "--driver", f"simulated={path}", *ARGUMENTS, *FOLDERS)
        return asyncio.run(run(Options(Path(root), command, settle=0.5, configs=CONFIGS), catalogue()))


SHARED = """\
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: shared}
spec:
  driver: nic.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 1, resourceSliceCount: 1}
  devices:
  - name: nic-0
    allowMultipleAllocations: true
    attributes: {model: {string: shared}}
    capacity: {bandwidth: {value: 100G, requestPolicy: {default: 10G}}}
"""


@pytest.mark.parametrize(
    ("text", "passes", "skips"),
    [
        pytest.param(
            lambda: hardware("h100:nodes=1", "gpu.nvidia.com"),
            "rolling-update",
            {"attributes-taints", "shares", "prepare-status", "status-accepted"},
            id="whole GPUs",
        ),
        pytest.param(
            lambda: SHARED,
            "shares",
            {
                "attributes-taints",
                "attributes-standard",
                "prepare-status",
                "status-accepted",
                "overlap-refused",
                "admin-access",
            },
            id="a shared NIC",
        ),
    ],
)
def test_a_driver_on_the_kit_passes(text: object, passes: str, skips: set[str]) -> None:
    report = try_simulated(text())  # type: ignore[operator]
    assert {one.check.id: one.seen for one in report.results if one.verdict == "fail"} == {}
    skipped = {one.check.id: one.seen for one in report.results if one.verdict == "skip"}
    assert skipped.keys() == skips, skipped
    assert passes not in skipped


BINDING = """\
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: late}
spec:
  driver: late.example.com
  nodeName: node-1
  pool: {name: node-1, generation: 1, resourceSliceCount: 1}
  devices:
  - {name: late-0, bindsToNode: true, bindingConditions: [Ready], bindingFailureConditions: [Failed]}
"""


def test_binding_conditions_that_nobody_makes_true_are_told() -> None:
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        path = Path(root) / "hardware.yaml"
        path.write_text(BINDING)
        command = (sys.executable, "-c", NODE, "node", "--driver", f"simulated={path}", *ARGUMENTS, *FOLDERS)
        wanted = [one for one in catalogue() if one.id in ("prepare-devices", "prepare-repeat", "refuse-unknown")]
        beside = ((sys.executable, "-c", "print('no fabric'); exit(3)"),)
        report = asyncio.run(run(Options(Path(root), command, settle=0.3, patience=6, beside=beside), wanted))
    first, second, third = report.results
    assert first.seen.startswith("claim-1: not true after 6 s: Ready of late-0; ")
    assert first.seen.endswith("which runs beside the driver, ended with status 3: no fabric")
    assert second.seen.startswith("claim-2: not true after 0.3 s: Ready of late-0")  # not waited for so long again
    assert third.verdict == "pass"
