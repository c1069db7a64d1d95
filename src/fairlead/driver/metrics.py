"""What Prometheus is told of the drivers of a node. All names begin with `fairlead_driver_`; times are seconds.

The label `driver` is on all of them, and each driver of the process is there from its start, with zeros. No label holds
a name of a claim, pod or device. What is counted survives a driver that is started again in the same process; what is
measured (`Levels`) is asked for when somebody looks.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fairlead.driver.api import JSON, Api, ApiError
from fairlead.telemetry import DURATIONS

Call = Literal["prepare", "unprepare"]
Verb = Literal["create", "update", "delete"]

_CALLS: Final[tuple[Call, ...]] = ("prepare", "unprepare")
_VERBS: Final[tuple[Verb, ...]] = ("create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Levels:
    """How things are with one driver now."""

    registered: bool = False
    """Whether kubelet said last that it took the driver."""
    devices: int = 0
    unhealthy: int = 0
    prepared: int = 0
    """Claims that are prepared."""
    unfinished: int = 0
    """Claims that are left half-way, to be undone first."""


class DriverMetrics:
    """The figures of one driver."""

    def __init__(self, of: _Families, driver: str) -> None:
        self._of: Final = of
        self._driver: Final = driver
        for call in _CALLS:
            for outcome in ("done", "failed"):
                of.calls.labels(driver, call, outcome)
            of.seconds.labels(driver, call)
        for verb in _VERBS:
            of.slices.labels(driver, verb)
        for counter in (of.discovery, of.store, of.restarts):
            counter.labels(driver)

    @contextmanager
    def call(self, call: Call) -> Iterator[Callable[[], None]]:
        """Times what one claim takes; it has failed unless the function that is given is called."""
        began = time.monotonic()
        outcome = "failed"

        def done() -> None:
            nonlocal outcome
            outcome = "done"

        try:
            yield done
        finally:
            self._of.calls.labels(self._driver, call, outcome).inc()
            self._of.seconds.labels(self._driver, call).observe(time.monotonic() - began)

    def slice_written(self, verb: Verb) -> None:
        """Counts a write that the API server took."""
        self._of.slices.labels(self._driver, verb).inc()

    def api_failed(self, status: int) -> None:
        """Counts a request that ended badly; status 0 where no answer came."""
        self._of.api.labels(self._driver, str(status)).inc()

    def discovery_failed(self) -> None:
        """Counts a discovery that brought nothing that can be published."""
        self._of.discovery.labels(self._driver).inc()

    def store_failed(self) -> None:
        """Counts a use of the state that was not possible."""
        self._of.store.labels(self._driver).inc()

    def restarted(self) -> None:
        """Counts a driver that failed as a whole."""
        self._of.restarts.labels(self._driver).inc()


class NodeMetrics:
    """The figures of all drivers of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers everything."""
        self.registry: Final = registry
        self._families: Final = _Families(registry)
        self._levels: Final = _LevelsCollector()
        registry.register(self._levels)

    def of(self, driver: str) -> DriverMetrics:
        """The figures of one driver."""
        return DriverMetrics(self._families, driver)

    def show(self, levels: Mapping[str, Levels]) -> None:
        """Sets how things are, by driver."""
        self._levels.levels = levels


class MeteredApi:
    """A way to the API server that counts what fails for one driver."""

    def __init__(self, api: Api, metrics: DriverMetrics) -> None:
        """Takes the way, and where to count."""
        self._api: Final = api
        self._metrics: Final = metrics

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None = None, media: str = JSON
    ) -> bytes:
        """As `Api.request`."""
        try:
            return await self._api.request(method, path, query, body, media)
        except ApiError as error:
            self._metrics.api_failed(error.status)
            raise

    async def stream(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """As `Api.stream`."""
        try:
            async for line in self._api.stream(path, query):
                yield line
        except ApiError as error:
            self._metrics.api_failed(error.status)
            raise


class _Families:
    """What all drivers count into."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"fairlead_driver_{name}", text, ["driver", *labels], registry=registry)

        self.calls: Final = counter("calls", "Claims that kubelet asked for.", "call", "outcome")
        self.seconds: Final = Histogram(
            "fairlead_driver_call_seconds",
            "From kubelet's call to the answer for one claim.",
            ["driver", "call"],
            buckets=DURATIONS,
            registry=registry,
        )
        self.slices: Final = counter("slice_writes", "ResourceSlices written.", "verb")
        self.api: Final = counter("api_errors", "Requests that ended badly, by HTTP status; 0: no answer.", "status")
        self.discovery: Final = counter("discovery_failures", "Discoveries that brought nothing to publish.")
        self.store: Final = counter("store_errors", "Times that the state could not be used.")
        self.restarts: Final = counter("restarts", "Times that a driver failed and was started again.")


class _LevelsCollector(Collector):
    """Gauges that are set together."""

    def __init__(self) -> None:
        self.levels: Mapping[str, Levels] = {}

    def collect(self) -> Iterator[Metric]:
        for name, text, value in (
            ("registered", "1 where kubelet said last that it took the driver.", lambda one: float(one.registered)),
            ("devices", "Devices that were discovered.", lambda one: one.devices),
            ("unhealthy_devices", "Of these, devices that are unhealthy.", lambda one: one.unhealthy),
            ("prepared_claims", "Claims that are prepared.", lambda one: one.prepared),
            ("unfinished_claims", "Claims that are left half-way.", lambda one: one.unfinished),
        ):
            family = GaugeMetricFamily(f"fairlead_driver_{name}", text, labels=["driver"])
            for driver, levels in sorted(self.levels.items()):
                family.add_metric([driver], value(levels))
            yield family
