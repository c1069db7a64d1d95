"""A day of jobs on a cluster, event by event: jobs come, wait, start, run and leave.

Jobs wait in one queue in the order in which they came, and are tried in that order whenever something came or left.
Others may pass by the first that waits if they will have left when it can start (EASY backfill): that time follows from
when those who run leave, which the simulation knows exactly, by free GPUs and NICs. All pods of a job start together or
none: gangs are placed whole where there is a planner for them; else pods are placed one by one, and when one fits
nowhere those before it are removed again. What a job of some shape could not have, no job of that shape is tried for
until somebody leaves.

Times are seconds since the beginning of what is measured. Jobs may come before it, to fill the cluster: they are played
like all others, and left out of the records. Nothing here knows a clock or draws from chance.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fairlead.placement import GangPlanner, Placement, Planner
from fairlead.resource import PlannedPod
from fairlead.simulation.fleet import Fleet, Members
from fairlead.simulation.ideal import Ideal
from fairlead.simulation.jobs import HOUR, Arrival, Shape
from fairlead.simulation.workloads import pods_of
from fairlead.topology import Bandwidth

SIZES: Final = (1, 2, 4, 8)
"""GPUs a node of the jobs that fragmentation is measured by."""
_SAMPLES: Final = 288


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What became of a job."""

    arrival: Arrival
    start: float | None = None
    """None for a job that fits nowhere, ever."""
    nodes: int = 0
    got: Bandwidth | None = None
    best: Bandwidth | None = None
    """What it could have had on an empty cluster."""
    best_there: Bandwidth | None = None
    """What other devices of the same nodes could have given, were nobody else there."""

    @property
    def wait(self) -> float | None:
        """Seconds from arrival to start."""
        return None if self.start is None else self.start - self.arrival.at


@dataclass(frozen=True, slots=True)
class Sample:
    """The cluster at one moment."""

    at: float
    allocated: float
    """GPUs that somebody holds, in parts of all."""
    waiting: int
    """Jobs in the queue."""
    startable: tuple[int, ...]
    """GPUs of the largest job that could still start, for each of `SIZES` GPUs a pod."""
    fragmented: float
    """Free GPUs that no job of whole nodes can use, in parts of the free ones; 0 where none is free."""


@dataclass(frozen=True, slots=True)
class Day:
    """How a day went: the jobs in order of arrival, but for those before it, and samples at equal distances."""

    jobs: Sequence[JobRecord]
    samples: Sequence[Sample]
    hours: float


@dataclass(slots=True)
class _Job:
    arrival: Arrival
    pods: Sequence[PlannedPod]
    placements: list[Placement] = field(default_factory=list)
    members: Members = field(default_factory=list)


class Engine:
    """One run on one planner, which must be fresh."""

    def __init__(self, planner: Planner, fleet: Fleet, ideal: Ideal, gangs: GangPlanner | None = None) -> None:
        """An engine.

        Args:
            planner: places the pods.
            fleet: the same cluster, with nothing taken.
            ideal: for the same hardware; may be shared by runs.
            gangs: places gangs whole, with the same planner; None where they are placed pod by pod.
        """
        self._gangs = gangs
        self._planner = planner
        self._fleet = fleet
        self._ideal = ideal
        self._queue: list[_Job] = []
        self._running: list[tuple[float, int, _Job]] = []
        self._refused: set[Shape] = set()
        self._records: dict[str, JobRecord] = {}
        self._started = 0
        self._reserved: tuple[_Job, float] | None = None

    def run(self, arrivals: Iterable[Arrival], hours: float, progress: Callable[[float], None] | None = None) -> Day:
        """Plays all arrivals until the last job has left.

        Args:
            arrivals: in order of arrival.
            hours: how long samples are taken.
            progress: is told the time at every event, at most `hours`.

        Raises:
            BookingError: the planner gave a device twice.
        """
        coming = list(arrivals)
        self._records = {arrival.name: JobRecord(arrival) for arrival in coming}
        samples: list[Sample] = []
        step = hours * HOUR / _SAMPLES
        position = 0
        while position < len(coming) or self._running:
            arriving = coming[position].at if position < len(coming) else float("inf")
            leaving = self._running[0][0] if self._running else float("inf")
            now = min(arriving, leaving)
            while len(samples) <= _SAMPLES and len(samples) * step < now:
                samples.append(self._sample(len(samples) * step))
            if progress is not None:
                progress(min(now, hours * HOUR))
            if leaving <= arriving:
                self._leave(now)
            else:
                arrival = coming[position]
                position += 1
                self._queue.append(_Job(arrival, pods_of(arrival, self._fleet.classes)))
            self._start_what_fits(now)
        while len(samples) <= _SAMPLES:
            samples.append(self._sample(len(samples) * step))
        jobs = [record for record in self._records.values() if record.arrival.at >= 0]
        return Day(jobs, samples, hours)

    def _leave(self, now: float) -> None:
        while self._running and self._running[0][0] <= now:
            _, _, job = heapq.heappop(self._running)
            for placement in job.placements:
                self._planner.remove(placement.pod)
            self._fleet.give_back(job.placements)
        self._refused.clear()
        self._reserved = None

    def _start_what_fits(self, now: float) -> None:
        left: list[_Job] = []
        for job in self._queue:
            if (left and now + job.arrival.duration > self._first_starts(left[0])) or not self._start(job, now):
                left.append(job)
        self._queue = left

    def _first_starts(self, job: _Job) -> float:
        """When the first job of the queue can start. What passes by it leaves before, so only departures change it."""
        if self._reserved is None or self._reserved[0] is not job:
            leaving = ((at, running.members) for at, _, running in sorted(self._running))
            self._reserved = (job, self._fleet.when(job.arrival.shape, leaving))
        return self._reserved[1]

    def _start(self, job: _Job, now: float) -> bool:
        shape = job.arrival.shape
        if shape in self._refused:
            return False
        if self._fleet.could_hold(shape) < shape.pods or not self._place(job):
            self._refused.add(shape)
            return False
        job.members = members = self._fleet.take(job.placements)
        self._started += 1
        heapq.heappush(self._running, (now + job.arrival.duration, self._started, job))
        self._records[job.arrival.name] = JobRecord(
            job.arrival,
            now,
            len({node for node, _, _ in members}),
            self._fleet.bandwidth(members),
            self._ideal.best(shape),
            self._ideal.best_on(members),
        )
        return True

    def _place(self, job: _Job) -> bool:
        if self._gangs is not None and len(job.pods) > 1 and job.pods[0].group is not None:
            placements, outcome = self._gangs.place(job.pods, reasons=False)
            if outcome.placed:
                job.placements.extend(placements)
            return outcome.placed
        for pod in job.pods:
            placement = self._planner.place(pod, reasons=False)
            if not placement.placed:
                for earlier in reversed(job.placements):
                    self._planner.remove(earlier.pod)
                job.placements.clear()
                return False
            job.placements.append(placement)
        return True

    def _sample(self, at: float) -> Sample:
        fleet = self._fleet
        free, whole = fleet.free_gpus, fleet.node_gpus
        return Sample(
            at,
            1 - free / fleet.gpus if fleet.gpus else 0.0,
            len(self._queue),
            tuple(fleet.startable(size) for size in SIZES),
            1 - fleet.startable(whole) / free if free else 0.0,
        )
