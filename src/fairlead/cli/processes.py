"""Long work as tasks: here, or in processes with one task each at a time, with word on stderr of how far it is."""

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
from typing import Any, Final, TypeVar

import click

LINE_EVERY: Final = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""
_LOOK_EVERY: Final = 0.25
"""Seconds between two looks at what processes have done."""

Task = TypeVar("Task")
Done = TypeVar("Done")
Advance = Callable[[float], None]
"""Told how much more is done."""


def run_tasks(
    work: Callable[[Task, Advance], Done], tasks: Sequence[Task], jobs: int | None, advance: Advance
) -> Iterator[Done]:
    """What comes of the tasks, in the order in which they end.

    Args:
        work: does one task; a process must be able to import it.
        tasks: each by itself.
        jobs: how many at a time; one for each core where not given.
        advance: is told what all of them have done.
    """
    workers = min(jobs or os.cpu_count() or 1, len(tasks))
    if workers == 1:
        return (work(task, advance) for task in tasks)
    return _apart(work, tasks, workers, advance)


def _apart(
    work: Callable[[Task, Advance], Done], tasks: Sequence[Task], workers: int, advance: Advance
) -> Iterator[Done]:
    passed = multiprocessing.Value("d", 0.0)
    told = 0.0
    pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(work, passed))
    try:
        waiting: set[Future[Done]] = {pool.submit(_run, task) for task in tasks}
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


def _begin(work: Callable[..., Any], passed: Any) -> None:
    # Control-C reaches every process; the workers end without a word, the first one says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _in_process.update(work=work, passed=passed)


def _run(task: Any) -> Any:
    passed = _in_process["passed"]

    def advance(more: float) -> None:
        with passed.get_lock():
            passed.value += more

    return _in_process["work"](task, advance)


@contextmanager
def progress(total: float, words: Callable[[float], str]) -> Iterator[Advance]:
    """Says on stderr how much is done: a bar on a terminal, else a line now and then.

    Args:
        total: about how much there is to do.
        words: says how much that is, for such a line.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("simulating", total=total)
            yield lambda more: bar.advance(task, more)
        return
    begin = said = time.monotonic()
    over = 0.0

    def advance(more: float) -> None:
        nonlocal over, said
        over += more
        now = time.monotonic()
        if now - said >= LINE_EVERY:
            said = now
            click.echo(f"simulating: {words(over)}, {now - begin:.0f} s", err=True)

    yield advance
