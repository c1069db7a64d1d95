"""Derived attributes: which types an expression may have, and what becomes of its result."""

from __future__ import annotations

from typing import Any

import pytest

from fairlead.cel import CompileError, EvaluationError, Features, compile_derived, device_input
from fairlead.resource import DeviceAttribute, Quantity

DEVICE = device_input(
    "d.x",
    {
        "model": DeviceAttribute(string="H100"),
        "index": DeviceAttribute(int_=3),
        "roots": DeviceAttribute(strings=["a", "b"]),
        "driver": DeviceAttribute(version="1.2.3+build"),
    },
    {"memory": Quantity.parse("80Gi")},
    False,
)
OWN = 'device.attributes["d.x"]'


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (f"{OWN}.model", {"string": "H100"}),
        (f"{OWN}.index / 2", {"int_": 1}),
        (f"{OWN}.index % 2 == 1", {"bool_": True}),
        (f"{OWN}.driver", {"version": "1.2.3+build"}),
        ('semver("v1.2", true)', {"version": "1.2.0"}),
        (f"{OWN}.roots", {"strings": ["a", "b"]}),
        (f'{OWN}.roots.map(root, root + "!")', {"strings": ["a!", "b!"]}),
        ("[1, 1, 2]", {"ints": [1, 1, 2]}),
        ("[true]", {"bools": [True]}),
        ('[semver("1.0.0")]', {"versions": ["1.0.0"]}),
        ("[]", {"strings": []}),
        (f"dyn({OWN}.?model)", {"string": "H100"}),
        ("dyn(type(1))", {"string": "int"}),
        ('device.capacity["d.x"].memory.isGreaterThan(quantity("40Gi")) ? "large" : "small"', {"string": "large"}),
    ],
)
def test_a_result_becomes_an_attribute(expression: str, expected: dict[str, Any]) -> None:
    assert compile_derived(expression).value(DEVICE) == DeviceAttribute(**expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (f"{OWN}.missing", "no such key: missing"),
        ("dyn(1.5)", "unsupported CEL return type: float64"),
        ("dyn(1u)", "unsupported CEL return type: uint64"),
        (f"dyn({OWN}.?missing)", "unsupported CEL return type: <nil>"),
        ('[dyn(1), dyn("x")]', "expected list element at index 1 to be int, got string"),
        ("[dyn(1.5)]", "unsupported list element type: float64"),
        ("dyn([[1]])", r"unsupported list element type: \[\]ref.Val"),
    ],
)
def test_what_no_attribute_can_hold_is_an_error(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        compile_derived(expression).value(DEVICE)


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        ("1.5", "double"),
        ("1u", "uint"),
        ('{"a": 1}', r"map\(string, int\)"),
        ("[1.5]", r"list\(double\)"),
        ("null", "null"),
    ],
)
def test_other_types_are_refused(expression: str, shown: str) -> None:
    with pytest.raises(CompileError, match=f"or a list of these scalars, not {shown}"):
        compile_derived(expression)


def test_new_expressions_have_lists_only_with_their_gate() -> None:
    with pytest.raises(
        CompileError, match=r"must evaluate to a primitive scalar \(string, integer, boolean, semver\), not"
    ):
        compile_derived("[1]", Features(list_attributes=False, stored=False))
    compile_derived("[1]", Features(list_attributes=False, stored=True))


def test_a_device_that_cannot_be_read_has_no_derived_attribute() -> None:
    broken = device_input("d.x", {"x": DeviceAttribute(version="1")}, {}, False)
    with pytest.raises(EvaluationError, match="attribute x: parse semantic version"):
        compile_derived('"constant"').value(broken)


def test_what_an_expression_reads_is_known() -> None:
    assert compile_derived(f"{OWN}.model").reads == {"d.x/model"}
    assert compile_derived("device.attributes.size()").reads is None
