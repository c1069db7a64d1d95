"""How much an event of the controller or of the lock matters; those that are not listed are `info`."""

from __future__ import annotations

from typing import Final

from fairlead.telemetry import Level

_WARNINGS: Final = frozenset(
    {"watch ended", "lead lost", "lease not reached", "not protected", "not allocated", "not released", "not opened"}
    | {"not told", "perhaps protected", "perhaps allocated", "perhaps released", "perhaps opened", "perhaps told"}
    | {"not marked", "perhaps marked"}
    | {"no figures"}
    | {"not settled", "may not settle", "held twice", "answers no more", "label not set", "certificate not renewed"}
    | {"not understood"}
)
_ERRORS: Final = frozenset({"refused", "election failed", "failed"})

LEVELS: Final[dict[str, Level]] = {**dict.fromkeys(_WARNINGS, "warning"), **dict.fromkeys(_ERRORS, "error")}
