"""PodDisruptionBudgets: read in YAML and JSON, refused as the API server does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from fairlead.resource import PodDisruptionBudget, read_text, validate


def document(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "ml"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def read(text: str) -> PodDisruptionBudget:
    objects, problems = read_text(text.encode(), "input")
    assert not problems
    (found,) = objects.budgets
    return found


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
@pytest.mark.parametrize("amount", [0, 3, "30%"])
def test_numbers_and_percentages_are_read(write: Any, amount: int | str) -> None:
    selector = {"matchLabels": {"app": "web"}}
    found = read(write({**document(minAvailable=amount, selector=selector), "status": {"disruptionsAllowed": 2}}))
    assert found.spec.min_available == amount
    assert found.spec.max_unavailable is None
    assert found.spec.selector is not None
    assert found.status.disruptions_allowed == 2
    assert validate(found) == []


def test_absent_is_not_zero() -> None:
    found = read(json.dumps(document(maxUnavailable=0)))
    assert found.status.disruptions_allowed is None
    assert found.spec.selector is None


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "spec", "minAvailable and maxUnavailable cannot be both set"),
        ({"minAvailable": -1}, "spec.minAvailable", "Invalid value: -1: must be greater than or equal to 0"),
        ({"maxUnavailable": "101%"}, "spec.maxUnavailable", "must not be greater than 100%"),
        ({"maxUnavailable": "ten"}, "spec.maxUnavailable", "a valid percent string must be a numeric string"),
        ({"maxUnavailable": True}, "spec.maxUnavailable", "must be an integer or percentage"),
        ({"minAvailable": 1.5}, "spec.minAvailable", "must be an integer or percentage"),
    ],
)
def test_what_is_refused(spec: dict[str, Any], field: str, reason: str) -> None:
    (problem,) = validate(read(json.dumps(document(**spec))))
    assert problem.field == field
    assert reason in problem.reason


def test_a_version_that_is_not_served_any_more_is_refused() -> None:
    old = {**document(minAvailable=1), "apiVersion": "policy/v1beta1"}
    _, problems = read_text(json.dumps(old).encode(), "input")
    assert "understood are policy/v1" in problems[0].reason
