"""The log: one line for each event, as JSON for machines or as text for people.

Every line has `time`, `level` and `event`; the fields after it depend on the event (docs/controller.md lists them, and
docs/lock.md those of the lock). No field holds a token, a key or the body of a write. `object` is
`KIND NAMESPACE/NAME`, `units` are the names of what is placed together, and `decision` numbers the decisions of this
process: so all lines of one pod can be found.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec

Format = Literal["json", "text"]
Level = Literal["info", "warning", "error"]

_WARNINGS: Final = frozenset(
    {"watch ended", "lead lost", "lease not reached", "not protected", "not allocated", "not released", "not opened"}
    | {"not told", "perhaps protected", "perhaps allocated", "perhaps released", "perhaps opened", "perhaps told"}
    | {"not marked", "perhaps marked"}
    | {"no figures"}
    | {"not settled", "may not settle", "held twice", "answers no more", "label not set", "certificate not renewed"}
    | {"not understood"}
)
_ERRORS: Final = frozenset({"refused", "election failed", "failed"})


class Journal:
    """Writes events."""

    def __init__(self, to: TextIO, format_: Format = "json") -> None:
        """Takes the stream to write to, and how."""
        self._to = to
        self._format = format_

    def __call__(self, event: str, **fields: Any) -> None:
        """Writes an event; empty fields are left out."""
        level: Level = "error" if event in _ERRORS else "warning" if event in _WARNINGS else "info"
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
