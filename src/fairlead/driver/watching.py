"""For drivers whose hardware tells nothing by itself: looks now and then, and compares."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event


def look_for_changes(look: Callable[[], object], changed: Callable[[], None], stop: Event, seconds: float) -> None:
    """What `Driver.watch` may do: calls `changed` whenever a look differs from the one before, until `stop` is set.

    Calls it after the first look, too: what changed since the last discovery is in no later difference.

    Args:
        look: what there is now, as a value that can be compared; a value of its own, not one that changes later.
        changed: as for `Driver.watch`.
        stop: as for `Driver.watch`.
        seconds: between two looks.
    """
    before = look()
    changed()
    while not stop.wait(seconds):
        if (now := look()) != before:
            before = now
            changed()
