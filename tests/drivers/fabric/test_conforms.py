"""The driver passes `fairlead conformance` with both kinds of fabric box: a node's side, and what publishes pools.

All of it is real but the box, the kernel of the node, and what the kit stands in for: the claims that the kit allocates
are attached by the process with --shared-pools, appear in the node's tree, are prepared, removed, and detached.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import tempfile
from pathlib import Path

import pytest

from fairlead.conformance import Options, Report, catalogue, run
from tests.drivers.fabric.bench import config
from tests.drivers.fabric.emulator import Emulator, gpus
from tests.drivers.fabric.kernel import Kernel

NODE = (sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--kubeconfig", "{kubeconfig}")
HERE = ("--node-name", "{node}", "--pod-uid", "{pod_uid}", "--plugins-dir", "{plugins}")
HERE += ("--registry-dir", "{registry}", "--cdi-dir", "{cdi}")
SKIPPED = {
    "attributes-taints": "no device has a taint",
    "attributes-standard": "no device has a standard attribute",
    "config-known": "give the driver's parameters with --config",
    "config-unknown-field": "give the driver's parameters with --config",
    "config-precedence": "give the driver's parameters with --config twice",
    "config-other-request": "give the driver's parameters with --config",
    "shares": "no device can be allocated several times",
}
"""The driver has no configuration in claims and no shares; standard attributes come with the attachment."""


def tried(kind: str, root: Path) -> tuple[Report, Emulator, Kernel]:
    plain = importlib.util.find_spec("sushy") is None
    with (
        Kernel(root / "nodes", {"node-1": "Sys-1", "node-2": "Sys-2"}) as kernel,
        Emulator(kind, devices=gpus(4), seconds=0.02, on_change=kernel.change) as box,
    ):
        pools = config(root, box)
        (root / "node.yaml").write_text("waitSeconds: 20\n")
        driver = f"tests.drivers.fabric.plain:make={pools}," if plain else f"fabric={pools}"
        options = Options(
            root / "kit",
            (*NODE, "--driver", f"fabric={root / 'node.yaml'}", "--root", str(root / "nodes/node-1"), *HERE),
            settle=0.5,
            beside=((*NODE, "--driver", driver, "--shared-pools", "--node-name", "pools"),),
        )
        return asyncio.run(run(options, catalogue())), box, kernel


@pytest.mark.parametrize("kind", ["resource-blocks", "connections"])
def test_it_passes(kind: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp") as root:
        report, box, kernel = tried(kind, Path(root))
    assert {one.check.id: one.seen for one in report.results if one.verdict == "fail"} == {}
    assert {one.check.id: one.seen for one in report.results if one.verdict == "skip"} == SKIPPED
    assert report.devices == 4
    assert box.violations == []
    assert len(box.writes) > 30
    assert sum(one.startswith("remove ") for one in kernel.events) > 30
