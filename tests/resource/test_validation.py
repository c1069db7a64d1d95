"""Our validation says what the API server says; the rules are rows in validation_cases.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairlead.resource import Objects, parse_yaml, read_text, validate, write_json
from validation_cases import (
    CLAIM,
    CLASS,
    COUNTERS,
    DEVICE,
    GPU,
    RULE,
    RULES,
    SLICE,
    TEMPLATE,
    attributes,
    changed,
    devices,
)


def read_one(document: dict[str, Any]) -> Any:
    objects, problems = read_text(json.dumps(document).encode(), "in.json")
    assert problems == []
    (item,) = all_of(objects)
    return item


def all_of(objects: Objects) -> list[Any]:
    return [*objects.slices, *objects.claims, *objects.classes, *objects.templates, *objects.taint_rules]


@pytest.mark.parametrize("text", [SLICE, COUNTERS, CLAIM, CLASS, RULE, TEMPLATE])
def test_valid_objects_have_no_problem(text: str) -> None:
    (document,) = parse_yaml(text)
    item = read_one(document)
    assert validate(item) == []
    assert validate(read_one(json.loads(write_json(item)))) == []


@pytest.mark.parametrize(
    ("text", "path", "value", "field", "reason"), RULES, ids=[f"{row[3]}: {row[4][:40]}" for row in RULES]
)
def test_rule(text: str, path: str, value: Any, field: str, reason: str) -> None:
    found = validate(read_one(changed(text, path, value)))
    matching = [problem for problem in found if problem.field == field and reason in problem.reason]
    assert matching, [str(problem) for problem in found]
    # The one change may break a second rule at the same place, or what refers to it.
    assert len(found) <= 4


def test_limits_are_inclusive() -> None:
    for path, value in (
        ("spec.devices", devices(128)),
        ("spec.devices", devices(64, taints=[{"key": "a", "effect": "None"}])),
        (f"{DEVICE}.attributes", attributes(31)),
        (f"{DEVICE}.attributes.a", {"string": "x" * 64}),
        ("spec.driver", "a" * 63),
    ):
        assert validate(read_one(changed(SLICE, path, value))) == []


def test_a_slice_selects_nodes_by_exactly_one_term() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    document = changed(SLICE, "spec.nodeName", None)
    document["spec"]["nodeSelector"] = {"nodeSelectorTerms": [term, term]}
    (problem,) = validate(read_one(document))
    assert problem.field == "spec.nodeSelector.nodeSelectorTerms"
    assert problem.reason.endswith("must have exactly one node selector term")


def test_devices_select_nodes_when_the_slice_says_so() -> None:
    document = changed(SLICE, "spec.nodeName", None)
    document["spec"]["perDeviceNodeSelection"] = True
    (problem,) = validate(read_one(document))
    assert (problem.field, problem.reason[:15]) == (DEVICE, "Required value:")
    document["spec"]["devices"][0]["nodeName"] = "n"
    assert validate(read_one(document)) == []


def test_selectors_are_compiled_by_the_callback() -> None:
    def check(expression: str) -> str | None:
        return {"bad": "compilation failed", "heavy": "too complex, exceeds cost limit"}.get(expression)

    path = f"{GPU}.exactly.selectors[0].cel.expression"
    for expression, reason in (
        ("bad", 'Invalid value: "bad": compilation failed'),
        ("heavy", "Forbidden: too complex, exceeds cost limit"),
    ):
        (problem,) = validate(read_one(changed(CLAIM, path, expression)), check)
        assert (problem.field, problem.reason) == (path, reason)
    assert validate(read_one(changed(CLAIM, path, "fine")), check) == []
    (problem,) = validate(read_one(changed(CLASS, "spec.selectors[0].cel.expression", "bad")), check)
    assert problem.field == "spec.selectors[0].cel.expression"


def test_a_problem_says_object_field_and_reason() -> None:
    (problem,) = validate(read_one(changed(SLICE, "spec.driver", "")))
    assert str(problem.at("file.yaml")) == 'file.yaml: ResourceSlice "s": spec.driver: Required value'


def test_values_in_node_selectors_are_label_values() -> None:
    document = changed(SLICE, "spec.nodeName", None)
    expression = {"key": "zone", "operator": "In", "values": ["a", "b c"]}
    document["spec"]["nodeSelector"] = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    (problem,) = validate(read_one(document))
    assert problem.field == "spec.nodeSelector.nodeSelectorTerms[0].matchExpressions[0].values[1]"
    assert problem.reason.startswith('Invalid value: "b c": a valid label')


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_integers_have_64_bits_in_json_too(value: int) -> None:
    _, (problem,) = read_text(json.dumps(changed(SLICE, f"{DEVICE}.attributes.a", {"int": value})).encode(), "in.json")
    assert problem.field == f"{DEVICE}.attributes[a].int"
