"""The log's lines."""

from __future__ import annotations

import io
import json

from fairlead.controller.levels import LEVELS
from fairlead.telemetry import Format, Journal


def lines(format_: Format, *events: tuple[str, dict[str, object]]) -> list[str]:
    to = io.StringIO()
    journal = Journal(to, LEVELS, format_)
    for event, fields in events:
        journal(event, **fields)
    return to.getvalue().splitlines()


def test_a_line_of_json_has_time_level_and_event() -> None:
    line = json.loads(lines("json", ("not allocated", {"object": "ResourceClaim ml/a", "status": 409, "after": ""}))[0])
    assert line.pop("time")
    assert line == {"level": "warning", "event": "not allocated", "object": "ResourceClaim ml/a", "status": 409}


def test_text_is_one_line_whatever_is_in_it() -> None:
    line = lines("text", ("told", {"object": "Pod ml/a", "message": 'two\nlines "quoted"', "units": ["pod ml/a"]}))
    assert len(line) == 1
    assert line[0].endswith(
        'INFO    told: object="Pod ml/a" message="two\\nlines \\"quoted\\"" units="[\\"pod ml/a\\"]"'
    )
