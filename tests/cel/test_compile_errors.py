"""What is refused at compile time, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairlead.cel import CompileError, Features, compile_selector

EXPECTED = (
    "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, "
    "IDENTIFIER}"
)

# Expression, column of the first issue, its text.
ISSUES = [
    ("1 +", 4, f"Syntax error: mismatched input '<EOF>' {EXPECTED}"),
    ("1 + * 2", 5, f"Syntax error: extraneous input '*' {EXPECTED}"),
    ("(1", 3, "Syntax error: missing ')' at '<EOF>'"),
    ("1 1", 3, "Syntax error: extraneous input '1' expecting <EOF>"),
    ("true and true", 6, "Syntax error: mismatched input 'and' expecting <EOF>"),
    ("a.", 3, "Syntax error: no viable alternative at input '.'"),
    ("a.true", 3, "Syntax error: mismatched input 'true' expecting IDENTIFIER"),
    ("a ? b", 6, "Syntax error: mismatched input '<EOF>' expecting ':'"),
    ("{1 2}", 4, "Syntax error: missing ':' at '2'"),
    ("[1 2]", 4, "Syntax error: extraneous input '2' expecting {']', ','}"),
    ("@", 1, "Syntax error: token recognition error at: '@'"),
    ('"abc', 1, "Syntax error: token recognition error at: '\"abc'"),
    ("if", 1, "reserved identifier: if"),
    ("9223372036854775808 == 0", 1, "invalid int literal"),
    ("18446744073709551616u == 0u", 1, "invalid uint literal"),
    ("1e400 == 0.0", 1, "invalid double literal"),
    (r"b'\u0041' == b''", 1, "unable to unescape string"),
    (r"'\ud800' == ''", 1, "invalid unicode code point"),
    ("has(device)", 5, "invalid argument to has() macro"),
    ("[1].all(1, true)", 9, "argument must be a simple name"),
    ("[1].map(x.y, true)", 10, "argument is not an identifier"),
    ("[1].all(x, x, true)", 12, "duplicate variable name: x"),
    ("[1].map(__result__, true) == []", 9, "iteration variable overwrites accumulator variable"),
    ("cel.bind(1, 2, true)", 10, "cel.bind() variable names must be simple identifiers"),
    ("optional.of(1).optMap(1, 2) == 1", 23, "optMap() variable name must be a simple identifier"),
    ("unknown", 1, "undeclared reference to 'unknown' (in container '')"),
    ("unknown(1)", 8, "undeclared reference to 'unknown' (in container '')"),
    ("device.unknown()", 15, "undeclared reference to 'unknown' (in container '')"),
    ("Foo{a: 1} == 1", 4, "undeclared reference to 'Foo' (in container '')"),
    ("device.nope", 7, "undefined field 'nope'"),
    ("device.driver.x", 14, "type 'string' does not support field selection"),
    ("1 == 1.0", 3, "found no matching overload for '_==_' applied to '(int, double)'"),
    ("!1", 1, "found no matching overload for '!_' applied to '(int)'"),
    ("device.driver.size(1)", 19, "found no matching overload for 'size' applied to 'string.(int)'"),
    ("[1].sum(2) == 1", 8, "found no matching overload for 'sum' applied to 'list(int).(int)'"),
    ("true && 1", 9, "expected type 'bool' but found 'int'"),
    ("[1, 'a'] == []", 5, "expected type 'int' but found 'string'"),
    ("[1, dyn('a')] == []", 8, "expected type 'int' but found 'dyn'"),
    ("{'a': 1, 'b': 'c'} == {}", 15, "expected type 'int' but found 'string'"),
    (
        "device.driver.exists(x, true)",
        7,
        "expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)",
    ),
    ("duration('x') == duration('1s')", 10, "invalid duration argument"),
    ("timestamp('x') == timestamp(0)", 11, "invalid timestamp argument"),
    ("'a'.matches('(')", 13, "invalid matches argument"),
    ("'%s'.format([]) == ''", 12, "index 0 out of range"),
    ("'%s'.format([1, 2]) == ''", 12, "too many arguments supplied to string.format (expected 1, got 2)"),
    (
        "'%d'.format(['a']) == ''",
        14,
        "error during formatting: decimal clause can only be used on integers, was given string",
    ),
]

RESULTS = [
    ("1", "int"),
    ("'a'", "string"),
    ("null", "null_type"),
    ("[true]", "list(bool)"),
    ("{'a': [true]}", "map(string, list(bool))"),
    ("timestamp(0)", "google.protobuf.Timestamp"),
    ("quantity('1')", "kubernetes.Quantity"),
    ("optional.of(true)", "optional_type(bool)"),
    ("int", "type(int)"),
    ("device.attributes['a']", "map(string, dyn)"),
]

INSTANTIATION = [
    ("int('x') == 1", "type conversion error from 'string' to 'int'"),
    ("uint(-1) == 1u", "unsigned integer overflow"),
    ("string(b'\\xff') == ''", "invalid UTF-8 in bytes, cannot convert to string"),
    ("'a'.find('(') == ''", "error parsing regexp: missing closing ): `(`"),
    ("'a'.findAll('[a') == []", "error parsing regexp: missing closing ]: `[a`"),
    ("device.attributes['a'].x[null] == 1", "invalid qualifier type: types.Null"),
]


@pytest.mark.parametrize(("expression", "column", "message"), ISSUES)
def test_issue(expression: str, column: int, message: str) -> None:
    with pytest.raises(CompileError) as refused:
        compile_selector(expression)
    first = str(refused.value).split("\n | ")[0]
    assert first == f"compilation failed: ERROR: <input>:1:{column}: {message}"


@pytest.mark.parametrize(("expression", "found"), RESULTS)
def test_the_result_must_be_bool_or_unknown(expression: str, found: str) -> None:
    with pytest.raises(CompileError) as refused:
        compile_selector(expression)
    assert str(refused.value) == f"must evaluate to bool or the unknown type, not {found}"


@pytest.mark.parametrize(("expression", "message"), INSTANTIATION)
def test_constants_that_cannot_be_evaluated(expression: str, message: str) -> None:
    with pytest.raises(CompileError) as refused:
        compile_selector(expression)
    assert str(refused.value) == f"program instantiation failed: {message}"


def test_issues_show_the_line_and_are_sorted() -> None:
    with pytest.raises(CompileError) as refused:
        compile_selector("b ||\n\ta")
    assert str(refused.value) == (
        "compilation failed: ERROR: <input>:1:1: undeclared reference to 'b' (in container '')\n | b ||\n | ^\n"
        "ERROR: <input>:2:2: undeclared reference to 'a' (in container '')\n |  a\n | .^"
    )


def test_wide_characters_are_marked_wide() -> None:
    with pytest.raises(CompileError) as refused:
        compile_selector("'é' == x")
    assert str(refused.value).endswith("\n | 'é' == x\n | .\uff0e.....^")


def test_length_limit() -> None:
    fits = "true" + " " * (10 * 1024 - 4)
    assert compile_selector(fits).max_cost == 0
    with pytest.raises(CompileError, match="Too long"):
        compile_selector(fits + " ")


@pytest.mark.parametrize(
    "expression", ["(" * 400 + "true" + ")" * 400, "[" * 300, "1" + "+1" * 300 + " == 0", "{}" + ".a" * 300]
)
def test_deep_nesting_is_refused(expression: str) -> None:
    with pytest.raises(CompileError, match="recursion"):
        compile_selector(expression)


@pytest.mark.parametrize("expression", ["(" * 80 + "true" + ")" * 80, "!" * 300 + "true", "true" + " && true" * 1000])
def test_reasonable_nesting_is_not(expression: str) -> None:
    compile_selector(expression)


def test_gates_decide_what_new_expressions_may_use(expanded: Callable[[str], str]) -> None:
    off = Features(consumable_capacity=False, list_attributes=False, stored=False)
    on = Features(stored=False)
    gated = {
        "device.allowMultipleAllocations": "undefined field 'allowMultipleAllocations'",
        "$A.x.includes(1)": "undeclared reference to 'includes'",
        "$A.x.exists(v, v == 1)": "expression of type 'any' cannot be range of a comprehension",
    }
    for expression, message in gated.items():
        compile_selector(expanded(expression), on)
        compile_selector(expanded(expression), Features(False, False, stored=True))
        with pytest.raises(CompileError, match=message):
            compile_selector(expanded(expression), off)


def test_compiling_is_cached() -> None:
    assert compile_selector("device.driver == 'x'") is compile_selector("device.driver == 'x'")
