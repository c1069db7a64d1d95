"""Drivers on the kit, each a module that knows none of the others.

`make` finds them by name for `fairlead node`; an author's own driver is named by its place, `package.module:Class`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from fairlead.driver import Driver
from fairlead.hardware import LiveMachine, Machine

NAMES: Final = {
    "fabric": "fairlead.drivers.fabric:make",
    "bluefield": "fairlead.drivers.bluefield:make",
    "network": "fairlead.drivers.network:make",
    "nvidia": "fairlead.drivers.nvidia:make",
    "power": "fairlead.drivers.power:make",
    "simulated": "fairlead.drivers.simulated:make",
    "spyre": "fairlead.drivers.spyre:make",
}
"""Each driver's factory: from the argument that a user gave, the node's name and the machine to drivers."""
HARDWARE: Final[Sequence[str]] = ("bluefield", "network", "nvidia", "power", "spyre")
"""The drivers that find their hardware by themselves."""


class DriverArgumentError(Exception):
    """A driver cannot be made of what the user gave; the text says why."""


def make(text: str, node: str, machine: Machine | None = None) -> Sequence[Driver]:
    """The drivers that `NAME` or `NAME=ARGUMENT` stands for.

    Args:
        text: what the user gave.
        node: the node's name.
        machine: where the drivers look for hardware; None for the machine that we run on.

    Raises:
        DriverArgumentError: there are none.
    """
    name, equals, argument = text.partition("=")
    module, colon, attribute = NAMES.get(name, name).partition(":")
    if not colon:
        raise DriverArgumentError(f"{name}: is none of {', '.join(NAMES)}, nor of the form package.module:Class")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DriverArgumentError(f"{name}: {error}") from None
    try:
        if isinstance(factory, type):
            made: Sequence[Driver] = [factory(argument) if equals else factory()]
        else:
            made = factory(argument, node, machine or LiveMachine())
    except (ValueError, OSError) as error:
        raise DriverArgumentError(f"{name}: {error}") from None
    if not all(isinstance(one, Driver) for one in made):
        raise DriverArgumentError(f"{name}: is no fairlead.driver.Driver")
    return made
