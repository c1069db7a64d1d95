"""The log: one line for each event, as JSON for machines or as text for people.

Every line has `time`, `level` and `event`; the fields after it depend on the event (docs/controller.md lists them, and
docs/lock.md those of the lock). No field holds a token, a key or the body of a write. `object` is
`KIND NAMESPACE/NAME`, `units` are the names of what is placed together, and `decision` numbers the decisions of this
process: so all lines of one pod can be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

Format = Literal["json", "text"]
Level = Literal["info", "warning", "error"]


class Journal:
    """Writes events."""

    def __init__(self, to: TextIO, levels: Mapping[str, Level], format_: Format = "json") -> None:
        """Writes nothing yet.

        Args:
            to: the stream.
            levels: by event, of those that are more than `info`.
            format_: of the lines.
        """
        self._to = to
        self._levels = levels
        self._format = format_

    def __call__(self, event: str, **fields: Any) -> None:
        """Writes an event; empty fields are left out."""
        level: Level = self._levels.get(event, "info")
        head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
        fields = {name: value for name, value in fields.items() if value not in ("", None)}
        if self._format == "json":
            line = msgspec.json.encode(head | fields).decode()
        else:
            rest = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
            line = f"{head['time']} {level.upper():<7} {event}{': ' if rest else ''}{rest}"
        # One write: lines of several processes in one file stay whole.
        self._to.write(f"{line}\n")
        self._to.flush()


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    plain = text.isprintable() and not any(one in text for one in ' "=')
    return text if plain else msgspec.json.encode(text).decode()
