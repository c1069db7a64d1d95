"""Devices as input: names and domains, values of every kind, what makes a device unreadable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fairlead.cel import EvaluationError, compile_selector, device_input
from fairlead.resource.quantity import Quantity


def test_names_without_a_domain_belong_to_the_driver(attribute: Any) -> None:
    device = device_input("d.x", {"a": attribute(int_=1), "d.x/b": attribute(int_=2)}, {}, False)
    assert compile_selector('device.attributes["d.x"].a + device.attributes["d.x"].b == 3').matches(device)


def test_an_unknown_domain_reads_as_empty_but_is_not_there() -> None:
    device = device_input("d.x", {}, {}, False)
    assert compile_selector('device.attributes["none"].size() == 0 && !("none" in device.attributes)').matches(device)
    assert compile_selector("has(device.attributes.none)").matches(device)
    with pytest.raises(EvaluationError, match="no such key: x"):
        compile_selector('device.capacity["none"].x == quantity("1")').matches(device)


def test_lists_keep_their_order_and_types(attribute: Any) -> None:
    device = device_input("d", {"l": attribute(ints=[3, 1]), "e": attribute(strings=[])}, {}, False)
    assert compile_selector('device.attributes["d"].l == [3, 1] && device.attributes["d"].e == []').matches(device)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "attribute x: unsupported attribute value"),
        ({"version": "1.0"}, "attribute x: parse semantic version: No Major.Minor.Patch elements found"),
        ({"versions": ["1.0.0", ""]}, "attribute x: parse semantic version: Version string empty"),
    ],
)
def test_an_unreadable_attribute_fails_every_selector(attribute: Any, fields: dict[str, Any], message: str) -> None:
    device = device_input("d.x", {"x": attribute(**fields)}, {}, False)
    for expression in ("true", "device.driver == 'd.x'"):
        with pytest.raises(EvaluationError) as failed:
            compile_selector(expression).matches(device)
        assert str(failed.value) == message
        assert failed.value.cost is None


def test_the_device_itself_is_a_map(attribute: Any) -> None:
    device = device_input("d.x", {"a": attribute(bool_=True)}, {"c": Quantity.parse("1")}, True)
    for expression in (
        "device == device",
        "device.attributes == device.attributes",
        "cel.bind(d, device, d.driver == 'd.x' && d.allowMultipleAllocations)",
        "[device].exists(d, d.attributes['d.x'].a)",
    ):
        assert compile_selector(expression).matches(device), expression


def test_threads_share_selectors(attribute: Any) -> None:
    selector = compile_selector('device.attributes["d"].l.exists(x, device.attributes["d"].n / x == 2 || x > 90)')
    devices = [
        device_input("d", {"l": attribute(ints=[0, n % 7]), "n": attribute(int_=n)}, {}, False) for n in range(200)
    ]
    expected = [_outcome(selector, device) for device in devices]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(lambda device: _outcome(selector, device), devices)) == expected


def _outcome(selector: Any, device: Any) -> object:
    try:
        return selector.matches(device)
    except EvaluationError as error:
        return str(error)
