"""Makes `builders` importable in every folder of tests, and finds the shared material."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Tests fork to be killed at every step; handlers that gRPC runs at a fork wait for ever beside channels of other tests.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with conformance cases and recorded manifests; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FAIRLEAD_SHARED", HERE.parent.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared material here (FAIRLEAD_SHARED)")
    return folder
