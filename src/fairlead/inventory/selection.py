"""Which nodes a node selector selects (`k8s.io/component-helpers` nodeaffinity).

Terms are alternatives; within a term all requirements hold; a term without requirements selects nothing. A selector
that the API server would refuse is an error here too, because nothing can be said about the node.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.resource import NodeSelector, NodeSelectorRequirement


class SelectorError(ValueError):
    """A node selector that cannot be evaluated; the text names the operator or the field at fault."""


def selects(selector: NodeSelector, node_name: str, labels: Mapping[str, str]) -> bool:
    """Whether the selector selects the node.

    Raises:
        SelectorError: an operator or a field that the API does not know, or values that do not fit the operator.
    """
    fields = {"metadata.name": node_name}
    for term in selector.node_selector_terms:
        for requirement in term.match_fields:
            if requirement.key not in fields:
                raise SelectorError(f"{requirement.key!r} is not a valid field selector key")
            if requirement.operator not in ("In", "NotIn"):
                raise SelectorError(f"{requirement.operator!r} is not a valid field selector operator")
        for requirement in term.match_expressions:
            check_requirement(requirement)
    return any(
        (term.match_expressions or term.match_fields)
        and all(requirement_holds(requirement, fields) for requirement in term.match_fields)
        and all(requirement_holds(requirement, labels) for requirement in term.match_expressions)
        for term in selector.node_selector_terms
    )


def check_requirement(requirement: NodeSelectorRequirement) -> None:
    """Refuses what `labels.NewRequirement` refuses.

    Raises:
        SelectorError: with the reason.
    """
    operator, values = requirement.operator, requirement.values
    match operator:
        case "In" | "NotIn":
            if not values:
                raise SelectorError(f"values: for operator {operator!r} a value is required")
        case "Exists" | "DoesNotExist":
            if values:
                raise SelectorError(f"values: must be empty for operator {operator!r}")
        case "Gt" | "Lt":
            if len(values) != 1:
                raise SelectorError(f"values: for operator {operator!r} exactly one value is required")
            if _integer(values[0]) is None:
                raise SelectorError(f"values[0]: for operator {operator!r} the value must be an integer")
        case _:
            raise SelectorError(f"{operator!r} is not a valid node selector operator")


def requirement_holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    """Whether one checked requirement holds on the labels (or fields) of an object."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            have = None if value is None else _integer(value)
            limit = _integer(requirement.values[0])
            if have is None or limit is None:
                return False
            return have > limit if requirement.operator == "Gt" else have < limit


def _integer(text: str) -> int | None:
    try:
        return int(text) if text.lstrip("+-").isdecimal() and "_" not in text else None
    except ValueError:
        return None
