"""How ``&& || ! ?:`` treat errors, against a model of three truth values; and that both forms agree."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.cel import DeviceInput, EvaluationError, compile_selector, device_input

TREE = st.recursive(
    st.sampled_from(["T", "F", "E", "N"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["&&", "||"]), inner, inner),
        st.tuples(st.just("!"), inner),
        st.tuples(st.just("?"), inner, inner, inner),
    ),
    max_leaves=12,
)
# True, false, an error, and a value that is no bool (which is an error where a bool is needed).
LEAVES = {"T": "true", "F": "false", "E": "(1 / 0 > 0)", "N": 'device.attributes["d.x"].n'}
VALUES: dict[str, bool | None] = {"T": True, "F": False, "E": None, "N": None}


def _source(tree: Any) -> str:
    if isinstance(tree, str):
        return LEAVES[tree]
    match tree:
        case ("!", operand):
            return f"!{_source(operand)}"
        case ("?", condition, first, second):
            return f"({_source(condition)} ? {_source(first)} : {_source(second)})"
    operator, left, right = tree
    return f"({_source(left)} {operator} {_source(right)})"


def _model(tree: Any) -> bool | None:
    """None stands for an error."""
    if isinstance(tree, str):
        return VALUES[tree]
    match tree:
        case ("!", operand):
            value = _model(operand)
            return None if value is None else not value
        case ("?", condition, first, second):
            chosen = _model(condition)
            return None if chosen is None else _model(first if chosen else second)
    operator, left, right = tree
    absorbing = operator == "||"
    values = (_model(left), _model(right))
    if absorbing in values:
        return absorbing
    return None if None in values else not absorbing


class _Number:
    int_ = 1
    bool_ = string = version = ints = bools = strings = versions = None


DEVICE: DeviceInput = device_input("d.x", {"n": _Number()}, {}, False)


@settings(max_examples=400, deadline=None)
@given(TREE)
def test_errors_are_absorbed_as_the_model_says(tree: Any) -> None:
    selector = compile_selector(_source(tree))
    outcomes: list[bool | None] = []
    for run in (selector.matches, lambda device: selector.evaluate(device)[0]):
        try:
            outcomes.append(run(DEVICE))
        except EvaluationError:
            outcomes.append(None)
    assert outcomes == [_model(tree)] * 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-3, 3), max_size=6), st.sampled_from(["all", "exists"]))
def test_quantifiers_are_chains_of_operators(numbers: list[int], macro: str) -> None:
    predicate = "6 / {} > 1"
    looped = f"{numbers}.{macro}(x, {predicate.format('x')})"
    operator, start = (" && ", "true") if macro == "all" else (" || ", "false")
    chained = operator.join([start, *(predicate.format(n) for n in numbers)])
    assert _outcome(looped) == _outcome(chained)


def _outcome(expression: str) -> object:
    try:
        return compile_selector(expression).matches(DEVICE)
    except EvaluationError:
        return None
