"""Values of device attributes."""

from __future__ import annotations

import pytest

from fairlead.hardware import attribute
from fairlead.resource import DeviceAttribute


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, DeviceAttribute(bool_=True)),
        (0, DeviceAttribute(int_=0)),
        ("a", DeviceAttribute(string="a")),
        ("a" * 65, DeviceAttribute(string="a" * 64)),
        ("\u00e9" * 40, DeviceAttribute(string="\u00e9" * 32)),
        ("a" + "\u00e9" * 40, DeviceAttribute(string="a" + "\u00e9" * 31)),
    ],
)
def test_a_value_has_its_type_and_a_text_at_most_64_bytes(value, expected):
    assert attribute(value) == expected
