"""The real API server accepts what our validation accepts, and refuses what it refuses, at the same fields in the
same words.

Objects are created as a dry run: the API server does all but the storing. A claim's status can only be written to a
claim that is there, so one is stored for these rows.

Not compared: what stands in a duplicate (we name the key, the API server prints the whole element), whether a length is
in bytes or characters (the API server says either, and counts bytes), and what only we know, because it takes all
slices of a pool to see it.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from click.testing import CliRunner
from more_cases import DIFFERENT, MORE, UNREADABLE

from fairlead.cli import main
from fairlead.resource import Objects, parse_yaml, read_text, validate_pools
from kube import Api, ApiError, ControlPlane
from validation_cases import CLAIM, CLASS, COUNTERS, RULE, RULES, SLICE, TEMPLATE, changed

pytestmark = pytest.mark.cluster

Found = set[tuple[str, str]]
WRITTEN = "held"


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Api:
    """Access to an API server that has namespace `ns`, and in it a claim without status."""
    control_plane.namespace("ns")
    claim = changed(CLAIM, "metadata.name", WRITTEN)
    del claim["status"]
    control_plane.api.create(claim)
    return control_plane.api


def ours(document: dict[str, Any]) -> tuple[Found, str]:
    """What `fairlead validate` says of an object, apart from its pool; and what it warns of."""
    text = json.dumps(document)
    result = CliRunner().invoke(main, ["validate", "-f", "-", "-o", "json"], input=text)
    of_pools = {(problem.field, problem.reason) for problem in validate_pools(slices_of(text))}
    found = {(problem["field"], problem["reason"]) for problem in json.loads(result.stdout)} - of_pools
    return {(field, plain(reason)) for field, reason in found}, result.stderr


def slices_of(text: str) -> list[Any]:
    objects: Objects
    objects, _ = read_text(text.encode(), "in.json")
    return list(objects.slices)


def theirs(server: Api, document: dict[str, Any], of_status: bool) -> Found | str:
    """What the API server says: fields and reasons, or one text where it names no fields."""
    try:
        if of_status:
            path = server.path_of(document, WRITTEN)
            stored = server.get(path)
            stored["metadata"]["finalizers"] = ["resource.kubernetes.io/delete-protection"]
            query = {"dryRun": "All", "fieldValidation": "Strict"}
            server.request("PUT", f"{path}/status", {**stored, "status": document["status"]}, query)
        else:
            server.create(document, dry_run=True)
    except ApiError as error:
        return {(cause.field, plain(cause.message)) for cause in error.causes} or error.message
    return set()


def plain(reason: str) -> str:
    """A reason on one line, without what is not compared."""
    if reason.startswith("Duplicate value"):
        return "Duplicate value"
    line = " ".join(reason.split())
    return f"{line.removesuffix('characters')}bytes" if line.endswith(" characters") else line


def both(server: Api, text: str, path: str, value: Any) -> tuple[Found, Found | str]:
    document = changed(text, path, value)
    of_status = path.startswith("status")
    found, _ = ours(copy.deepcopy(document))
    if not of_status:  # a status that is sent with a new object is dropped
        found = {(field, reason) for field, reason in found if not field.startswith("status")}
    return found, theirs(server, document, of_status)


def name_of(row: Any) -> str:
    text, path, value = row[:3]
    return f"{parse_yaml(text)[0]['kind']}-{path}={str(value)[:40]}"


@pytest.mark.parametrize("text", [SLICE, COUNTERS, CLAIM, CLASS, RULE, TEMPLATE])
def test_valid_objects_are_accepted(server: Api, text: str) -> None:
    (document,) = parse_yaml(text)
    assert ours(document) == (set(), "")
    assert theirs(server, document, of_status=False) == set()


DIFFER = [(text, path, value) for text, path, value, _ in DIFFERENT]
SAME = [row[:3] for row in [*RULES, *MORE] if row[:3] not in DIFFER]


@pytest.mark.parametrize("row", SAME, ids=map(name_of, SAME))
def test_fields_and_reasons_are_the_same(server: Api, row: tuple[str, str, Any]) -> None:
    found, told = both(server, *row)
    assert found == told


@pytest.mark.parametrize("row", UNREADABLE, ids=map(name_of, UNREADABLE))
def test_what_cannot_be_decoded_is_reported_by_both(server: Api, row: tuple[str, str, Any]) -> None:
    found, warned = ours(changed(*row))
    assert found or "unknown field" in warned
    told = theirs(server, changed(*row), of_status=False)
    assert isinstance(told, str)
    assert "cannot be handled as a" in told


@pytest.mark.parametrize("row", DIFFERENT, ids=map(name_of, DIFFERENT))
def test_known_differences(server: Api, row: tuple[str, str, Any, str]) -> None:
    found, told = both(server, *row[:3])
    assert found != told
