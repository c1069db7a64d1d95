"""Ranges of sizes and costs, in arithmetic that saturates at 2**64-1.

Mirrors ``SizeEstimate`` and ``CostEstimate`` of cel-go ``checker/cost.go``, including the rounding of doubles:
estimates are part of the API, so they must come out the same to the last unit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

LIMIT = 2**64 - 1

TRAVERSAL = 0.1
REGEX = 0.25
LIST_BASE = 10
MAP_BASE = 30
MESSAGE_BASE = 40


class Range(NamedTuple):
    """At least ``low``, at most ``high``."""

    low: int
    high: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.low + other.low, LIMIT), min(self.high + other.high, LIMIT))

    def times(self, other: Range) -> Range:
        return Range(min(self.low * other.low, LIMIT), min(self.high * other.high, LIMIT))

    def scaled(self, factor: float) -> Range:
        return Range(scale(self.low, factor), scale(self.high, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.low, other.low), max(self.high, other.high))


def fixed(value: int) -> Range:
    return Range(value, value)


def scale(value: int, factor: float) -> int:
    """``value * factor`` rounded up, computed in doubles."""
    number = float(value)
    if number > 0 and factor > 0 and number > LIMIT / factor:
        return LIMIT
    scaled = math.ceil(number * factor)
    return min(scaled, LIMIT)


UNKNOWN = Range(0, LIMIT)
ZERO = fixed(0)
ONE = fixed(1)
EMPTY_UNION = Range(LIMIT, 0)
