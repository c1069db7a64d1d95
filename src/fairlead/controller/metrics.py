"""What Prometheus is told: counts and times of the shell, and what the core and the figures of devices say.

All names begin with `fairlead_`. Labels have few values: kinds, purposes, reasons, drivers, device classes, levels;
never a name of a pod or claim. Times are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fairlead.controller.events import (
    KINDS,
    UNKNOWN_OUTCOME,
    Event,
    Gone,
    Listed,
    Refused,
    Seen,
    Write,
    Written,
    version_of,
)
from fairlead.controller.figures import STATES, DeviceFigures
from fairlead.controller.grouping import has_gate
from fairlead.controller.tally import Tally
from fairlead.resource import KubeObject, Pod
from fairlead.telemetry import DURATIONS, new_registry

_LONG: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_CONFLICT: Final = 409


class Metrics:
    """One controller's figures."""

    def __init__(self) -> None:
        """Everything at zero."""
        self.registry = registry = new_registry()
        self.levels = _Levels()
        registry.register(self.levels)
        self._decisions = Counter(
            "fairlead_decisions", "Units that were planned.", ["unit", "outcome"], registry=registry
        )
        self._replans = Counter("fairlead_replans", "Plans that were given up.", ["cause"], registry=registry)
        self.decision = Histogram(
            "fairlead_decision_seconds",
            "What one look at all that has changed took.",
            buckets=DURATIONS,
            registry=registry,
        )
        self._opened = Histogram(
            "fairlead_pod_opened_seconds",
            "From a watch showing a pod with our gate, to the gate being open.",
            buckets=_LONG,
            registry=registry,
        )
        self._writes = Counter(
            "fairlead_writes", "Writes that came to an end.", ["purpose", "outcome"], registry=registry
        )
        self._refusals = Counter(
            "fairlead_refusals",
            "Writes that were not done, by HTTP status; 0: no answer.",
            ["status"],
            registry=registry,
        )
        self.write = Histogram(
            "fairlead_write_seconds",
            "From sending a write to its answer.",
            ["purpose"],
            buckets=DURATIONS,
            registry=registry,
        )
        self._restarts = Counter("fairlead_watch_restarts", "Watches that ended badly.", ["kind"], registry=registry)
        self._lag = Histogram(
            "fairlead_watch_lag_seconds",
            "From the answer to a write of ours to our own watch showing it.",
            buckets=DURATIONS,
            registry=registry,
        )
        self.leader = Gauge("fairlead_leader", "1 for the one that writes.", registry=registry)
        self.loop_lag = Gauge(
            "fairlead_loop_lag_seconds", "By how much the event loop was late at the last look.", registry=registry
        )
        for unit in ("pod", "group"):
            for outcome in ("placed", "waiting"):
                self._decisions.labels(unit, outcome)
        for kind in KINDS:
            self._restarts.labels(kind)
        self._gated: dict[str, float] = {}
        """Since when pods, by UID, were seen with our gate."""
        self._opening: set[str] = set()
        """The pods, by UID, whose gate a write of ours may have opened."""
        self._unseen: dict[tuple[str, str], tuple[int, float]] = {}
        """Answered writes that the watch does not show: version and when, by kind and key."""

    def count(self, tally: Tally) -> None:
        """Adds what the core has counted."""
        for (unit, outcome), count in tally.decisions.items():
            self._decisions.labels(unit, outcome).inc(count)
        for cause, count in tally.replans.items():
            self._replans.labels(cause).inc(count)

    def watch_ended(self, kind: str) -> None:
        """Counts a watch that ended badly."""
        self._restarts.labels(kind).inc()

    def sent(self, write: Write) -> None:
        """Takes note that a write is on its way."""
        if write.purpose == "open":
            self._opening.add(write.uid)

    def note(self, event: Event) -> None:
        """Takes note of what a watch says, or what became of a write."""
        match event:
            case Listed(kind, objects, _):
                keys = {item.key for item in objects}
                self._unseen = {at: what for at, what in self._unseen.items() if at[0] != kind or at[1] in keys}
                if kind == "Pod":
                    uids = {item.metadata.uid for item in objects}
                    self._gated = {uid: since for uid, since in self._gated.items() if uid in uids}
                for item in objects:
                    self._shown(kind, item)
            case Seen(kind, item):
                self._shown(kind, item)
            case Gone(kind, item):
                self._unseen.pop((kind, item.key), None)
                self._gated.pop(item.metadata.uid, None)
            case Written(write, answer):
                self._writes.labels(write.purpose, "done").inc()
                if write.purpose == "open":
                    self._opened_now(write.uid)
                if answer is not None:
                    self._unseen[write.kind, write.key] = version_of(answer), time.monotonic()
            case Refused(write, status):
                if write.purpose == "open":
                    self._opening.discard(write.uid)
                outcome = {UNKNOWN_OUTCOME: "unknown", _CONFLICT: "conflict"}.get(status, "refused")
                self._writes.labels(write.purpose, outcome).inc()
                self._refusals.labels(str(status)).inc()

    def forget(self) -> None:
        """Begins anew with what watches say; counts stay."""
        self._gated.clear()
        self._opening.clear()
        self._unseen.clear()

    def _shown(self, kind: str, item: KubeObject) -> None:
        waits = self._unseen.get((kind, item.key))
        if waits is not None and version_of(item) >= waits[0]:
            del self._unseen[kind, item.key]
            self._lag.observe(time.monotonic() - waits[1])
        if isinstance(item, Pod):
            if has_gate(item):
                self._gated.setdefault(item.metadata.uid, time.monotonic())
            else:
                self._opened_now(item.metadata.uid)

    def _opened_now(self, uid: str) -> None:
        """Times a pod whose gate is open: an answer says so or a watch, whichever comes first, and only for ours."""
        since = self._gated.pop(uid, None)
        if uid in self._opening:
            self._opening.discard(uid)
            if since is not None:
                self._opened.observe(time.monotonic() - since)


