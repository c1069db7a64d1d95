"""A device as the input of selectors.

Mirrors ``DeviceMatches`` in ``k8s.io/dynamic-resource-allocation/cel/compile.go``: names without a domain get the
driver's, unknown domains read as empty, and an attribute that cannot be converted (no value, an invalid version)
fails every evaluation on the device, whether the expression looks at it or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, final

from fairlead.cel.values import DefaultMap, Value
from fairlead.resource.quantity import Quantity
from fairlead.resource.semver import Semver


class AttributeLike(Protocol):
    """One value of a device attribute; at most one of the fields is set."""

    @property
    def int_(self) -> int | None: ...
    @property
    def bool_(self) -> bool | None: ...
    @property
    def string(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def ints(self) -> list[int] | None: ...
    @property
    def bools(self) -> list[bool] | None: ...
    @property
    def strings(self) -> list[str] | None: ...
    @property
    def versions(self) -> list[str] | None: ...


@final
class DeviceInput:
    """What a selector sees of a device. Built once per device, shared by all evaluations, never changed."""

    __slots__ = ("_mapping", "allow_multiple_allocations", "attributes", "capacity", "driver", "error")

    driver: Final[str]
    attributes: Final[DefaultMap]
    capacity: Final[DefaultMap]
    allow_multiple_allocations: Final[bool]
    error: Final[str | None]

    def __init__(
        self,
        driver: str,
        attributes: DefaultMap,
        capacity: DefaultMap,
        allow_multiple_allocations: bool,
        error: str | None = None,
    ) -> None:
        self.driver = driver
        self.attributes = attributes
        self.capacity = capacity
        self.allow_multiple_allocations = allow_multiple_allocations
        self.error = error
        self._mapping: dict[str, Value] | None = None

    def as_map(self) -> dict[str, Value]:
        """The value of the variable ``device`` itself, which is a map at run time."""
        if self._mapping is None:
            self._mapping = {
                "driver": self.driver,
                "allowMultipleAllocations": self.allow_multiple_allocations,
                "attributes": self.attributes,
                "capacity": self.capacity,
            }
        return self._mapping


def device_input(
    driver: str,
    attributes: Mapping[str, AttributeLike],
    capacity: Mapping[str, Quantity],
    allow_multiple_allocations: bool,
) -> DeviceInput:
    """The input for one device; names are ``id`` or ``domain/id``."""
    error: str | None = None
    converted = DefaultMap()
    for name, attribute in attributes.items():
        try:
            value = _value(attribute)
        except ValueError as problem:
            error = error or f"attribute {name}: {problem}"
        else:
            _store(converted, driver, name, value)
    quantities = DefaultMap()
    for name, quantity in capacity.items():
        _store(quantities, driver, name, quantity)
    return DeviceInput(driver, converted, quantities, allow_multiple_allocations, error)


def _store(domains: DefaultMap, driver: str, name: str, value: Value) -> None:
    domain, slash, identifier = name.partition("/")
    if not slash:
        domain, identifier = driver, name
    inner = domains.get(domain)
    if inner is None:
        inner = domains[domain] = {}
    inner[identifier] = value


def _value(attribute: AttributeLike) -> Value:
    if attribute.string is not None:
        return attribute.string
    # Lists come first, as in Kubernetes; more than one field is never set in a valid slice.
    for values in (attribute.ints, attribute.bools, attribute.strings):
        if values is not None:
            return tuple(values)
    if attribute.versions is not None:
        return tuple(map(_version, attribute.versions))
    if attribute.int_ is not None:
        return attribute.int_
    if attribute.bool_ is not None:
        return attribute.bool_
    if attribute.version is not None:
        return _version(attribute.version)
    raise ValueError("unsupported attribute value")


def _version(text: str) -> Semver:
    try:
        return Semver.parse(text)
    except ValueError as error:
        raise ValueError(f"parse semantic version: {error}") from None
