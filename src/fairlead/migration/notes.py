"""What a person is told of a migration, a line for each thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["changed", "look", "left"]


@dataclass(frozen=True, slots=True)
class Note:
    """One line."""

    level: Level
    """`changed`: done. `look`: done, and different from before in a way that may matter. `left`: stays as it was."""
    object: str
    field: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.object, self.field, self.text) if part)
