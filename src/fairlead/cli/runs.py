"""Many runs of a simulation: one after another or in processes, with word on stderr of how far they are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import click

from fairlead.resource import collector_paused
from fairlead.simulation import Run, Trace, arrivals, replay

LINE_EVERY: Final = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""
_LOOK_EVERY: Final = 0.25
"""Seconds between two looks at what processes have done."""


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
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    found = {policy: PolicyRuns(policy) for policy in policies}
    with _progress(len(tasks) * len(arrivals(trace, seeds[0], inflate).pods)) as advance:
        runs = (
            _here(trace, inflate, tasks, advance) if workers == 1 else _apart(trace, inflate, tasks, workers, advance)
        )
        for policy, seed, run, seconds in runs:
            found[policy].by_seed[seed] = run
            found[policy].seconds[seed] = seconds
    for runs_of in found.values():
        runs_of.by_seed = {seed: runs_of.by_seed[seed] for seed in seeds}
    return list(found.values())


_Task = tuple[str, int]
_Done = tuple[str, int, Run, float]
_Advance = Callable[[int], None]


def _timed(trace: Trace, inflate: float, task: _Task, advance: _Advance) -> _Done:
    policy, seed = task
    start = time.perf_counter()
    with collector_paused():
        run = replay(trace, policy, seed, inflate, advance)
    return policy, seed, run, time.perf_counter() - start


def _here(trace: Trace, inflate: float, tasks: Sequence[_Task], advance: _Advance) -> Iterator[_Done]:
    for task in tasks:
        yield _timed(trace, inflate, task, advance)


def _apart(trace: Trace, inflate: float, tasks: Sequence[_Task], workers: int, advance: _Advance) -> Iterator[_Done]:
    arrived = multiprocessing.Value("q", 0)
    told = 0
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(trace, inflate, arrived))
    try:
        waiting: set[Future[_Done]] = {pool.submit(_run, task) for task in tasks}
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
            now = arrived.value
            advance(now - told)
            told = now
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise click.ClickException(
            "a process of the simulation was ended from outside, perhaps for its memory"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_in_process: dict[str, Any] = {}
"""What a worker process was started with."""


def _begin(trace: Trace, inflate: float, arrived: Any) -> None:
    # Control-C reaches every process; the workers end without a word, the first one says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _in_process.update(trace=trace, inflate=inflate, arrived=arrived)


def _run(task: _Task) -> _Done:
    arrived = _in_process["arrived"]

    def advance(pods: int) -> None:
        with arrived.get_lock():
            arrived.value += pods

    return _timed(_in_process["trace"], _in_process["inflate"], task, advance)


@contextmanager
def _progress(total: int) -> Iterator[_Advance]:
    """Says on stderr how many of about `total` pods have come: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating", total=total)
            yield lambda pods: bar.advance(task, pods)
        return
    begin = said = time.monotonic()
    arrived = 0

    def advance(pods: int) -> None:
        nonlocal arrived, said
        arrived += pods
        now = time.monotonic()
        if now - said >= LINE_EVERY:
            said = now
            part = min(arrived / total, 1.0) if total else 1.0
            click.echo(f"simulating: {part:.0%} of the pods have come, {now - begin:.0f} s", err=True)

    yield advance
