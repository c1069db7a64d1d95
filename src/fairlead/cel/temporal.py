"""Timestamps and durations.

Mirrors cel-go ``common/types/{timestamp,duration}.go`` and the parts of Go's ``time`` they rest on: RFC 3339 text,
years 1 to 9999, durations of an int64 of nanoseconds. The calendar is plain integer arithmetic: this package
knows no clock. Time zones are UTC and fixed offsets; a named zone would need the machine's database, so it is
unknown here.

Invariant: a ``Timestamp`` is an instant in nanoseconds since 1970; the offset it was written with only shows in
its text.
"""

from __future__ import annotations

import re
from typing import Final, final

from fairlead.cel.errors import EvaluationError

SECOND: Final = 10**9
_MIN_SECONDS: Final = -62135596800
_MAX_SECONDS: Final = 253402300799
_MAX_INT: Final = 2**63 - 1
_DAYS_BEFORE: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
_RFC3339 = re.compile(r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:Z|([+-])(\d{2}):(\d{2}))")
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
_DURATION = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)")
_OFFSET = re.compile(r"([+-]?)(\d{2}):(\d{2})")


@final
class Duration:
    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not -_MAX_INT - 1 <= nanos <= _MAX_INT:
            raise EvaluationError("integer overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: Duration) -> bool:
        return self.nanos < other.nanos

    def __gt__(self, other: Duration) -> bool:
        return self.nanos > other.nanos

    def __str__(self) -> str:
        whole, fraction = divmod(abs(self.nanos), SECOND)
        digits = f".{fraction:09d}".rstrip("0") if fraction else ""
        return f"{'-' if self.nanos < 0 else ''}{whole}{digits}s"

    @staticmethod
    def parse(text: str) -> Duration:
        """Go's notation: ``1h2m3.5s``; ValueError when it is none."""
        sign = -1 if text.startswith("-") else 1
        rest = text[1:] if text[:1] in ("-", "+") else text
        if rest == "0":
            return Duration(0)
        nanos = position = 0
        while position < len(rest):
            match = _DURATION.match(rest, position)
            if match is None or not (match[1] or match[2]):
                raise ValueError(text)
            unit = _UNITS[match[3]]
            fraction = match[2] or ""
            nanos += int(match[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
            position = match.end()
        if position == 0 or nanos > _MAX_INT + (sign < 0):
            raise ValueError(text)
        return Duration(sign * nanos)


@final
class Timestamp:
    __slots__ = ("nanos", "offset")

    def __init__(self, nanos: int, offset: int = 0) -> None:
        if not _MIN_SECONDS <= nanos // SECOND <= _MAX_SECONDS:
            raise EvaluationError("timestamp overflow")
        self.nanos = nanos
        self.offset = offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanos == other.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanos < other.nanos

    def __gt__(self, other: Timestamp) -> bool:
        return self.nanos > other.nanos

    def __str__(self) -> str:
        local, fraction = divmod(self.nanos + self.offset * SECOND, SECOND)
        days, seconds = divmod(local, 86400)
        year, month, day = civil(days)
        digits = f".{fraction:09d}".rstrip("0") if fraction else ""
        zone = "Z"
        if self.offset:
            hours, minutes = divmod(abs(self.offset) // 60, 60)
            zone = f"{'-' if self.offset < 0 else '+'}{hours:02d}:{minutes:02d}"
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return f"{year:04d}-{month:02d}-{day:02d}T{clock}{digits}{zone}"

    @staticmethod
    def parse(text: str) -> Timestamp:
        """RFC 3339; ValueError when it is not."""
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise ValueError(text)
        year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
        leap_day = month == 2 and _is_leap(year)
        valid = 1 <= month <= 12 and 1 <= day <= _month_length(month) + leap_day
        if not valid or hour > 23 or minute > 59 or second > 59:
            raise ValueError(text)
        offset = 0
        if match[8]:
            if int(match[9]) > 24 or int(match[10]) > 60:
                raise ValueError(text)
            offset = (int(match[9]) * 3600 + int(match[10]) * 60) * (-1 if match[8] == "-" else 1)
        seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
        fraction = int((match[7] or "0")[:9].ljust(9, "0"))
        try:
            return Timestamp(seconds * SECOND + fraction, offset)
        except EvaluationError:
            raise ValueError(text) from None

    def fields(self, zone: str | None) -> tuple[int, int, int, int]:
        """Days since 1970, second of the day, year and month, in the zone."""
        local = self.nanos // SECOND + (0 if zone is None else zone_offset(zone))
        days, seconds = divmod(local, 86400)
        year, month, _ = civil(days)
        return days, seconds, year, month


def zone_offset(zone: str) -> int:
    """Seconds east of UTC."""
    if zone in ("", "UTC"):
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        raise EvaluationError(f"unknown time zone {zone}")
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_length(month: int) -> int:
    return 30 + (month + month // 8) % 2 - 2 * (month == 2)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    before = year - 1
    leap_days = before // 4 - before // 100 + before // 400
    in_year = _DAYS_BEFORE[month - 1] + (month > 2 and _is_leap(year)) + day - 1
    return before * 365 + leap_days + in_year - 719162


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day since 1970-01-01."""
    # 400 years always have 146097 days; a first guess of the year is at most one off.
    shifted = days + 719162
    cycle, rest = divmod(shifted, 146097)
    year = cycle * 400 + rest * 400 // 146097 + 1
    while days_from_civil(year, 1, 1) > days:
        year -= 1
    while days_from_civil(year + 1, 1, 1) <= days:
        year += 1
    in_year = days - days_from_civil(year, 1, 1)
    month = 1
    while month < 12 and in_year >= _DAYS_BEFORE[month] + (month >= 2 and _is_leap(year)):
        month += 1
    return year, month, in_year - _DAYS_BEFORE[month - 1] - (month > 2 and _is_leap(year)) + 1
