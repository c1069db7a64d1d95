"""Random expressions of the language core, judged by an independent implementation (Google's C++ one).

Compared are the value of a bool expression, or that it fails; a fixed seed keeps the run reproducible.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.cel import CompileError, EvaluationError, compile_selector, device_input

cel = pytest.importorskip("cel_expr_python.cel")

COUNT = 3000
FOLDED = "a literal failed to convert"


class _Generator:
    """Well-typed expressions, apart from ``dyn`` values of the wrong type."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._variables: list[tuple[str, str]] = []

    def make(self, kind: str, depth: int) -> str:
        known = [name for name, of in self._variables if of == kind]
        if known and self._random.random() < 0.4:
            return self._random.choice(known)
        if depth == 0 or self._random.random() < 0.1:
            return self._random.choice(_LEAVES[kind])
        template = self._random.choice(_TEMPLATES[kind])
        return template(self, depth - 1)

    def pick(self, *options: str) -> str:
        return self._random.choice(options)

    def within(self, kind: str, wanted: str, depth: int) -> tuple[str, str]:
        name = f"v{len(self._variables)}"
        self._variables.append((name, kind))
        try:
            return name, self.make(wanted, depth)
        finally:
            self._variables.pop()


_LEAVES = {
    "bool": ["true", "false"],
    "int": ["0", "1", "2", "-3", "7", "9223372036854775807"],
    "uint": ["0u", "1u", "5u"],
    "double": ["0.5", "-1.25", "3.0", "1e3"],
    "string": ["''", "'a'", "'abc'", "'é'", "'1'"],
    "list": ["[1, 2, 3]", "[0]", "[5, 5]"],
    "map": ["{'a': 1}", "{'a': 2, 'b': 0}"],
    "dyn": ["dyn(1)", "dyn('a')", "dyn(true)", "dyn(2.0)", "dyn([1])", "dyn(null)"],
}


def _binary(left: str, right: str, *operators: str) -> Callable[[_Generator, int], str]:
    return lambda g, d: f"({g.make(left, d)} {g.pick(*operators)} {g.make(right, d)})"


def _quantifier(g: _Generator, d: int) -> str:
    name, body = g.within("int", "bool", d)
    return f"{g.make('list', d)}.{g.pick('all', 'exists', 'exists_one')}({name}, {body})"


def _mapped(g: _Generator, d: int) -> str:
    name, body = g.within("int", "int", d)
    return f"{g.make('list', d)}.map({name}, {body})"


def _filtered(g: _Generator, d: int) -> str:
    name, body = g.within("int", "bool", d)
    return f"{g.make('list', d)}.filter({name}, {body})"


def _conditional(kind: str) -> Callable[[_Generator, int], str]:
    return lambda g, d: f"({g.make('bool', d)} ? {g.make(kind, d)} : {g.make(kind, d)})"


_TEMPLATES: dict[str, list[Callable[[_Generator, int], str]]] = {
    "bool": [
        _binary("bool", "bool", "&&", "||", "==", "!="),
        _binary("bool", "bool", "&&", "||"),
        _binary("int", "int", "<", "<=", ">", ">=", "==", "!="),
        lambda g, d: f"(dyn({g.make('int', d)}) {g.pick('<', '>=')} {g.make('double', d)})",
        lambda g, d: f"({g.make('uint', d)} {g.pick('<', '>=')} dyn({g.make('int', d)}))",
        _binary("double", "double", "<", "=="),
        _binary("string", "string", "<", "==", "!="),
        _binary("list", "list", "==", "!="),
        _binary("map", "map", "=="),
        _binary("dyn", "int", "==", "!="),
        _binary("dyn", "dyn", "==", "<"),
        _binary("int", "list", "in"),
        _binary("string", "map", "in"),
        lambda g, d: f"!{g.make('bool', d)}",
        lambda g, d: f"({g.make('bool', d)} && {g.make('dyn', d)})",
        lambda g, d: f"({g.make('dyn', d)} || {g.make('bool', d)})",
        lambda g, d: f"has({g.make('map', d)}.{g.pick('a', 'b', 'c')})",
        lambda g, d: f"{g.make('string', d)}.{g.pick('startsWith', 'endsWith', 'contains')}({g.make('string', d)})",
        lambda g, d: f"{g.make('string', d)}.matches({g.pick(chr(39) + 'a+' + chr(39), chr(39) + '^.$' + chr(39))})",
        _conditional("bool"),
        _quantifier,
        _quantifier,
    ],
    "int": [
        _binary("int", "int", "+", "-", "*", "/", "%"),
        lambda g, d: f"-({g.make('int', d)})",
        lambda g, d: f"size({g.make(g.pick('string', 'list', 'map'), d)})",
        lambda g, d: f"{g.make('list', d)}[{g.make('int', 0)}]",
        lambda g, d: f"{g.make('map', d)}[{g.make('string', d)}]",
        lambda g, d: f"{g.make('map', d)}.{g.pick('a', 'b')}",
        lambda g, d: f"int({g.make(g.pick('uint', 'double', 'string'), d)})",
        _conditional("int"),
    ],
    "uint": [_binary("uint", "uint", "+", "-", "*", "/", "%"), lambda g, d: f"uint({g.make('int', d)})"],
    "double": [_binary("double", "double", "+", "-", "*", "/"), lambda g, d: f"double({g.make('int', d)})"],
    "string": [
        _binary("string", "string", "+"),
        lambda g, d: f"string({g.make(g.pick('int', 'uint', 'bool'), d)})",
        _conditional("string"),
    ],
    "list": [
        _binary("list", "list", "+"),
        lambda g, d: f"[{g.make('int', d)}, {g.make('int', d)}]",
        _mapped,
        _filtered,
        _conditional("list"),
    ],
    "map": [lambda g, d: f"{{{g.make('string', d)}: {g.make('int', d)}}}", _conditional("map")],
    "dyn": [lambda g, d: f"dyn({g.make(g.pick('int', 'string', 'bool', 'list'), d)})", _conditional("dyn")],
}


def _expected(environment: Any, expression: str) -> bool | None:
    value = environment.compile(expression).eval(data={})
    return value.value() if value.type() == cel.Type.BOOL else None


def _actual(expression: str, device: Any) -> bool | str | None:
    try:
        selector = compile_selector(expression)
    except CompileError as error:
        # Kubernetes folds conversions of literals, so they fail even where they would never be evaluated.
        if "program instantiation failed" in str(error):
            return FOLDED
        raise
    outcomes: list[bool | None] = []
    for run in (selector.matches, lambda d: selector.evaluate(d)[0]):
        try:
            outcomes.append(run(device))
        except EvaluationError:
            outcomes.append(None)
    assert outcomes[0] is outcomes[1], f"the two forms of {expression} disagree"
    return outcomes[0]


def test_random_expressions_agree() -> None:
    environment = cel.NewEnv()
    device = device_input("d.x", {}, {}, False)
    counts = {True: 0, False: 0, None: 0}
    for seed in range(COUNT):
        expression = _Generator(seed).make("bool", 4)
        actual = _actual(expression, device)
        if actual is FOLDED:
            continue
        expected = _expected(environment, expression)
        counts[expected] += 1
        assert actual is expected, expression
    assert sum(counts.values()) > 2500
    assert min(counts.values()) > COUNT // 20, f"too one-sided to mean much: {counts}"
