"""Costs: the static estimate and what evaluation on the sample device really costs.

The numbers are those of the API server for the same expressions and device.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairlead.cel import DeviceInput, EvaluationError, compile_selector

# Expression, static estimate, run-time cost.
COSTS = [
    ("true", 0, 0),
    ('device.driver == "d.x"', 3, 3),
    ("device.allowMultipleAllocations", 2, 2),
    ("$A.b", 4, 4),
    ("$A.i > 3", 5, 5),
    ('$A.s == "fish"', 5, 5),
    ("$A.s == $A.s", 15, 9),
    ('$A.s.startsWith("f")', 5, 5),
    ('$A.s.contains("is")', 11, 5),
    ('$A.s.matches("^f")', 11, 5),
    ('$A.s.lowerAscii() == "fish"', 12, 6),
    ('$A.s.split("i").size() == 2', 19, 7),
    ('$A.s.find("[a-z]+") == "fish"', 19, 7),
    ("$A.i in [1, 5]", 16, 4),
    ('$A.s in ["fish", "bird"]', 16, 4),
    ("$A.i in $A.li", 72, 9),
    ("1 in [$A.i]", 15, 15),
    ('"i" in $A', 4, 4),
    ("has($A.i)", 3, 3),
    ("has($A.nope)", 3, 3),
    ("$A.?nope.orValue(true)", 5, 3),
    ("$A.?b.orValue(false)", 5, 4),
    ('$A[?"b"].hasValue()', 5, 5),
    ('$A.v.isGreaterThan(semver("1.0.0"))', 6, 6),
    ('$C.q.isGreaterThan(quantity("1Ki"))', 6, 6),
    ('$C.q == quantity("1Mi")', 6, 6),
    ('$C.q.add(quantity("1Mi")).compareTo(quantity("2Mi")) == 0', 9, 9),
    ("$A.b && $A.i == 5", 9, 9),
    ("$A.b || $A.i == 5", 9, 4),
    ("!$A.b || $A.i == 5", 10, 10),
    ("$A.b ? $A.b : false", 8, 7),
    ("$A.i > 4 ? true : $A.b", 9, 5),
    ('($A.b ? $A : device.attributes["x"]).b', 8, 7),
    ("$A.li[0] == 1", 6, 6),
    ("$A.li[$A.i - 5] == 1", 11, 11),
    ("$A.li.all(x, x > 0)", 325, 20),
    ("$A.li.exists(x, x == 2)", 389, 20),
    ("$A.li.exists_one(x, x == 2)", 262, 14),
    ("$A.li.map(x, x * 2).size() == 3", 913, 49),
    ("$A.li.filter(x, x > 1).size() == 2", 977, 39),
    ('$A.ls.exists(i, v, v == "b")', 389, 17),
    ("$A.li.sum() == 6", 12, 8),
    ('$A.ls.join(",") == "a,b"', 12, 6),
    ('device.attributes.all(d, d != "")', 131, 11),
    ("cel.bind(a, $A, a.b)", 15, 5),
    ("cel.bind(a, $A.nope, true || a)", 15, 0),
    ("[1, 2, 3].sort() == [1, 2, 3]", 50, 30),
    ("[1, 2, 3].slice(0, 2) == [1, 2]", 34, 14),
    ("[3, 1].sortBy(x, -x) == [3, 1]", 91, 51),
    ("[1, 2].distinct().reverse().size() == 2", 46, 34),
    ("[[1], [2]].flatten() == [1, 2]", 54, 14),
    ("lists.range(3).size() == 3", 16, 16),
    ("sets.contains([1, 2], [$A.i]) == false", 28, 18),
    ('{"a": 1}.a == 1', 32, 3),
    ('{"a": $A.i}.a == 5', 36, 37),
    ("[$A.i, $A.i].size() == 2", 20, 20),
    ('{"a": 1}.transformMap(k, v, v + 1).a == 2', 68, 9),
    ("[1, 2].transformList(i, v, v > 1, i) == [1]", 62, 19),
    ('int("5") == 5', 2, 1),
    ("int($A.s.size()) == 4", 7, 7),
    ('string($A.i) == "5"', 12, 6),
    ("dyn($A.b)", 5, 5),
    ("type($A.i) == int", 1844674407370955270, 6),
    ('"%s-%d".format([$A.s, 1]) == "fish-1"', 16, 16),
    ('$A.s.replace("f", "d") == "dish"', 18, 6),
    ('$A.s.substring(1, 3) == "is"', 12, 6),
    ('"abc" + $A.s == "abcfish"', 12, 6),
    ('ip("10.0.0.1").family() == 4', 3, 3),
    ('cidr("10.0.0.0/8").containsIP("10.0.0.1")', 6, 3),
    ('cidr("10.0.0.0/8").containsCIDR(cidr("10.1.0.0/16"))', 10, 6),
    ('url("https://a.example/b").getHost() == "a.example"', 4, 4),
    ('!format.dns1123Label().validate("foo").hasValue()', 35, 11),
    ("optional.of(1).optMap(x, x + 1).value() == 2", 19, 9),
    ('timestamp("2023-01-01T00:00:00Z") < timestamp("2024-01-01T00:00:00Z")', 3, 1),
    ('duration("1h") + duration("1m") > duration("1h")', 5, 2),
]

FAILED = [
    ("$A.nope == 1", 5, 5),
    ("$A.nope == 1 && true", 5, 5),
    ('$A.nope.isGreaterThan(quantity("1"))', 6, 6),
    ("$A.nope.isGreaterThan($A.v)", 9, 4),
    ("1 / 0 == 1", 2, 2),
    ("[$A.i, $A.nope].size() == 2", 20, 20),
    ('{"a": $A.nope}.size() == 1', 36, 36),
    ('$A.nope.substring(1, 2) == ""', 11, 4),
    ("$A.li.all(x, x / 0 == 1)", 389, 23),
    ("$A.li.map(x, x / 0) == []", 921, 47),
]


@pytest.mark.parametrize(("expression", "maximum", "actual"), COSTS)
def test_costs(expression: str, maximum: int, actual: int, gpu: DeviceInput, expanded: Callable[[str], str]) -> None:
    selector = compile_selector(expanded(expression))
    assert (selector.max_cost, selector.evaluate(gpu)[1]) == (maximum, actual)


@pytest.mark.parametrize(("expression", "maximum", "actual"), FAILED)
def test_costs_of_failures(
    expression: str, maximum: int, actual: int, gpu: DeviceInput, expanded: Callable[[str], str]
) -> None:
    selector = compile_selector(expanded(expression))
    with pytest.raises(EvaluationError) as failed:
        selector.evaluate(gpu)
    assert (selector.max_cost, failed.value.cost) == (maximum, actual)


EXPENSIVE = "lists.range(100).all(a, lists.range(100).all(b, lists.range(100).all(c, a + b + c >= 0)))"


def test_evaluation_stops_at_the_budget(gpu: DeviceInput) -> None:
    selector = compile_selector(EXPENSIVE)
    assert selector.max_cost > 1_000_000
    with pytest.raises(EvaluationError, match="operation cancelled: actual cost limit exceeded") as failed:
        selector.matches(gpu)
    assert failed.value.cost is not None
    assert 1_000_000 < failed.value.cost < 1_000_100


def test_an_estimate_over_the_budget_does_not_matter_when_the_cost_is_within(gpu: DeviceInput) -> None:
    selector = compile_selector("lists.range(2000000).size() == 0 || true")
    assert selector.max_cost > 1_000_000
    assert selector.matches(gpu) is True
