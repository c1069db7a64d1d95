"""The registry of metrics that a process begins with."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Info, PlatformCollector, ProcessCollector

import fairlead

DURATIONS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Buckets of histograms of what somebody waits for, in seconds."""


def new_registry() -> CollectorRegistry:
    """A registry with what every process shows of itself: memory, CPU time, Python, our version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    Info("fairlead_build", "The version that runs.", registry=registry).info({"version": fairlead.__version__})
    return registry
