"""Many replays of a trace: every policy with every seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from fairlead.cli.processes import Advance, progress, run_tasks
from fairlead.resource import collector_paused
from fairlead.simulation import Run, Trace, arrivals, replay


@dataclass(slots=True)
class PolicyRuns:
    """The runs of one policy."""

    policy: str
    by_seed: dict[int, Run] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    """How long each took."""


def run_all(
    trace: Trace, policies: Sequence[str], seeds: Sequence[int], inflate: float, jobs: int | None
) -> list[PolicyRuns]:
    """Runs every policy with every seed.

    Args:
        trace: the trace.
        policies: names of node policies.
        seeds: for each policy.
        inflate: as for `arrivals`.
        jobs: how many at a time; one for each core where not given.
    """
    tasks = [(policy, seed) for seed in seeds for policy in policies]
    found = {policy: PolicyRuns(policy) for policy in policies}
    total = len(tasks) * len(arrivals(trace, seeds[0], inflate).pods)

    def words(arrived: float) -> str:
        return f"{min(arrived / total, 1.0) if total else 1.0:.0%} of the pods have come"

    with progress(total, words) as advance:
        for policy, seed, run, seconds in run_tasks(partial(_timed, trace, inflate), tasks, jobs, advance):
            found[policy].by_seed[seed] = run
            found[policy].seconds[seed] = seconds
    for runs_of in found.values():
        runs_of.by_seed = {seed: runs_of.by_seed[seed] for seed in seeds}
    return list(found.values())


_Task = tuple[str, int]
_Done = tuple[str, int, Run, float]


def _timed(trace: Trace, inflate: float, task: _Task, advance: Advance) -> _Done:
    policy, seed = task
    start = time.perf_counter()
    with collector_paused():
        run = replay(trace, policy, seed, inflate, advance)
    return policy, seed, run, time.perf_counter() - start
