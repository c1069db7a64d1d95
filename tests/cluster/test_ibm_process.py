"""`fairlead node` with both of IBM's drivers as one process on a real API server, while its machine changes.

Kubernetes' default feature gates. The machine is a tree of files with Power processors and Spyre cards.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_plane import NODE, driver_account, driver_plane

from drivers.power.machines import credit, partition
from drivers.spyre.machines import CARDS, add_virtual, cards, lose, place
from hardware.tree import Tree
from kube import ControlPlane
from kube.api import wait_for

pytestmark = pytest.mark.cluster

NX, SPYRE = "nx.device.power.ibm.com", "spyre.ibm.com"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with driver_plane() as plane:
        driver_account(plane, NX, SPYRE).write_kubeconfig(plane.folder / "driver.kubeconfig")
        yield plane


@pytest.fixture
def machine(tmp_path: Path) -> Tree:
    cards(tmp_path / "m")
    return partition(tmp_path / "m")


@pytest.fixture
def log(plane: ControlPlane, machine: Tree, tmp_path: Path) -> Iterator[Path]:
    """The log of a running process."""
    command = [sys.executable, "-c", "from fairlead.cli import main; main()", "node", "--node-name", NODE]
    command += ["--driver", "power=reserve=20", "--driver", f"spyre=state={tmp_path / 's'}"]
    command += ["--root", str(machine.root), "--kubeconfig", str(plane.folder / "driver.kubeconfig")]
    command += ["--plugins-dir", str(tmp_path / "p"), "--registry-dir", str(tmp_path / "r")]
    command += ["--cdi-dir", str(tmp_path / "c")]
    path = tmp_path / "log"
    with path.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    yield path
    process.terminate()
    assert process.wait(30) == 0


def test_slices_follow_the_machine(plane: ControlPlane, machine: Tree, log: Path) -> None:
    def published() -> dict[str, dict[str, Any]]:
        items = plane.api.items("/apis/resource.k8s.io/v1/resourceslices")
        return {one["name"]: one for item in items for one in item["spec"].get("devices", ())}

    def until(holds: Callable[[dict[str, dict[str, Any]]], bool], what: str) -> dict[str, dict[str, Any]]:
        return wait_for(lambda: found if holds(found := published()) else None, 60, what, pause=0.5)

    def credits_of(found: dict[str, dict[str, Any]], name: str) -> str:
        return str(found.get(name, {}).get("capacity", {}).get("credits", {}).get("value", ""))

    def tainted(found: dict[str, dict[str, Any]]) -> set[str]:
        return {name for name, one in found.items() if one.get("taints")}

    found = until(lambda found: len(found) == 10, "8 cards and 2 classes of credits")
    assert (credits_of(found, "cryptonxgzip"), credits_of(found, "cryptonxgzip-qos")) == ("300", "32")
    assert tainted(found) == set()

    credit(machine, "default", 160, 0)
    credit(machine, "qos", 0, 0)
    until(lambda found: credits_of(found, "cryptonxgzip") == "140" and "cryptonxgzip-qos" not in found, "fewer credits")

    credit(machine, "default", 160, 200)
    until(lambda found: tainted(found) == {"cryptonxgzip"}, "a taint for lost credits")

    add_virtual(machine, CARDS[0], 2, 100)
    until(lambda found: {"0000-1a-00-1", "0000-1a-00-2"} <= found.keys(), "virtual functions")

    lose(machine, CARDS[0])
    found = until(lambda found: len(tainted(found)) == 4, "taints of a lost card")
    assert tainted(found) == {"cryptonxgzip", "0000-1a-00-0", "0000-1a-00-1", "0000-1a-00-2"}

    gone = place(machine, CARDS[7])
    machine.remove(f"/sys/bus/pci/devices/{CARDS[7]}")
    shutil.rmtree(machine.root / gone.lstrip("/"))
    until(lambda found: "0000-41-00-0" not in found, "a card to go")

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert not [line for line in lines if "trace" in line]
