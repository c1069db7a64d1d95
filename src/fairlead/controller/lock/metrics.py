"""What Prometheus is told of the lock. All names begin with `fairlead_lock_`; times are seconds.

A replica that stands by shows zeros for what it does not know. No label holds a name of a claim or device.
"""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import Counter, Gauge, Histogram

from fairlead.controller.lock.index import Index
from fairlead.controller.lock.review import Response
from fairlead.telemetry import new_registry

Outcome = Literal["passed", "refused", "not known", "not understood"]
Cause = Literal["taking over", "overdue"]

_OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "refused", "not known", "not understood")
_CAUSES: Final[tuple[Cause, ...]] = ("taking over", "overdue")
_BUCKETS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5)
"""A review takes less than 0.1 ms; after 5 s the API server asks no more."""
_UNAVAILABLE: Final = 503


class LockMetrics:
    """One replica's figures."""

    def __init__(self) -> None:
        """Everything at zero."""
        self.registry = registry = new_registry()
        self._reviews = Counter(
            "fairlead_lock_reviews", "Writes that the API server asked about.", ["outcome"], registry=registry
        )
        self.review = Histogram(
            "fairlead_lock_review_seconds",
            "From having read a review to having written the answer.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._settled = Counter(
            "fairlead_lock_settled", "Claims whose outstanding writes were settled.", ["cause"], registry=registry
        )
        self._answers = Gauge("fairlead_lock_answers", "1 for the one that answers.", registry=registry)
        self._claims = Gauge("fairlead_lock_claims", "Claims that are known.", registry=registry)
        self._devices = Gauge("fairlead_lock_devices", "Devices that are known.", registry=registry)
        self._waiting = Gauge(
            "fairlead_lock_waiting_claims",
            "Claims with a write that passed, of which is not known yet what became.",
            registry=registry,
        )
        self._duplicates = Gauge(
            "fairlead_lock_duplicates", "Devices, capacities and counters held too often.", registry=registry
        )
        for outcome in _OUTCOMES:
            self._reviews.labels(outcome)
        for cause in _CAUSES:
            self._settled.labels(cause)

    def decided(self, response: Response) -> None:
        """Counts an answer."""
        outcome: Outcome = "passed"
        if response.status is not None:
            outcome = "not known" if response.status.code == _UNAVAILABLE else "refused"
        self._reviews.labels(outcome).inc()

    def not_understood(self) -> None:
        """Counts what was no review."""
        self._reviews.labels("not understood").inc()

    def settled(self, cause: Cause) -> None:
        """Counts a claim of which no write can come any more that we do not know of."""
        self._settled.labels(cause).inc()

    def show(self, index: Index | None, duplicates: int) -> None:
        """Shows how things are.

        Args:
            index: who holds what; None where we do not answer.
            duplicates: how many things are held too often.
        """
        self._answers.set(index is not None)
        self._claims.set(len(index) if index is not None else 0)
        self._devices.set(index.devices if index is not None else 0)
        self._waiting.set(len(index.waiting) if index is not None else 0)
        self._duplicates.set(duplicates if index is not None else 0)
