"""Whatever a file holds ends in problems that say where, quickly, and leaves the rest readable."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fairlead.resource import read_paths, read_text

NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: %s}\n"
MEGABYTES = 10_000_000

ONE_PROBLEM = {
    "empty": (b"", "holds no objects"),
    "only comments": (b"# nothing\n---\n# here\n", "holds no objects"),
    "truncated yaml": (b"apiVersion: v1\nkind: Node\nmetadata: {name: a\n", "line 4, column 1"),
    "truncated json": (b'{"apiVersion": "v1",\n "kind": "No', "line 2, column 10"),
    "tabs": (b"apiVersion: v1\n\tkind: Node\n", "line 2, column 1"),
    "duplicate key": (b"apiVersion: v1\nkind: Node\nkind: Pod\n", 'line 3, column 1: duplicate key "kind"'),
    "invalid utf-8": (b"apiVersion: v1\nkind: \xff\n", "line 2, column 7: byte 0xff is not UTF-8"),
    "nul byte": (b"apiVersion: v1\nkind: Node\x00\n", "line 2, column 11"),
    "a list": (b"- a\n- b\n", "expected an object, got a list"),
    "a word": (b"hello\n", 'Invalid value: "hello": must be an object'),
    "no kind": (b"apiVersion: v1\n", "kind: Required value"),
    "no version": (b"kind: Pod\n", "apiVersion: Required value"),
    "kind is a number": (b"apiVersion: v1\nkind: 5\n", "kind: Invalid value: 5: must be a string"),
    "undefined alias": (b"apiVersion: *a\n", 'alias "a" names no anchor'),
    "alias of itself": (b"a: &a [*a]\n", 'alias "a" names no anchor'),
    "python tag": (b"a: !!python/object:os.system {}\n", ""),
    "template": (b"{{- if .Values.x }}\napiVersion: v1\n{{- end }}\n", "template actions {{ }}: render it first"),
    "deep yaml": (b"a: " + b"[" * 100_000, "nested more than 200 levels deep"),
    "deep json": (b'{"a":' * 100_000, "nested too deeply"),
    "deep json object": (
        b'{"apiVersion":"v1","kind":"Pod","spec":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        "",
    ),
    "big garbage": (b"\x80garbage" * (MEGABYTES // 8), "line 1, column 1"),
    "big word": (b"x" * MEGABYTES, "must be an object"),
    "big words": (b"x\n" * (MEGABYTES // 2), "must be an object"),
    "big list": (b"- x\n" * (MEGABYTES // 4), "expected an object"),
    "big brackets": (b"[" * MEGABYTES, ""),
    "big braces": (b"{" * MEGABYTES, ""),
    "big open string": (b'a: "' + b"x\n" * (MEGABYTES // 2), "unexpected end of stream"),
    "big void": (b"\n" * MEGABYTES, "holds no objects"),
    "big number": (b'{"apiVersion":"v1","kind":"Node","metadata":{"generation":' + b"9" * MEGABYTES + b"}}", "digits"),
}


@pytest.mark.parametrize("name", ONE_PROBLEM)
def test_one_clear_problem(name: str) -> None:
    data, expected = ONE_PROBLEM[name]
    started = time.perf_counter()
    _, problems = read_text(data, "in")
    assert time.perf_counter() - started < 60
    (problem,) = problems if name not in ("python tag", "deep json object") else (problems or [""])[:1]
    text = str(problem)
    assert expected in text
    assert "Traceback" not in text
    assert len(text) < 2000


def test_aliases_do_not_expand_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    _, problems = read_text("\n".join(lines).encode(), "in.yaml")
    (problem,) = problems
    assert "document contains excessive aliasing" in problem.reason


def test_other_documents_are_read() -> None:
    text = f"{NODE % 'a'}---\nkind: [\n---\n{NODE % 'b'}---\njust text\n---\n{NODE % 'c'}"
    objects, problems = read_text(text.encode(), "in.yaml")
    assert [node.name for node in objects.nodes] == ["a", "b", "c"]
    assert [(problem.object, problem.source) for problem in problems] == [
        ("document 2", "in.yaml"),
        ("document 4", "in.yaml"),
    ]
    assert problems[0].reason.startswith("line 6, column 1:")
    assert objects.source_of(objects.nodes[1]) == "in.yaml: document 3"


def test_every_wrong_type_of_an_object_is_named() -> None:
    text = """
    apiVersion: resource.k8s.io/v1
    kind: ResourceSlice
    metadata: {name: s}
    spec:
      driver: 5
      pool: {name: p, generation: "1", resourceSliceCount: 1.5}
      devices:
      - name: ok
      - name: [a]
        attributes: {a: {bool: "true"}, b: {string: 1.10}, c: 3}
        capacity: {m: {value: lots}, n: {}}
      - 7
    """
    objects, problems = read_text(text.encode(), "in.yaml")
    assert objects.slices == []
    assert {(problem.field, problem.reason) for problem in problems} == {
        ("spec.driver", "Invalid value: 5: must be a string"),
        ("spec.pool.generation", 'Invalid value: "1": must be an integer'),
        ("spec.pool.resourceSliceCount", "Invalid value: 1.5: must be an integer"),
        ("spec.devices[1].name", 'Invalid value: ["a"]: must be a string'),
        ("spec.devices[1].attributes[a].bool", 'Invalid value: "true": must be true or false'),
        ("spec.devices[1].attributes[b].string", "Invalid value: 1.10: must be a string"),
        ("spec.devices[1].attributes[c]", "Invalid value: 3: must be an object"),
        (
            "spec.devices[1].capacity[m].value",
            'Invalid value: "lots": quantities must match the regular expression '
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("spec.devices[1].capacity[n].value", "Required value"),
        ("spec.devices[2]", "Invalid value: 7: must be an object"),
    }
    assert {problem.object for problem in problems} == {'ResourceSlice "s"'}


def test_items_of_a_json_list_are_read_beside_wrong_ones() -> None:
    text = (
        '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}},'
        '{"apiVersion":"v1","kind":"Node","metadata":{"name":5}},7,'
        '{"apiVersion":"v1","kind":"Node","metadata":{"name":"b"}}]}'
    )
    objects, problems = read_text(text.encode(), "in.json")
    assert [node.name for node in objects.nodes] == ["a", "b"]
    assert [str(problem) for problem in problems] == [
        "in.json: Node items[1]: metadata.name: Invalid value: 5: must be a string",
        "in.json: items[2]: Invalid value: 7: must be an object",
    ]


def test_an_object_that_is_there_twice() -> None:
    text = f"{NODE % 'a'}---\n{NODE % 'a'}"
    objects, problems = read_text(text.encode(), "in.yaml")
    assert len(objects.nodes) == 1
    assert [str(problem) for problem in problems] == [
        'in.yaml: document 2: Node "a": metadata.name: Duplicate value: "a": already exists in in.yaml: document 1'
    ]


def test_paths_that_can_not_be_read(tmp_path: Path) -> None:
    _, problems = read_paths([str(tmp_path / "none.yaml"), str(tmp_path), "-"])
    assert [problem.reason for problem in problems] == [
        "no such file or directory",
        "the directory holds no *.yaml, *.yml or *.json file",
        "standard input is not available",
    ]


def test_more_pods_than_anyone_plans() -> None:
    text = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: d}
    spec: {replicas: 1000000000, template: {spec: {containers: [{name: c}]}}}
    """
    objects, problems = read_text(text.encode(), "in.yaml")
    assert objects.workloads == []
    assert problems[0].field == "spec.replicas"


HOPELESS = {
    "items that are no objects": b'{"apiVersion":"v1","kind":"List","items":[' + b"1," * 4_000_000 + b"1]}",
    "documents that are no objects": b"---\n- a\n" * 1_000_000,
    "documents that are no yaml": b"---\n[\n" * 1_000_000,
}


@pytest.mark.parametrize("name", HOPELESS)
def test_a_hopeless_input_is_given_up(name: str) -> None:
    started = time.perf_counter()
    _, problems = read_text(HOPELESS[name], "in")
    assert time.perf_counter() - started < 60
    assert len(problems) == 1001
    assert str(problems[-1]) == "in: more than 1000 problems, the rest is not read"


def test_an_object_with_many_problems_shows_the_first() -> None:
    text = (
        "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: s}\n"
        f"spec: {{devices: [{', '.join(['1'] * 500)}]}}\n"
    )
    _, problems = read_text(text.encode(), "in.yaml")
    assert len(problems) == 101
    assert problems[-1].reason == "and 400 more problems"
