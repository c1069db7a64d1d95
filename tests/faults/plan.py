"""Which faults there are, and which of them a scenario has.

A fault is aimed at the n-th request with a purpose, counted from the beginning of its scenario. The sweep has every
fault at every purpose; after it the plans are drawn at random. A fault whose request never came goes back into the
sweep.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

WRITES = ("finalizer", "allocate", "clear", "open", "say", "mark")
KINDS = ("Pod", "ResourceClaim", "ResourceSlice", "Node", "DeviceClass")

ANSWERS_BEFORE = (409, 410, 429, 500, 503, 504)
"""Answered without the server hearing of it; 429 and 503 with Retry-After."""
ANSWERS_AFTER = (409, 500, 503, 504)
"""Answered in place of the server's success."""

ON_WRITES = (
    "cut before",
    "cut after",
    "delay before",
    "delay after",
    "kill before",
    "kill after",
    "restart server before",
    "restart server after",
    *(f"{status} before" for status in ANSWERS_BEFORE),
    *(f"{status} after" for status in ANSWERS_AFTER),
)
ON_LISTS = ("cut before", "cut half-way", "410 before", "429 before", "500 before", "503 before", "kill after")
ON_WATCHES = ("cut", "410 event", "hold events", "kill after")
"""At the n-th event of a kind."""
RARE = ("restart server before", "restart server after")
"""Each takes seconds until the whole control plane has found together again."""


@dataclass(eq=False, slots=True)
class Fault:
    """One fault.

    how: what goes wrong. where: a write's purpose, `list KIND` or `watch KIND`. number: the first is 1.
    """

    how: str
    where: str
    number: int
    injected: bool = False

    def __str__(self) -> str:
        return f"{self.how} at {self.where} {self.number}{'' if self.injected else ' (did not come)'}"


def sweep() -> list[tuple[str, str]]:
    """Every fault at every place."""
    found = [(how, where) for how in ON_WRITES for where in WRITES]
    found += [(how, f"list {kind}") for how in ON_LISTS for kind in KINDS]
    return found + [(how, f"watch {kind}") for how in ON_WATCHES for kind in ("Pod", "ResourceClaim")]


_LAST_NUMBER = {"clear": 2, "say": 1, "mark": 1, "finalizer": 10, "allocate": 12, "open": 10, "watch": 20, "list": 2}


@dataclass
class Plans:
    """The plans of one run, scenario after scenario."""

    chance: random.Random
    left: list[tuple[str, str]] = field(default_factory=sweep)
    tries: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance.shuffle(self.left)

    def next(self, size: int) -> list[Fault]:
        """The faults of the next scenario: at most one restart of the server, at most four deaths."""
        chosen: list[tuple[str, str]] = []
        later: list[tuple[str, str]] = []
        rare = deaths = 0
        while self.left and len(chosen) < size:
            how, where = self.left.pop()
            if (how in RARE and rare) or (how.startswith("kill") and deaths == 4):
                later.append((how, where))
                continue
            rare += how in RARE
            deaths += how.startswith("kill")
            chosen.append((how, where))
        self.left += later
        everything = sweep()
        while len(chosen) < size:
            how, where = self.chance.choice(everything)
            if how in RARE and (rare or self.chance.random() < 0.8):
                continue
            if how.startswith("kill") and deaths == 4:
                continue
            rare += how in RARE
            deaths += how.startswith("kill")
            chosen.append((how, where))
        taken: set[tuple[str, int]] = set()
        return [self._aimed(how, where, taken) for how, where in chosen]

    def _aimed(self, how: str, where: str, taken: set[tuple[str, int]]) -> Fault:
        """The fault at a request that has none yet."""
        self.tries[how, where] += 1
        # What did not come at a late request is tried at the first.
        last = _LAST_NUMBER[where.partition(" ")[0]] if self.tries[how, where] == 1 else 1
        number = self.chance.randint(1, last)
        if where.startswith("list"):
            number = 1
        while (where, number) in taken:
            number += 1
        taken.add((where, number))
        return Fault(how, where, number)

    def done(self, faults: list[Fault]) -> None:
        """Takes back what was not injected, some times."""
        for fault in faults:
            if not fault.injected and self.tries[fault.how, fault.where] < 5:
                self.left.insert(0, (fault.how, fault.where))
