"""A sample device, and short ways to evaluate expressions on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fairlead.cel import DeviceInput, Features, compile_selector, device_input
from fairlead.resource.quantity import Quantity


@dataclass(frozen=True)
class Attribute:
    int_: int | None = None
    bool_: bool | None = None
    string: str | None = None
    version: str | None = None
    ints: list[int] | None = None
    bools: list[bool] | None = None
    strings: list[str] | None = None
    versions: list[str] | None = None


@pytest.fixture(scope="session")
def attribute() -> type[Attribute]:
    return Attribute


@pytest.fixture(scope="session")
def gpu() -> DeviceInput:
    """``d.x`` is the driver; ``o.x`` is a domain with one more attribute."""
    return device_input(
        "d.x",
        {
            "i": Attribute(int_=5),
            "b": Attribute(bool_=True),
            "s": Attribute(string="fish"),
            "v": Attribute(version="1.2.3"),
            "li": Attribute(ints=[1, 2, 3]),
            "lb": Attribute(bools=[True, False]),
            "ls": Attribute(strings=["a", "b"]),
            "lv": Attribute(versions=["1.0.0", "2.0.0"]),
            "o.x/j": Attribute(int_=7),
        },
        {"q": Quantity.parse("1Mi"), "z": Quantity.parse("0")},
        allow_multiple_allocations=True,
    )


@pytest.fixture(scope="session")
def evaluate(gpu: DeviceInput) -> Callable[[str], bool]:
    """The value of an expression on the sample device, checked to be the same in both forms.

    ``A`` and ``C`` stand for the driver's attributes and capacity.
    """

    def run(expression: str) -> bool:
        selector = compile_selector(expand(expression), Features())
        result = selector.matches(gpu)
        assert selector.evaluate(gpu)[0] is result, "the fast and the exact form disagree"
        return result

    return run


def expand(expression: str) -> str:
    return expression.replace("$A", 'device.attributes["d.x"]').replace("$C", 'device.capacity["d.x"]')


@pytest.fixture(scope="session")
def expanded() -> Callable[[str], str]:
    return expand
