"""Doors: narrow interfaces to libraries that know hardware, whose answers can be recorded and given again.

A driver declares what it asks of a library as a class derived from `Door`: abstract methods that take plain values by
position and return plain values or msgspec structs. From the declaration alone come two more implementations: one
that notes each answer of a live door, and one that gives noted answers. A method that is not abstract (waiting for
events, say) is neither noted nor repeated: it does in a recording what the declaration says.

What cannot be had raises `HardwareError`, which is noted as well: a machine whose firmware fails can be recorded.
"""

from __future__ import annotations

import typing
from abc import ABC
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

import msgspec

_Door = TypeVar("_Door", bound="Door")


class HardwareError(Exception):
    """A library or a device did not do what it was asked; the text names the device and the reason."""

    def __init__(self, text: str, code: str = "") -> None:
        """Args:
        text: for a person.
        code: the library's own, for a program; empty where there is none.
        """
        super().__init__(text)
        self.code = code


class Door(ABC):
    """What a driver asks of one library."""

    door: ClassVar[str]
    """The door's name in recordings."""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a door said to one call."""

    value: Any = None
    error: str | None = None
    code: str = ""


Note = Callable[[str, Answer], None]


def noting(kind: type[_Door], live: _Door, note: Note) -> _Door:
    """A door that passes calls on to a live one, and each call with its answer to `note`."""

    def make(name: str) -> Callable[..., Any]:
        ask = getattr(live, name)

        def method(self: Door, *arguments: Any) -> Any:
            try:
                value = ask(*arguments)
            except HardwareError as error:
                note(_call(name, arguments), Answer(error=str(error), code=error.code))
                raise
            note(_call(name, arguments), Answer(msgspec.to_builtins(value)))
            return value

        return method

    return _instance(kind, "Noting", make)


def repeating(kind: type[_Door], answers: Mapping[str, Answer]) -> _Door:
    """A door that says what was noted; HardwareError (code `not-recorded`) for calls that were not made then."""

    def make(name: str) -> Callable[..., Any]:
        returned = typing.get_type_hints(getattr(kind, name))["return"]

        def method(self: Door, *arguments: Any) -> Any:
            call = _call(name, arguments)
            answer = answers.get(call)
            if answer is None:
                raise HardwareError(f"{kind.door}: {call} is not in the recording", "not-recorded")
            if answer.error is not None:
                raise HardwareError(answer.error, answer.code)
            try:
                return msgspec.convert(answer.value, returned)
            except msgspec.ValidationError as error:
                raise HardwareError(
                    f"{kind.door}: {call} was recorded in another form: {error}", "not-recorded"
                ) from None

        return method

    return _instance(kind, "Repeating", make)


def _call(name: str, arguments: tuple[Any, ...]) -> str:
    return f"{name}({', '.join(msgspec.json.encode(one).decode() for one in arguments)})"


def _instance(kind: type[_Door], prefix: str, make: Callable[[str], Callable[..., Any]]) -> _Door:
    methods = {name: make(name) for name in sorted(kind.__abstractmethods__)}
    return cast(_Door, type(prefix + kind.__name__, (kind,), methods)())
