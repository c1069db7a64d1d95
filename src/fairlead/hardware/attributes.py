"""Values of device attributes, from plain ones."""

from __future__ import annotations

from typing import Final

from fairlead.resource import DeviceAttribute

_LONGEST: Final = 64
"""Bytes of a text (`DeviceAttributeMaxValueLength`); with more the API server refuses the whole slice."""


def attribute(value: bool | int | str) -> DeviceAttribute:
    """The attribute with a value; a text is cut where attributes must end."""
    if isinstance(value, bool):
        return DeviceAttribute(bool_=value)
    if isinstance(value, int):
        return DeviceAttribute(int_=value)
    return DeviceAttribute(string=value.encode()[:_LONGEST].decode(errors="ignore"))