class _Levels(Collector):
    """Gauges that are set together, so that a class that is gone leaves nothing behind."""

    def __init__(self) -> None:
        self.pending: Mapping[str, tuple[int, int]] = {}
        self.devices: DeviceFigures | None = None
        self.devices_at = 0.0
        """When the figures of devices were made, in seconds since 1970."""

    def collect(self) -> Iterator[Metric]:
        units = GaugeMetricFamily("fairlead_pending_units", "Units with gated pods.", labels=["reason"])
        pods = GaugeMetricFamily("fairlead_pending_pods", "Pods with our gate.", labels=["reason"])
        for reason, (count, gated) in self.pending.items():
            units.add_metric([reason], count)
            pods.add_metric([reason], gated)
        yield units
        yield pods
        if self.devices is None:
            return
        yield GaugeMetricFamily(
            "fairlead_device_figures_timestamp_seconds", "When devices were counted.", value=self.devices_at
        )
        for name, text, label, states in (
            ("fairlead_devices", "Devices by driver and state.", "driver", self.devices.by_driver),
            ("fairlead_class_devices", "Devices by device class and state.", "device_class", self.devices.by_class),
        ):
            family = GaugeMetricFamily(name, text, labels=[label, "state"])
            for owner in sorted({key for key, _ in states}):
                for state in STATES if label == "driver" else STATES[:-1]:
                    family.add_metric([owner, state], states[owner, state])
            yield family
        for name, text, levels in (
            (
                "fairlead_free_domains",
                "Domains all of whose devices of a class are free.",
                self.devices.free_domains,
            ),
            ("fairlead_free_devices_most", "Free devices of a class in the domain with most.", self.devices.most_free),
        ):
            family = GaugeMetricFamily(name, text, labels=["device_class", "level"])
            for key, count in sorted(levels.items()):
                family.add_metric([*key], count)
            yield family
