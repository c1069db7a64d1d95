"""What came of a run, as text for people and as a record for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from fairlead.conformance.check import Check
from fairlead.conformance.run import Report, Result

_MARK: Final = {"pass": "pass", "fail": "FAIL", "skip": "skip"}
_WIDTH: Final = 110
_SEEN: Final = 90
_INDENT: Final = " " * 8


def line_of(result: Result) -> str:
    """One result: a line, and for a failure what was expected, what was seen, and why it matters."""
    check = result.check
    head = f"  {_MARK[result.verdict]}  {check.id:<26} {check.title}"
    if result.verdict == "pass":
        return head
    if result.verdict == "skip":
        return f"{head}\n{_part('skipped', _short(result.seen))}"
    parts = (("expected", check.expected), ("seen", result.seen), ("why", check.why), ("source", check.source))
    return "\n".join([head, *(_part(name, text) for name, text in parts)])


def as_text(report: Report) -> str:
    """What is said after the last result."""
    counts = f"{report.count('pass')} passed, {report.count('fail')} failed, {report.count('skip')} skipped"
    driver = f"driver {report.driver}, {report.devices} devices" if report.driver else "no driver"
    failed = [one.check.id for one in report.results if one.verdict == "fail"]
    end = f"\nfailed: {', '.join(failed)}" if failed else ""
    return f"{driver}: {counts} in {report.seconds:.0f} s{end}"


def record(report: Report) -> dict[str, Any]:
    """The report as plain values; fields are added, never changed."""
    return {
        "driver": report.driver,
        "devices": report.devices,
        "passed": report.count("pass"),
        "failed": report.count("fail"),
        "skipped": report.count("skip"),
        "seconds": round(report.seconds, 1),
        "checks": [
            {
                **_about(one.check),
                "verdict": one.verdict,
                "seen": one.seen,
                "seconds": round(one.seconds, 2),
            }
            for one in report.results
        ],
    }


def list_of_checks(checks: Sequence[Check], plain: bool) -> Any:
    """All checks with why they matter: as text, or as plain values."""
    if not plain:
        return [_about(one) for one in checks]
    lines = []
    group = ""
    for one in checks:
        if one.group != group:
            group = one.group
            lines.append(f"{group}")
        lines += [f"  {one.id:<26} {one.title}", _part("expected", one.expected), _part("why", one.why)]
    return "\n".join(lines)


def _about(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "group": check.group,
        "title": check.title,
        "expected": check.expected,
        "source": check.source,
        "why": check.why,
    }


def _part(name: str, text: str) -> str:
    label = f"{_INDENT}{name + ':':<10}"
    return textwrap.fill(
        " ".join(text.split()), _WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False
    )


def _short(text: str) -> str:
    return text if len(text) <= _SEEN else f"{text[: _SEEN - 3]}..."
