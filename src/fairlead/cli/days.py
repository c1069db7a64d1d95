"""Simulated days side by side: every setup with every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from fairlead.cli.processes import Advance, progress, run_tasks
from fairlead.resource import collector_paused
from fairlead.simulation import HOUR, Arrival, Day, Days, Part, Setup, build, drawn_jobs, play
from fairlead.topology import default_rules

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
    found: dict[Setup, dict[int, Day]] = {setup: {} for setup in setups}
    hours = len(tasks) * (course.before + course.hours)
    with progress(hours, lambda over: f"{min(over, hours):.0f} of {hours:.0f} hours") as advance:
        for setup, seed, day in run_tasks(partial(_played, course), tasks, jobs, advance):
            found[setup][seed] = day
    return [Days(setup, {seed: by_seed[seed] for seed in seeds}) for setup, by_seed in found.items()]


def _played(course: Course, task: _Task, advance: Advance) -> _Done:
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
