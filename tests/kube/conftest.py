"""Keeps what the tests of kube/ look for apart from what this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for version 1.37.2; returns the folder of its programs."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("FAIRLEAD_KUBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAIRLEAD_KUBE_VERSION", "v1.37.2")
    return tmp_path / "cache" / "1.37.2"
