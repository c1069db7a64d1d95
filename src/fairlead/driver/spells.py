"""A log that tells of trouble when it begins and when it is over, not at every try in between.

Who tries again says so each time, and says when it works again; what reaches the log is the first line, lines with
another problem, and one at the end. It is over when no such trouble comes for a while: a list that works before a watch
that does not is no end.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fairlead.driver.steps import Log

OVER: Final = {
    "claims are followed again": "claims cannot be followed",
    "discovery works again": "discovery failed",
    "slices are published again": "slices not published",
    "slices are watched again": "watch ended",
    "known again what many nodes reach": "not known what many nodes reach",
    "known again what other drivers have": "not known what other drivers have",
}
"""The event that ends each kind of trouble, to the event of the trouble."""
_STEADY: Final = 5.0
"""Seconds without trouble after which it is over."""


class Spells:
    """Passes events on to a log; called from the event loop where they are of `OVER`, else from any thread."""

    def __init__(self, log: Log, steady: float = _STEADY) -> None:
        """Args:
        log: gets what is to be told.
        steady: seconds without trouble after which it is over.
        """
        self._log = log
        self._steady: Final = steady
        self._told: Final[dict[str, set[str]]] = {}
        """By event of trouble that is not over, the problems that were told."""
        self._ending: Final[dict[str, asyncio.TimerHandle]] = {}

    def __call__(self, event: str, **fields: object) -> None:
        """Tells an event, unless it is known."""
        if event in OVER:
            trouble = OVER[event]
            if trouble in self._told and trouble not in self._ending:
                loop = asyncio.get_running_loop()
                self._ending[trouble] = loop.call_later(self._steady, self._end, trouble, event, fields)
        elif event in OVER.values():
            if (ending := self._ending.pop(event, None)) is not None:
                ending.cancel()
            told = self._told.setdefault(event, set())
            problem = str(fields.get("problem", ""))
            if problem not in told:
                told.add(problem)
                self._log(event, **fields)
        else:
            self._log(event, **fields)

    def _end(self, trouble: str, event: str, fields: dict[str, object]) -> None:
        del self._ending[trouble], self._told[trouble]
        self._log(event, **fields)
