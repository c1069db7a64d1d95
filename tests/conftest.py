"""Makes `builders` importable in every folder of tests, and finds the shared material."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with conformance cases and recorded manifests; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("FAIRLEAD_SHARED", HERE.parent.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no shared material here (FAIRLEAD_SHARED)")
    return folder
