"""What a check is, and how the modules of `checks` say which there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fairlead.conformance.lab import Lab
from fairlead.conformance.outcomes import Failure

Run = Callable[[Lab], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a driver must do."""

    id: str
    group: str
    title: str
    expected: str
    """What must be seen, in one sentence."""
    source: str
    """Where that is written."""
    why: str
    """What happens where it is not so, and where it happened."""
    run: Run
    """Returns what was seen; raises Failure or Skip."""
    restarts: bool
    """Whether it ends and starts the driver."""
    after: tuple[str, ...]
    """Checks that must have passed."""


CATALOGUE: Final[dict[str, Check]] = {}
"""All checks by id, in the order in which they are run."""


def check(
    id: str, title: str, *, expected: str, source: str, why: str, restarts: bool = False, after: tuple[str, ...] = ()
) -> Callable[[Run], Run]:
    """Adds a check to the catalogue; its group is the name of its module."""

    def add(run: Run) -> Run:
        group = run.__module__.rpartition(".")[2]
        CATALOGUE[id] = Check(id, group, title, expected, source, why, run, restarts, after)
        return run

    return add


def expect(true: object, seen: str) -> None:
    """Raises a Failure with what was seen, unless something is so."""
    if not true:
        raise Failure(seen)
