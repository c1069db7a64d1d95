"""What a set of devices is worth under a policy, as a value with named parts, and in words.

A score is compared part by part: an earlier part decides before a later one is looked at, and greater is better.
Device numbers come last, so that of sets that are worth the same one with low numbers is the choice, always the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

Key = tuple[Any, ...]
"""Numbers, or tuples of them; greater is better. One is never empty (see `optimism`) where another is not, and what can
be of different lengths ends with `inf`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One respect in which sets of devices are compared."""

    name: str
    key: Key
    text: str
    """The same in words; empty where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a set of devices is worth."""

    policy: str
    devices: tuple[int, ...]
    """Numbers of the devices on their node, ascending."""
    parts: tuple[Part, ...]
    """In the order in which they decide."""

    @property
    def merit(self) -> tuple[Key, ...]:
        """What is compared before the numbers of devices are."""
        return tuple([part.key for part in self.parts])

    @property
    def key(self) -> tuple[Key, ...]:
        """All that is compared."""
        return (*self.merit, by_number(self.devices))

    def behind(self, other: Score) -> str:
        """In what respect it is worth less than another score of the same policy, in words."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            if mine.key < theirs.key:
                if mine.text and mine.text != theirs.text:
                    return f"{mine.text} (the choice: {theirs.text})" if theirs.text else mine.text
                return _LESS.get(mine.name, mine.name)
        return ""

    def __str__(self) -> str:
        return "; ".join(part.text for part in self.parts if part.text)


_LESS = {
    "talk": "links are worse",
    "apart": "devices are closer together",
    "pairs": "NICs are farther away",
    "network": "less network bandwidth",
    "numaNodes": "more NUMA nodes",
    "leftOver": "what is left over is more broken up",
}
"""What is said of a part that is worse where its text is the same."""


def by_number(devices: tuple[int, ...]) -> Key:
    """The key by which lower device numbers are better, and of two sets that begin alike the smaller one."""
    return (*[-number for number in devices], inf)


def optimism(key: Key) -> Key:
    """The key turned around, for a queue that gives out its least first: `()`, what is not known yet, comes first."""
    return tuple([optimism(one) if isinstance(one, tuple) else -one for one in key])


@dataclass(frozen=True, slots=True)
class Choice:
    """The devices that a policy chose for a pod on a node, and what else there was."""

    policy: str
    names: tuple[str, ...]
    """The devices that were chosen, in order of number, without those that are only observed."""
    score: Score
    limits: tuple[str, ...] = ()
    """What limits their bandwidth, in words with figures."""
    runner_up: Score | None = None
    """The best set that may be had too and is worth less; None where nobody asked or there is none."""
    runner_up_names: tuple[str, ...] = ()
    proven: bool = True
    """Whether no set that may be had is worth more. False where there were too many to look at."""
    bound: tuple[Key, ...] | None = None
    """Where it is not proven: nothing is worth more than this, part by part, `()` for a part that is not bounded; None
    where no bound is known."""
