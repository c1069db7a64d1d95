"""Days with several setups in figures: what each came to, and what jobs gained against the first setup.

Bandwidth is compared job by job, since every setup has the same jobs. `all_reduce` counts jobs with two GPUs or more,
`network` jobs of one pod with NICs: what its GPUs can move out of the node. A job could have had better where the first
setup gave it less than the best. That looks at jobs which the first setup treated badly, so any other setup seems to
gain; how many have less stands beside it. `there` is the best that other devices of the same nodes could give were
nobody else on them, `anywhere` the best on an empty cluster.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from fairlead.simulation.engine import SIZES, Day, JobRecord
from fairlead.simulation.jobs import HOUR
from fairlead.simulation.play import Setup
from fairlead.topology import Bandwidth

MEASURES: Final = ("all_reduce", "network")
BOUNDS: Final = ("there", "anywhere")
_SAME: Final = 1e-6
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Days:
    """The days of one setup, by seed."""

    setup: Setup
    by_seed: Mapping[int, Day]

    def jobs(self) -> Iterator[JobRecord]:
        """All jobs of all seeds."""
        for day in self.by_seed.values():
            yield from day.jobs


@dataclass(frozen=True, slots=True)
class Gain:
    """What jobs that could have had better have in another setup, in times of what they had in the first."""

    measure: str
    bound: str
    compared: int
    """Jobs that have the measure in both setups."""
    better: int
    """Those of them that could have had better."""
    worse: int
    """Those of all compared that have less than in the first setup."""
    gain: float
    """Median over these; 1 where there are none."""
    possible: float
    """The same for the bound: no setup can gain more there."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a setup came to; times in minutes, shares between 0 and 1."""

    setup: Setup
    jobs: int
    never: int
    """Jobs that fit nowhere."""
    allocated: float
    fragmented: float
    wait_mean: float
    wait_median: float
    wait_most: float
    """The 95th percentile."""
    reached: Mapping[str, float]
    """Per measure: what jobs had in parts of the best anywhere, on average."""
    gains: tuple[Gain, ...]


def value(bandwidth: Bandwidth, measure: str) -> float:
    """One measure of a bandwidth, in GB/s."""
    return bandwidth.all_reduce if measure == "all_reduce" else bandwidth.network


def measured(job: JobRecord, measure: str) -> bool:
    """Whether a job ran and has the measure."""
    if job.got is None:
        return False
    shape = job.arrival.shape
    if measure == "network":
        return shape.pods == 1 and shape.nics > 0
    return job.got.all_reduce < inf


def share_of_best(job: JobRecord, measure: str) -> float:
    """What a job with the measure had, in parts of the best that it could have had anywhere."""
    assert job.got is not None
    assert job.best is not None
    best = value(job.best, measure)
    return min(value(job.got, measure) / best, 1.0) if best else 1.0


def summarise(days: Days, first: Days) -> Summary:
    """The figures of a setup.

    Args:
        days: the setup.
        first: what it is compared with; may be the same.
    """
    samples = [sample for day in days.by_seed.values() for sample in day.samples]
    waits = sorted(job.wait / 60 for job in days.jobs() if job.wait is not None)
    jobs = list(days.jobs())
    return Summary(
        days.setup,
        len(jobs),
        sum(job.start is None for job in jobs),
        _mean([sample.allocated for sample in samples]),
        _mean([sample.fragmented for sample in samples]),
        _mean(waits),
        statistics.median(waits) if waits else 0.0,
        waits[min(len(waits) - 1, round(0.95 * len(waits)))] if waits else 0.0,
        {
            measure: _mean([share_of_best(job, measure) for job in jobs if measured(job, measure)])
            for measure in MEASURES
        },
        tuple(_gain(days, first, measure, bound) for measure in MEASURES for bound in BOUNDS),
    )


