"""The values that a constraint compares, as masks over the devices of a node.

A value is tagged with its type, because values of different types never are the same (KEP-4381), and versions are
compared as text. With list attributes (KEP-5491) a scalar is a list of one; without that gate a list has no value
that could match another's.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.resource import DeviceAttribute

Value = tuple[str, int | str | bool]
"""Type and value, for example `("string", "pci0000:00")`."""


class AttributeIndex:
    """One attribute over all devices of a node; bit i is device i."""

    __slots__ = ("masks", "multiple", "present", "valueless", "values", "values_of")

    def __init__(self, attributes: Sequence[DeviceAttribute | None], lists: bool) -> None:
        self.present = 0
        """Devices that a constraint on the attribute can accept at all."""
        self.valueless = 0
        """Those among them whose value is of a type that never equals another."""
        self.multiple = False
        """Whether any device has more than one value."""
        self.values: list[Value] = []
        """All values in order of first appearance; value j is bit j in `values_of`."""
        self.values_of: list[int] = []
        """For each device the set of its values."""
        self.masks: list[int] = []
        """For each value the devices that have it."""
        numbers: dict[Value, int] = {}
        for index, attribute in enumerate(attributes):
            own = 0
            if attribute is not None:
                found = _values(attribute) if lists else _scalar(attribute)
                if found or not lists:
                    self.present |= 1 << index
                if not found:
                    self.valueless |= self.present & 1 << index
                self.multiple = self.multiple or len(found) > 1
                for value in found:
                    number = numbers.setdefault(value, len(numbers))
                    if number == len(self.values):
                        self.values.append(value)
                        self.masks.append(0)
                    self.masks[number] |= 1 << index
                    own |= 1 << number
            self.values_of.append(own)


def _scalar(attribute: DeviceAttribute) -> list[Value]:
    if attribute.string is not None:
        return [("string", attribute.string)]
    if attribute.int_ is not None:
        return [("int", attribute.int_)]
    if attribute.bool_ is not None:
        return [("bool", attribute.bool_)]
    if attribute.version is not None:
        return [("version", attribute.version)]
    return []


def _values(attribute: DeviceAttribute) -> list[Value]:
    # The order in which the members are looked at is Kubernetes'; validation allows only one of them.
    lists: tuple[tuple[str, Sequence[int | str] | None], ...] = (
        ("int", attribute.ints),
        ("bool", attribute.bools),
        ("string", attribute.strings),
        ("version", attribute.versions),
    )
    for kind, values in lists:
        if values:
            return [(kind, value) for value in dict.fromkeys(values)]
    if attribute.int_ is not None:
        return [("int", attribute.int_)]
    if attribute.bool_ is not None:
        return [("bool", attribute.bool_)]
    return _scalar(attribute)
