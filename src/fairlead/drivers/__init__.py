"""Drivers on the kit, each a module that knows none of the others.

`make` finds them by name for `fairlead node`; an author's own driver is named by its place, `package.module:Class`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

from fairlead.driver import Driver

NAMES: Final = {"simulated": "fairlead.drivers.simulated:make"}
"""Each driver's factory: it takes the argument that a user gave and the node's name, and returns drivers."""


class DriverArgumentError(Exception):
    """A driver cannot be made of what the user gave; the text says why."""


def make(text: str, node: str) -> Sequence[Driver]:
    """The drivers that `NAME` or `NAME=ARGUMENT` stands for.

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
            made = factory(argument, node)
    except (ValueError, OSError) as error:
        raise DriverArgumentError(f"{name}: {error}") from None
    if not all(isinstance(one, Driver) for one in made):
        raise DriverArgumentError(f"{name}: is no fairlead.driver.Driver")
    return made