def _gain(days: Days, first: Days, measure: str, bound: str) -> Gain:
    gains: list[float] = []
    possible: list[float] = []
    compared = worse = 0
    for before, after in zip(first.jobs(), days.jobs(), strict=True):
        if not (measured(before, measure) and measured(after, measure)):
            continue
        compared += 1
        best = before.best_there if bound == "there" else before.best
        assert before.got is not None
        assert after.got is not None
        assert best is not None
        had, has = value(before.got, measure), value(after.got, measure)
        worse += has < had * (1 - _SAME)
        if had > 0 and value(best, measure) > had * (1 + _SAME):
            gains.append(has / had)
            possible.append(value(best, measure) / had)
    if not gains:
        return Gain(measure, bound, compared, 0, worse, 1.0, 1.0)
    return Gain(measure, bound, compared, len(gains), worse, statistics.median(gains), statistics.median(possible))


def over_the_day(days: Days, what: str) -> list[tuple[float, float]]:
    """A figure of the samples, on average over seeds: pairs of hour and value."""
    runs = list(days.by_seed.values())
    return [
        (samples[0].at / HOUR, _mean([float(getattr(sample, what)) for sample in samples]))
        for samples in zip(*(run.samples for run in runs), strict=True)
    ]


def by_hour(days: Days, of: str) -> list[tuple[float, float]]:
    """Per hour the mean over the jobs that came in it: waiting time in minutes (`wait`), or a measure's share of the
    best; hours without such jobs are left out."""
    found: dict[int, list[float]] = {}
    for job in days.jobs():
        if of == "wait":
            if job.wait is not None:
                found.setdefault(int(job.arrival.at // HOUR), []).append(job.wait / 60)
        elif measured(job, of):
            found.setdefault(int(job.arrival.at // HOUR), []).append(share_of_best(job, of))
    return [(hour + 0.5, _mean(values)) for hour, values in sorted(found.items())]


def startable(days: Days) -> dict[int, float]:
    """By GPUs a pod: GPUs of the largest job that could still start, in parts of the free ones, on average."""
    shares: dict[int, list[float]] = {size: [] for size in SIZES}
    for day in days.by_seed.values():
        for sample in day.samples:
            for size, gpus in zip(SIZES, sample.startable, strict=True):
                if sample.startable[0]:
                    shares[size].append(gpus / sample.startable[0])
    return {size: _mean(values) for size, values in shares.items()}


def to_record(cluster: Mapping[str, Any], results: Sequence[Days]) -> dict[str, Any]:
    """Everything as JSON values: what was simulated, and per setup the figures of the summary and of each seed."""
    return {
        **cluster,
        "setups": [
            {
                "policy": days.setup.policy,
                "devices": days.setup.devices,
                **_figures(summarise(days, results[0])),
                "startable": {str(size): round(share, DIGITS) for size, share in startable(days).items()},
                "seeds": {
                    str(seed): _figures(
                        summarise(
                            Days(days.setup, {seed: day}), Days(results[0].setup, {seed: results[0].by_seed[seed]})
                        )
                    )
                    for seed, day in days.by_seed.items()
                },
            }
            for days in results
        ],
    }


def _figures(summary: Summary) -> dict[str, Any]:
    return {
        "jobs": summary.jobs,
        "never_started": summary.never,
        "allocated": round(summary.allocated, DIGITS),
        "fragmented": round(summary.fragmented, DIGITS),
        "wait_minutes": {
            "mean": round(summary.wait_mean, DIGITS),
            "median": round(summary.wait_median, DIGITS),
            "p95": round(summary.wait_most, DIGITS),
        },
        "share_of_best": {measure: round(share, DIGITS) for measure, share in summary.reached.items()},
        "against_first": [
            {
                "measure": gain.measure,
                "best": gain.bound,
                "jobs": gain.compared,
                "could_have_had_better": gain.better,
                "have_less": gain.worse,
                "median_gain": round(gain.gain, DIGITS),
                "median_possible": round(gain.possible, DIGITS),
            }
            for gain in summary.gains
        ],
    }


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0
