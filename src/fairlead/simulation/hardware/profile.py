"""What a hardware profile is: a name, the fields that a spec may give it, and a function that adds to a site.

A profile that makes nodes adds them with their devices; one that extends nodes (`extends`) adds devices to the nodes of
the parts before it. `build` is deterministic: the same fields give the same objects, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fairlead.simulation.hardware.site import Site

Value = int | str


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a spec may give: a whole number between bounds, or one of a few words, or a name."""

    name: str
    default: Value
    help: str
    least: int = 1
    most: int = 10_000
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of a spec: a profile and a value for each of its fields."""

    profile: str
    values: Mapping[str, Value] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """The value of a field that is a number."""
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def text(self, name: str) -> str:
        """The value of a field that is a word."""
        value = self.values[name]
        assert isinstance(value, str)
        return value


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of hardware that a spec can name."""

    name: str
    summary: str
    fields: tuple[Field, ...]
    build: Callable[[Part, Site], None]
    extends: bool = False
    """Whether it adds to nodes that other parts make."""


def name_field(default: str) -> Field:
    """The beginning of the names of a part's nodes."""
    return Field("name", default, "beginning of the node names")


ZONE = Field("zone", "zone-1", "value of the zone label")
