"""Opaque configuration: from what users wrote in a class or a claim to typed values of the driver's author.

A kind of configuration is a struct:

    class GpuConfig(Config, frozen=True):
        api_version: ClassVar[str] = "gpu.example.com/v1"
        sharing: Literal["none", "time"] = "none"

Unknown kinds, unknown fields and wrong types are errors that name the place in the claim; nothing is ignored.

Order: the class's configuration first, then the claim's; of one kind the last that applies to a request wins. An entry
applies to all requests when it names none, and to every alternative of a request when it names the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from fairlead.resource import DeviceAllocationConfiguration, decode_hook

_SOURCES: Final = ("FromClass", "FromClaim")


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the field and the reason."""


class Config(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of all kinds of configuration."""

    api_version: ClassVar[str] = ""
    """`group/version` of the kind; empty for parameters that have no apiVersion."""

    @classmethod
    def kind(cls) -> str:
        """The kind's name: that of the class; empty for parameters that have no kind."""
        return cls.__name__


def decode(kinds: Sequence[type[Config]], parameters: Any) -> Config:
    """The typed value of opaque parameters.

    Raises:
        ConfigError: they are of no kind that we know, or wrong.
    """
    if not isinstance(parameters, dict):
        raise ConfigError("must be an object with apiVersion and kind")
    named = (parameters.get("apiVersion", ""), parameters.get("kind", ""))
    for kind in kinds:
        if named == (kind.api_version, kind.kind()):
            fields = {name: value for name, value in parameters.items() if name not in ("apiVersion", "kind")}
            try:
                return msgspec.convert(fields, kind, dec_hook=decode_hook)
            except (msgspec.ValidationError, ValueError) as error:
                raise ConfigError(f"{kind.kind()}: {error}") from None
    known = ", ".join(f"{kind.api_version} {kind.kind()}" for kind in kinds) or "none, it takes no configuration"
    raise ConfigError(f"apiVersion {named[0]!r}, kind {named[1]!r}: is not known to the driver; known: {known}")


def check(driver: str, kinds: Sequence[type[Config]], entries: Sequence[DeviceAllocationConfiguration]) -> None:
    """Whether all of the allocation's configuration for the driver can be used, even where it applies to nothing.

    Raises:
        ConfigError: one cannot.
    """
    for index, entry in enumerate(entries):
        where = f"status.allocation.devices.config[{index}]"
        if entry.source not in _SOURCES:
            raise ConfigError(f"{where}.source: {entry.source!r}: is not known to the driver")
        if entry.opaque is None:
            raise ConfigError(f"{where}: holds a member that the driver does not know")
        if entry.opaque.driver == driver:
            try:
                decode(kinds, entry.opaque.parameters)
            except ConfigError as error:
                raise ConfigError(f"{where}.opaque.parameters: {error}") from None


def applying(driver: str, entries: Sequence[DeviceAllocationConfiguration], request: str) -> list[Any]:
    """The opaque parameters for a request (`name`, or `name/alternative`), in the order in which later ones win."""
    names = {request, request.partition("/")[0]}
    return [
        entry.opaque.parameters
        for source in _SOURCES
        for entry in entries
        if entry.source == source
        and entry.opaque is not None
        and entry.opaque.driver == driver
        and (not entry.requests or names.intersection(entry.requests))
    ]


def typed(kinds: Sequence[type[Config]], parameters: Iterable[Any]) -> tuple[Config, ...]:
    """One value a kind, the last that was given, in the order in which they were given.

    Raises:
        ConfigError: one is wrong.
    """
    found: dict[type[Config], Config] = {}
    for one in parameters:
        value = decode(kinds, one)
        found.pop(type(value), None)
        found[type(value)] = value
    return tuple(found.values())
