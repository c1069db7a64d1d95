"""What ends a check early: the driver failed it, or it says nothing about this driver."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - not an error of ours but what was found
    """The driver does not do what it must; the text is what was seen."""


class Skip(Exception):  # noqa: N818 - not an error
    """The check says nothing about this driver; the text is why."""
