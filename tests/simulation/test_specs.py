"""Specs of clusters: two forms of the same, and everything that is wrong is named with its field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.simulation.hardware import PROFILES, Field, Part
from fairlead.simulation.spec import SpecError, build, line_of, parse_line, read_spec, write_spec


def faults(line: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        parse_line(line)
    return [(problem.field, problem.reason) for problem in caught.value.problems]


def faults_in(text: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        read_spec(text, "spec.yaml")
    assert all(problem.source == "spec.yaml" for problem in caught.value.problems)
    return [(problem.field, problem.reason) for problem in caught.value.problems]


def test_both_forms_say_the_same() -> None:
    text = "name: day\nparts:\n- {profile: h100, nodes: 64, per-leaf: 16}\n- {profile: bluefield}\n"
    assert read_spec(text, "x") == parse_line(" h100 : nodes=64, per-leaf=16 ; bluefield ")


@pytest.mark.parametrize("line", ["h100", "gb200:racks=3,missing=2;fabric", "power:credits=7;mig:nodes=1;bluefield"])
def test_a_written_spec_reads_back(line: str) -> None:
    parts = parse_line(line)
    assert read_spec(write_spec(parts, "again"), "x") == parts


def test_fields_that_are_not_given_have_their_default() -> None:
    (part,) = parse_line("h100")
    assert part.values == {field.name: field.default for field in PROFILES["h100"].fields}


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ("", "parts[0].profile", "Required value"),
        ("h200", "parts[0].profile", 'Unsupported value: "h200": supported values: "h100"'),
        ("h100;x:nodes=1", "parts[1].profile", 'Unsupported value: "x"'),
        ("h100:nodes=0", "parts[0].nodes", "Invalid value: 0: must be between 1 and 10000"),
        ("h100:nodes=-1", "parts[0].nodes", "must be between"),
        ("h100:nodes=many", "parts[0].nodes", "must be a whole number"),
        ("h100:nodes=1e3", "parts[0].nodes", "must be a whole number"),
        ("h100:gpus=8", "parts[0].gpus", 'unknown field "gpus", h100 has nodes'),
        ("h100:nodes", "parts[0]", "must be FIELD=VALUE"),
        ("h100:nodes=", "parts[0]", "must be FIELD=VALUE"),
        ("h100:nodes=1,nodes=2", "parts[0].nodes", "Duplicate value"),
        ("h100:name=Big", "parts[0].name", "lower case"),
        ("h100:gpu-order=best", "parts[0].gpu-order", 'supported values: "pci", "probe"'),
        ("bluefield", "parts[0].profile", "after a part that makes nodes"),
        ("h100;bluefield;bluefield", "parts[2].profile", "Duplicate value"),
        ("h100;h100", "parts[1].name", "the nodes of another part are called so"),
        ("h100;gb200:name=h100-1", "parts[1].name", "the nodes of another part are called so"),
        ("h100:nodes=10000;mi300x:nodes=10000;mig", "parts", "at most 20000 nodes"),
    ],
)
def test_what_is_wrong_in_a_line_is_named(line: str, field: str, words: str) -> None:
    found = faults(line)
    assert [path for path, _ in found] == [field]
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("", "", "must be one mapping"),
        ("[1]", "", "expected an object"),
        ("parts: []", "parts", "at least one part"),
        ("parts: {profile: h100}", "parts", "a list"),
        ("nodes: 3\nparts: [{profile: h100}]", "nodes", "unknown field"),
        ("name: 3\nparts: [{profile: h100}]", "name", "must be a string"),
        ("parts: [h100]", "parts[0]", "must be a mapping"),
        ("parts: [{profile: [h100]}]", "parts[0].profile", "Unsupported value"),
        ("parts: [{nodes: 3}]", "parts[0].profile", "Required value"),
        ("parts: [{profile: h100, nodes: true}]", "parts[0].nodes", "must be a whole number"),
        ("parts: [{profile: h100, nodes: 2.5}]", "parts[0].nodes", "must be a whole number"),
        ("parts: [{profile: h100, zone: 7}]", "parts[0].zone", "must be a string"),
        ("parts: [{profile: h100, nodes: 1, nodes: 2}]", "", 'duplicate key "nodes"'),
        ("parts: [", "", "line"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, field: str, words: str) -> None:
    found = faults_in(text)
    assert [path for path, _ in found] == [field]
    assert words in found[0][1]


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert [path for path, _ in faults("h100:nodes=0,x=1;nothing")] == [
        "parts[0].nodes",
        "parts[0].x",
        "parts[1].profile",
    ]


def test_two_parts_of_a_profile_with_different_names() -> None:
    made = build(parse_line("h100:nodes=2;h100:name=more,nodes=1"))
    assert [node.name for node in made.nodes] == ["h100-01", "h100-02", "more-01"]


def values(field: Field) -> st.SearchStrategy[int | str]:
    if isinstance(field.default, int):
        return st.integers(field.least, min(field.most, 500))
    if field.choices:
        return st.sampled_from(field.choices)
    return st.text("abz09", max_size=20).map("a".__add__)


@st.composite
def some_parts(draw: st.DrawFn) -> list[Part]:
    """Parts with names that differ, those that make nodes before those that extend them."""
    names = draw(st.lists(st.sampled_from(sorted(PROFILES)), min_size=1, max_size=5, unique=True))
    parts = []
    for name in sorted(names, key=lambda name: PROFILES[name].extends):
        fields = {field.name: draw(values(field)) for field in PROFILES[name].fields}
        parts.append(Part(name, fields | ({"name": f"{name}-x"} if "name" in fields else {})))
    return parts if not PROFILES[parts[0].profile].extends else [Part("power", parse_line("power")[0].values), *parts]


@given(some_parts())
def test_every_spec_reads_back_from_both_forms(parts: list[Part]) -> None:
    assert parse_line(line_of(parts)) == parts
    assert read_spec(write_spec(parts), "x") == parts


@given(st.text("h:;,=a1-é", max_size=40).map("h100:nodes=1".__add__) | st.text(max_size=20))
def test_any_line_is_a_spec_or_has_a_reason(line: str) -> None:
    try:
        parts = parse_line(line)
    except SpecError:
        assert faults(line)
    else:
        assert parse_line(line_of(parts)) == parts
