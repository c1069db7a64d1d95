"""Which objects a list or a watch is about: field and label selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fairlead.conformance.apiserver.resources import SLICES, Resource
from fairlead.conformance.apiserver.store import RefusedError

_SLICE_FIELDS: Final = {"spec.driver", "spec.nodeName"}
_FIELDS: Final = {"metadata.name", "metadata.namespace"}
_POD_FIELDS: Final = {"spec.nodeName", "status.phase"}
_label = re.compile(
    r"(?P<not>!)?(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)|(?P<set>in|notin)\s*"
    r"\((?P<values>[^)]*)\))?\s*(?:,|$)\s*"
)


def matcher(resource: Resource, fields: str, labels: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an object is meant.

    Raises:
        RefusedError: a selector cannot be read, or names a field that cannot be selected by.
    """
    known = _FIELDS | (_SLICE_FIELDS if resource is SLICES else _POD_FIELDS if resource.plural == "pods" else set())
    wanted = []
    for part in filter(None, fields.split(",")):
        key, operator, value = _field(part)
        if key not in known:
            raise RefusedError(400, "BadRequest", f"field label not supported: {key}")
        wanted.append((key.split("."), operator, value))
    conditions = _conditions(labels)

    def matches(item: dict[str, Any]) -> bool:
        given = item.get("metadata", {}).get("labels") or {}
        return all((_at(item, path) == value) == equal for path, equal, value in wanted) and all(
            condition(given) for condition in conditions
        )

    return matches


def _field(part: str) -> tuple[str, bool, str]:
    for operator, equal in (("!=", False), ("==", True), ("=", True)):
        key, found, value = part.partition(operator)
        if found:
            return key, equal, value
    raise RefusedError(400, "BadRequest", f"invalid field selector: {part!r}")


def _conditions(text: str) -> list[Callable[[dict[str, str]], bool]]:
    found: list[Callable[[dict[str, str]], bool]] = []
    at = 0
    while at < len(text):
        one = _label.match(text, at)
        if one is None or one.end() == at:
            raise RefusedError(400, "BadRequest", f"unable to parse requirement: {text[at:]!r}")
        at = one.end()
        found.append(
            partial(_holds, one["key"], one["op"] or one["set"] or "", one["value"] or one["values"] or "", one)
        )
    return found


def _holds(key: str, operator: str, value: str, one: re.Match[str], labels: dict[str, str]) -> bool:
    if operator in ("in", "notin"):
        among = {part.strip() for part in value.split(",")}
        return (labels.get(key) in among) == (operator == "in")
    if operator:
        return (labels.get(key) == value) == (operator != "!=")
    return (key in labels) == (one["not"] is None)


def _at(item: Any, path: list[str]) -> str:
    for part in path:
        item = item.get(part) if isinstance(item, dict) else None
    return item if isinstance(item, str) else ""
