"""Everything that is wrong with the objects of an input, as the API server would say it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from fairlead.cel import CompileError, Features, compile_selector
from fairlead.resource import KubeObject, Objects, Problem, validate, validate_pools

MAX_COST: Final = 1_000_000
"""`CELSelectorExpressionMaxCost`."""


def all_objects(objects: Objects) -> Iterator[KubeObject]:
    """The objects by kind, each kind in input order."""
    yield from objects.slices
    yield from objects.classes
    yield from objects.claims
    yield from objects.templates
    yield from objects.taint_rules
    yield from objects.nodes
    yield from objects.pod_groups
    yield from objects.budgets
    yield from objects.workloads
    yield from objects.pods


def problems_of(objects: Objects) -> list[Problem]:
    """The problems of every object, then those of pools."""
    found = [
        problem if problem.source else problem.at(objects.source_of(item))
        for item in all_objects(objects)
        for problem in validate(item, check_selector)
    ]
    return [*found, *validate_pools(objects.slices)]


def one_line(problem: Problem) -> str:
    """The problem on a line of its own; what a CEL compiler says has several."""
    return " ".join(str(problem).split())


@cache
def check_selector(expression: str) -> str | None:
    """What the API server has against a device selector; None where it takes it."""
    try:
        selector = compile_selector(expression, Features(stored=False))
    except CompileError as error:
        return str(error)
    return "too complex, exceeds cost limit" if selector.max_cost > MAX_COST else None
