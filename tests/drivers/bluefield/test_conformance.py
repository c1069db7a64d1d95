"""`fairlead conformance` on `fairlead node --driver bluefield`, as users start both, in DPU mode and in NIC mode.

Nothing of the product is replaced. The host is a tree of files; `devlink` of both sides is `tools.py`. In DPU mode the
DPU is a network namespace with real bridges and the agent as a process; in NIC mode the bridges are in the namespace
that the driver itself runs in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.drivers.bluefield import tools
from tests.drivers.bluefield.dpu import MISSING, dpu
from tests.drivers.bluefield.machines import SLOT, Host
from tests.hardware.tree import Tree

pytestmark = pytest.mark.skipif(bool(os.getuid() or MISSING), reason="needs root and iproute2")

FAIRLEAD = (sys.executable, "-c", "from fairlead.cli import main; main()")
ARGUMENTS = ("--node-name", "{node}", "--kubeconfig", "{kubeconfig}", "--pod-uid", "{pod_uid}")
FOLDERS = ("--plugins-dir", "{plugins}", "--registry-dir", "{registry}", "--cdi-dir", "{cdi}")
SKIPPED = {
    "attributes-taints": "no device has a taint",
}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path, for sockets."""
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        yield Path(root)


def conformance(place: Path, programs: Path, card: Path, options: Path, enter: Sequence[str] = ()) -> dict[str, Any]:
    """The report on the driver of the host below `place`, whose devlink is that of `programs` with the card's state."""
    for name, interface in (("class", "net1"), ("claim", "net2")):
        config = {"apiVersion": "dpu.fairlead.dev/v1", "kind": "FunctionConfig"}
        config |= {"bridge": "br-tenant", "interface": interface}
        (place / name).write_text(yaml.safe_dump(config))
    kit = ["conformance", "-o", "json", "--dir", str(place / "c"), "--patience", "90"]
    kit += ["--config", str(place / "class"), "--config", str(place / "claim"), "--"]
    node = ["node", "--driver", f"bluefield={options}", "--root", str(place / "host"), *ARGUMENTS, *FOLDERS]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "FAIRLEAD_TEST_DPU": str(card)}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [*enter, *FAIRLEAD, *kit, *FAIRLEAD, *node]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def judged(report: dict[str, Any]) -> dict[str, str]:
    """What was skipped, and why; nothing failed."""
    assert {one["id"]: one["seen"] for one in report["checks"] if one["verdict"] == "fail"} == {}
    return {one["id"]: one["seen"] for one in report["checks"] if one["verdict"] == "skip"}


def test_in_dpu_mode_with_a_running_agent(place: Path) -> None:
    Host(Tree(place / "host"), "dpu")
    options = place / "dpu.yaml"
    with dpu(place / "dpu", place / "host") as there:
        there.start("--service", "nvmeSnap=8")
        options.write_text(f"dpus: [{{address: '{SLOT}', agent: 'unix:{there.socket}'}}]\nsfs: 4\n")
        programs = tools.install(place / "card", place / "host", "host")
        report = conformance(place, programs, place / "card", options)
        assert judged(report) == SKIPPED
        assert there.clean(), "the DPU still has something of a claim"


def test_in_nic_mode(place: Path) -> None:
    Host(Tree(place / "host"), "nic")
    options = place / "dpu.yaml"
    options.write_text("sfs: 4\n")
    with dpu(place / "card", place / "host", "nic") as there:
        there.ip("link", "set", "lo", "up")
        report = conformance(place, there.programs, place / "card", options, there.enter)
        assert judged(report) == SKIPPED
        assert there.clean(), "the host still has something of a claim"
