"""Between JSON values and structs: exact quantities in both directions, and decoding in bulk.

Invariants: a number that is not an integer keeps its text (`Number.text`), so that a quantity written `0.1` is a
tenth and nothing near it; decoding many objects does not wake the garbage collector, since structs of the API hold
no cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fairlead.resource.quantity import Quantity


class Number(float):
    """A number with a fraction or an exponent, with the text that it was written as."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Number:
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode_hook(expected: type, value: Any) -> Any:
    """For msgspec: a Quantity out of a string or a number."""
    if expected is Quantity:
        return parse_quantity(value)
    raise NotImplementedError(f"no decoder for {expected.__name__}")


def encode_hook(value: Any) -> Any:
    """For msgspec: the canonical text of a Quantity."""
    if isinstance(value, Quantity):
        return str(value)
    if isinstance(value, Number):
        return float(value)
    raise NotImplementedError(f"no encoder for {type(value).__name__}")


def parse_quantity(value: Any) -> Quantity:
    """The quantity that a JSON value stands for; ValueError when it stands for none."""
    if type(value) is str:
        return Quantity.parse(value)
    if isinstance(value, Quantity):
        return value
    if isinstance(value, Number):
        return Quantity.parse(value.text)
    if type(value) is int:
        return Quantity.parse(str(value))
    raise ValueError("must be a quantity: a string or a number")


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps the garbage collector from walking a heap that only grows."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
