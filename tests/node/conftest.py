"""One control plane and one real node for all tests of this folder; each test has a namespace, and cleans up.

The tests are skipped where the programs are not (`make kube kube-node`), and where this machine can have no node.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "cluster"))

from node_objects import GATE, classes, driver_access, write_hardware
from running import RULES, controller
from stage import NOTHING, Stage, end, need_a_node

from kube import ControlPlane, RealNode
from kube.nodes import cluster_objects


@pytest.fixture(scope="session")
def whole(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The node with a driver, for as long as the tests run; when one failed the folders with the logs stay."""
    need_a_node()
    objects = cluster_objects("h100:nodes=1")
    plane, node = ControlPlane(), None
    plane.start()
    try:
        plane.api.create_all(classes(objects))
        plane.service_account("fairlead", RULES).write_kubeconfig(plane.folder / "fairlead.kubeconfig")
        node = RealNode(plane)
        node.create()
        node.start()
        driver_access(plane, node)
        stage = Stage(plane, node)
        write_hardware(stage.hardware, objects)
        stage.start_driver()
        stage.wait(stage.all_published, "the slices")
        yield stage
    finally:
        end(request, 0, plane, node)


@pytest.fixture
def stage(whole: Stage, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The node, with a namespace that is empty; afterwards nothing of the test's pods may be left on the node."""
    whole.enter(request)
    whole.script("[]")
    yield whole
    whole.script("[]")
    whole.repair()
    whole.leave()
    whole.wait(lambda: whole.leftovers() == NOTHING, f"nothing to be left, there is {whole.leftovers()}", 20)


@pytest.fixture(params=["fairlead", "kube-scheduler"])
def allocated(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Stage]:
    """The same, twice: claims are allocated by Fairlead's controller, and by kube-scheduler alone."""
    if request.param == "kube-scheduler":
        yield stage
        return
    stage.gates = [GATE]
    with controller(stage.plane):
        yield stage
    stage.gates = []
