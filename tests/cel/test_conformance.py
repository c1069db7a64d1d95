"""The conformance table: results, errors with their texts, static and run-time costs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fairlead.cel import CompileError, EvaluationError, Features, compile_selector, device_input
from fairlead.resource.quantity import Quantity

_DEFAULT = Path(__file__).parents[2].parent / "shared"
_TABLE = Path(os.environ.get("FAIRLEAD_SHARED", _DEFAULT)) / "conformance" / "cel-table.jsonl"
_FIELDS = {"int": "int_", "bool": "bool_"}


def _cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in _TABLE.read_text().splitlines()] if _TABLE.exists() else []


@pytest.mark.skipif(not _TABLE.exists(), reason="the conformance cases are not here")
def test_the_table_is_complete() -> None:
    assert len(_cases()) == 140


@pytest.mark.parametrize(
    "case", _cases(), ids=lambda case: f"{case['name']}-{'lists' if case['enableListTypeAttributes'] else 'scalars'}"
)
def test_case(case: dict[str, Any], attribute: Any) -> None:
    features = Features(
        consumable_capacity=case["enableConsumableCapacity"],
        list_attributes=case["enableListTypeAttributes"],
        stored=not case["newExpressions"],
    )
    if case["expectCompileError"]:
        with pytest.raises(CompileError) as refused:
            compile_selector(case["expression"], features)
        assert case["expectCompileError"] in str(refused.value)
        assert str(refused.value) == case["actualCompileError"]
        return
    selector = compile_selector(case["expression"], features)
    assert selector.max_cost == case["expectCost"] == case["maxCost"]
    device = case["device"]
    given = device_input(
        device["driver"],
        {
            name: attribute(**{_FIELDS.get(kind, kind): value for kind, value in fields.items()})
            for name, fields in (device["attributes"] or {}).items()
        },
        {name: Quantity.parse(capacity["value"]) for name, capacity in (device["capacity"] or {}).items()},
        bool(device["allowMultipleAllocations"]),
    )
    if case["expectMatchError"]:
        with pytest.raises(EvaluationError) as failed:
            selector.evaluate(given)
        assert case["expectMatchError"] in str(failed.value)
        assert str(failed.value) == case["actualMatchError"]
        assert failed.value.cost == case["actualCost"]
        with pytest.raises(EvaluationError):
            selector.matches(given)
        return
    assert selector.evaluate(given) == (case["expectMatch"], case["actualCost"])
    assert selector.matches(given) is case["expectMatch"]
