"""One real control plane for each file of tests in this folder, which knows nothing of the others.

The tests are skipped where its programs are not (`make kube`).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kube import Api, ControlPlane, MissingProgramError, find_programs

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder whose path is short: drivers listen on Unix sockets below it, whose paths take 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane with every DRA gate on; when a test failed its folder with the logs stays, and is named."""
    try:
        find_programs()
    except MissingProgramError as error:
        pytest.skip(str(error))
    plane = ControlPlane()
    plane.start()
    yield plane
    failed = request.session.testsfailed > 0
    plane.stop(keep=failed)
    if failed:
        request.config.get_terminal_writer().line(f"\nlogs of the control plane are in {plane.folder / 'logs'}")


@pytest.fixture(scope="module")
def helm() -> Path:
    """The helm program."""
    try:
        return Path(found) if (found := shutil.which("helm")) else find_programs(["helm"])["helm"]
    except MissingProgramError as error:
        pytest.skip(f"{error} (python -m kube build helm)")


@pytest.fixture(scope="module")
def kubectl() -> Path:
    """The kubectl program."""
    try:
        return find_programs(["kubectl"])["kubectl"]
    except MissingProgramError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Api:
    """Access to it as administrator."""
    return control_plane.api


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """The control plane, with an account for the controller that has the documented rights and no others."""
    from running import RULES

    account = control_plane.service_account("fairlead", RULES)
    account.write_kubeconfig(control_plane.folder / "fairlead.kubeconfig")
    return control_plane
