"""PodDisruptionBudget (`policy/v1`): how many pods of a selection may be away at the same time.

Source: `k8s.io/api` policy/v1, 1.37.
"""

from __future__ import annotations

from typing import Any

from fairlead.resource.base import KubeObject, LabelSelector, Model


class PodDisruptionBudgetSpec(Model, frozen=True):
    """One of `minAvailable` and `maxUnavailable`, each a number of pods or a percentage as text."""

    selector: LabelSelector | None = None
    """None selects no pod, an empty selector selects every pod of the namespace."""
    min_available: Any = None
    max_unavailable: Any = None


class PodDisruptionBudgetStatus(Model, frozen=True):
    """What the disruption controller last counted; None where it has not counted."""

    disruptions_allowed: int | None = None


class PodDisruptionBudget(KubeObject, frozen=True):
    """A limit on voluntary disruptions of the pods that it selects, in its namespace."""

    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()
