"""Simulated days side by side: every setup with every seed, in processes, with word on stderr of how far they are."""

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
from fairlead.simulation import HOUR, Arrival, Day, Days, Part, Setup, build, drawn_jobs, play
from fairlead.topology import default_rules

LINE_EVERY: Final = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""
_LOOK_EVERY: Final = 0.25
_STEP: Final = 0.1
"""Simulated hours between two words of a process on how far it is."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is the same for all setups."""

    parts: Sequence[Part]
    hours: float
    load: float
    before: float = 0.0
    """Hours for which drawn jobs come before what is measured."""
    recorded: Sequence[Arrival] = field(default=())
    """The jobs of a trace; drawn for each seed where there are none."""


_Task = tuple[Setup, int]
_Done = tuple[Setup, int, Day]


def compare(course: Course, setups: Sequence[Setup], seeds: Sequence[int], jobs: int | None) -> list[Days]:
    """Plays every seed with every setup.

    Args:
        course: cluster and jobs.
        setups: what is compared, in the order of the results.
        seeds: for each setup.
        jobs: how many days at a time; one for each core where not given.
    """
    tasks = [(setup, seed) for seed in seeds for setup in setups]
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    found: dict[Setup, dict[int, Day]] = {setup: {} for setup in setups}
    with _progress(len(tasks) * (course.before + course.hours)) as advance:
        done = _here(course, tasks, advance) if workers == 1 else _apart(course, tasks, workers, advance)
        for setup, seed, day in done:
            found[setup][seed] = day
    return [Days(setup, {seed: by_seed[seed] for seed in seeds}) for setup, by_seed in found.items()]


def _played(course: Course, task: _Task, advance: Callable[[float], None]) -> _Done:
    setup, seed = task
    told = -course.before

    def progress(now: float) -> None:
        nonlocal told
        if now / HOUR > told + _STEP:
            advance(now / HOUR - told)
            told = now / HOUR

    with collector_paused():
        objects, rules = build(course.parts), default_rules()
        arrivals = course.recorded or drawn_jobs(objects, rules, course.hours, course.load, seed, course.before)
        day = play(objects, rules, setup, arrivals, course.hours, seed, progress)
    advance(course.hours - told)
    return setup, seed, day


def _here(course: Course, tasks: Sequence[_Task], advance: Callable[[float], None]) -> Iterator[_Done]:
    for task in tasks:
        yield _played(course, task, advance)


def _apart(course: Course, tasks: Sequence[_Task], workers: int, advance: Callable[[float], None]) -> Iterator[_Done]:
    passed = multiprocessing.Value("d", 0.0)
    told = 0.0
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(course, passed))
    try:
        waiting: set[Future[_Done]] = {pool.submit(_run, task) for task in tasks}
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK_EVERY, return_when=FIRST_COMPLETED)
            now = passed.value
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


def _begin(course: Course, passed: Any) -> None:
    # Control-C reaches every process; the workers end without a word, the first one says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _in_process.update(course=course, passed=passed)


def _run(task: _Task) -> _Done:
    passed = _in_process["passed"]

    def advance(hours: float) -> None:
        with passed.get_lock():
            passed.value += hours

    return _played(_in_process["course"], task, advance)


@contextmanager
def _progress(hours: float) -> Iterator[Callable[[float], None]]:
    """Says on stderr how many of the simulated hours are over: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating", total=hours)
            yield lambda passed: bar.advance(task, passed)
        return
    begin = said = time.monotonic()
    over = 0.0

    def advance(passed: float) -> None:
        nonlocal over, said
        over += passed
        now = time.monotonic()
        if now - said >= LINE_EVERY:
            said = now
            click.echo(f"simulating: {min(over, hours):.0f} of {hours:.0f} hours, {now - begin:.0f} s", err=True)

    yield advance
