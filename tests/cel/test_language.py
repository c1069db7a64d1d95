"""The language itself: literals, operators, macros, and how errors are absorbed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairlead.cel import EvaluationError

TRUE = [
    # literals
    "0x1F == 31 && -0x10 == -16 && 0x10u == 16u",
    "1.5e3 == 1500.0 && .5 == 0.5 && 1e2 == 100.0",
    "-9223372036854775808 < 0 && 18446744073709551615u > 0u",
    r"""'it\'s' == "it's" && "\x41\u0042\U00000043\104" == 'ABCD' """,
    r"""r'\d' == '\\d' && R"\n" == '\\n' """,
    '''"""a
b""" == "a\\nb" && \'\'\'"\'\'\' == '"' ''',
    r"""b'\xff\377' == b"\xFF\xff" && b'é' == bytes('é') && br'\x' == b'\\x' """,
    '"\\a\\b\\f\\n\\r\\t\\v\\?\\`\\"".size() == 10',
    "null == null && type(null) == null_type",
    "true // comment\n && !false",
    "[1, 2,] == [1, 2] && {'a': 1,} == {'a': 1} && [,] == [] && {,} == {}",
    # numbers
    "-7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1",
    "1 < 1.5 && 1u < 2 && 2.0 >= 2u && -1 < 0u",
    "dyn(1) == 1.0 && dyn(1u) == 1 && dyn(9007199254740993) == 9007199254740992.0",
    "1.0 / 0.0 > 1e308 && !(0.0 / 0.0 == 0.0 / 0.0)",
    "--1 == 1 && !!true && - -1 == 1",
    # a bool is no number
    "dyn(true) != 1 && !(dyn(true) in [1]) && dyn([true]) != [1]",
    "!(dyn(true) in {1: 'a'}) && {true: 'x'}[true] == 'x' && {1: 'a'}[dyn(1.0)] == 'a'",
    # strings and bytes
    "'a' < 'b' && 'é' > 'z' && b'a' < b'b' && 'a' + 'b' == 'ab'",
    "'héllo'.size() == 5 && b'h\\xc3'.size() == 2 && size('\\U0001F600') == 1",
    # types
    "type(1) == int && type(1u) == uint && type(1.0) == double && type('') == string && type(b'') == bytes",
    "type([]) == list && type({}) == map && type(type(1)) == type && type(true) == bool",
    "type(timestamp(0)) == google.protobuf.Timestamp && type(duration('1s')) == google.protobuf.Duration",
    "type(optional.none()) == optional_type && type(ip('1.2.3.4')) == net.IP && type(device) == map",
    # conversions
    "int('-5') == -5 && int(1.9) == 1 && int(-1.9) == -1 && int(5u) == 5 && uint(5) == 5u && uint(5.9) == 5u",
    "double('1e3') == 1000.0 && double(3) == 3.0 && bool('t') && !bool('FALSE')",
    "string(1) == '1' && string(1u) == '1' && string(true) == 'true' && string(b'a') == 'a'",
    "string(1.0) == '1' && string(0.1) == '0.1' && string(1e6) == '1e+06' && string(123456.5) == '123456.5'",
    "string(1e-5) == '1e-05' && string(-0.0) == '-0'",
    # conditions
    "(true ? 1 : 1 / 0) == 1 && (false ? 1 / 0 : 2) == 2",
    "true || 1 / 0 > 0",
    "1 / 0 > 0 || true",
    "!(false && 1 / 0 > 0) && !(1 / 0 > 0 && false)",
    "$A.nope == 1 || $A.i == 5",
    # macros
    "[1, 2].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, false)",
    "[0, 1].all(x, x == 0 || 1 / x == 1) && ![0, -1].all(x, 1 / x > 0)",
    "[0, 1].exists(x, 1 / x > 0) && ![].exists(x, true)",
    "[1, 2, 2].exists_one(x, x == 1) && ![1, 2, 2].existsOne(x, x == 2)",
    "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4] && [1, 2].filter(x, x > 1) == [2]",
    "{'a': 1}.map(k, k) == ['a'] && {'a': 1}.all(k, k == 'a') && {true: 1}.map(k, k) == [true]",
    "[1, 2].map(x, [x].map(x, x + 1)) == [[2], [3]]",
    "has({'a': 1}.a) && !has({'a': 1}.b) && has($A.i) && !has($A.nope)",
    # two variables
    "[1, 2].all(i, v, i + 1 == v) && [3, 2].exists(i, v, i + 1 == v) && [1, 1].existsOne(i, v, i == v)",
    "[5, 6].transformList(i, v, i + v) == [5, 7] && [5, 6].transformList(i, v, v > 5, i) == [1]",
    "{'a': 1}.transformMap(k, v, v + 1) == {'a': 2} && {'a': 1}.transformMap(k, v, v > 1, v) == {}",
    "{'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'} && {'a': 1}.exists(k, v, k == 'a' && v == 1)",
    # bind
    "cel.bind(x, 2, cel.bind(y, x + 1, x * y)) == 6",
    "cel.bind(x, 1 / 0, true || x == 1)",
    "cel.bind(dra, $A, dra.s == 'fish' && dra.b)",
    # optionals
    "[1, 2][?0].value() == 1 && ![1, 2][?5].hasValue() && {'a': 1}[?'a'].orValue(0) == 1",
    "{'a': {'b': 1}}.?a.?b.orValue(0) == 1 && {'a': {'b': 1}}.?x.b.orValue(0) == 0",
    "[?optional.of(1), ?optional.none(), 2] == [1, 2] && {?'a': optional.none(), 'b': 1} == {'b': 1}",
    "optional.of(1).optMap(x, x + 1).value() == 2 && !optional.none().optMap(x, x).hasValue()",
    "[1].first().optFlatMap(x, [x][?1]).orValue(9) == 9",
    "$A.?nope.orValue('none') == 'none' && $A.?s.value().startsWith('f') && device.?driver.value() == 'd.x'",
    "has(optional.of({'a': 1}).a) && optional.of({'a': 1}).a == optional.of(1)",
    # escaped identifiers
    "{'a-b': 1}.`a-b` == 1 && device.`driver` == 'd.x'",
    # membership
    "1 in [1, 2] && !('c' in ['a', 'b']) && 'a' in {'a': 1} && dyn(1.0) in [1] && [1] in [[1]]",
    # time
    "timestamp('2023-01-31T12:30:45.5Z').getHours() == 12 && timestamp(0).getFullYear() == 1970",
    "timestamp('2024-02-29T23:59:59Z').getDayOfYear() == 59 && timestamp('2024-02-29T00:00:00Z').getDayOfWeek() == 4",
    "timestamp('2023-01-01T00:00:00Z').getHours('+05:30') == 5",
    "timestamp('2023-01-01T00:00:00Z').getFullYear('-00:01') == 2022",
    "timestamp('2023-01-01T00:00:00Z') + duration('36h') == timestamp('2023-01-02T12:00:00Z')",
    "timestamp('2023-01-02T00:00:00Z') - timestamp('2023-01-01T00:00:00Z') == duration('24h')",
    "timestamp('2023-01-02T00:00:00+01:00') < timestamp('2023-01-02T00:00:00Z')",
    "string(timestamp('2023-01-02T03:04:05.6+01:00')) == '2023-01-02T03:04:05.6+01:00'",
    "int(timestamp('2023-01-01T00:00:00Z')) == 1672531200 && int(duration('1s')) == 1000000000",
    "duration('1h1m1s1ms1us1ns') == duration('3661001001001ns') && string(duration('-1.5s')) == '-1.5s'",
    "duration('1.5s').getMilliseconds() == 1500 && duration('90m').getHours() == 1",
]

FAILS = [
    ("9223372036854775807 + 1 == 0", "integer overflow"),
    ("-9223372036854775807 - 2 == 0", "integer overflow"),
    ("9223372036854775807 * 2 == 0", "integer overflow"),
    ("-(-9223372036854775807 - 1) == 0", "integer overflow"),
    ("(-9223372036854775807 - 1) / -1 == 0", "integer overflow"),
    ("(-9223372036854775807 - 1) % -1 == 0", "integer overflow"),
    ("18446744073709551615u + 1u == 0u", "unsigned integer overflow"),
    ("1u - 2u == 0u", "unsigned integer overflow"),
    ("1 / 0 == 0", "division by zero"),
    ("1 % 0 == 0", "modulus by zero"),
    ("1u % 0u == 0u", "modulus by zero"),
    ("1 / 0 > 0 && true", "division by zero"),
    ("1 / 0 > 0 || 1 % 0 > 0", "division by zero"),
    ("[0, 1].all(x, 1 / x > 0)", "division by zero"),
    ("[0, -1].exists(x, 1 / x > 0)", "division by zero"),
    ("[0, 1].exists_one(x, 1 / x > 0)", "division by zero"),
    ("cel.bind(x, 1 / 0, x == 1)", "division by zero"),
    ("[1][1] == 0", "index out of bounds: 1"),
    ("[1][-1] == 0", "index out of bounds: -1"),
    ("[1][dyn('a')] == 0", "unsupported index type 'string' in list"),
    ("[1][dyn(1.5)] == 0", "unsupported index value 1.5 in list"),
    ("{'a': 1}.b == 0", "no such key: b"),
    ("{'a': 1}[dyn(1)] == 0", "no such key: 1"),
    ("$A.nope == 1", "no such key: nope"),
    ("$A.s.nope == 1", "no such key: nope"),
    ("device.attributes['none'].x", "no such key: x"),
    ("$A.i + 'a' == ''", "no such overload"),
    ("dyn(true) + 1 == 2", "no such overload: _+_"),
    ("dyn(true) < 1", "no such overload"),
    ("dyn([1]) < 1", "no such overload: _<_"),
    ("!$A.i", "no such overload"),
    ("$A.i && true", "no such overload"),
    ("$A.i ? true : false", "no such overload"),
    ("size($A.i) == 1", "no such overload: size"),
    ("$A.s.isGreaterThan(quantity('1'))", "no such overload: isGreaterThan(string, kubernetes.Quantity)"),
    ("$A.v == 'x'", "no such overload"),
    ("$A.i.exists(x, true)", "got 'types.Int', expected iterable type"),
    ("$A.i.transformList(i, v, v) == []", "unsupported comprehension range type: types.Int"),
    ("[1, 1].transformMapEntry(i, v, {v: i}) == {}", "insert failed: key 1 already exists"),
    ("optional.none().value() == 1", "optional.none() dereference"),
    ("1 in $A.i", "no such overload"),
    ("timestamp('9999-12-31T23:59:59Z') + duration('1s') == timestamp(0)", "timestamp overflow"),
    ("timestamp(0).getHours('Mars') == 0", "unknown time zone Mars"),
    ("int($A.s) == 1", "type conversion error from 'string' to 'int'"),
    ("duration(device.driver) == duration('1s')", "type conversion error from 'string' to 'google.protobuf.Duration'"),
]

NOT_BOOL = [
    ("dyn(1)", "int", "unsupported type conversion from 'int' to bool"),
    ("dyn(1u)", "uint", "unsupported type conversion from 'uint' to bool"),
    ("dyn(1.5)", "double", "type conversion error from Double to 'bool'"),
    ("$A.s", "string", "unsupported native conversion from string to 'bool'"),
    ("dyn(null)", "null_type", "type conversion error from 'null_type' to 'bool'"),
    ("$A.li", "list", "type conversion error from list to 'bool'"),
    ("dyn($A)", "map", "type conversion error from map to 'bool'"),
    ("$A.v", "kubernetes.Semver", "type conversion error from 'Semver' to 'bool'"),
    ("dyn(optional.none())", "optional_type", "optional.none() dereference"),
]


@pytest.mark.parametrize("expression", TRUE)
def test_true(expression: str, evaluate: Callable[[str], bool]) -> None:
    assert evaluate(expression) is True


@pytest.mark.parametrize(("expression", "message"), FAILS)
def test_fails(expression: str, message: str, evaluate: Callable[[str], bool]) -> None:
    with pytest.raises(EvaluationError) as failed:
        evaluate(expression)
    assert str(failed.value) == message


@pytest.mark.parametrize(("expression", "kind", "reason"), NOT_BOOL)
def test_the_result_must_be_a_bool(expression: str, kind: str, reason: str, evaluate: Callable[[str], bool]) -> None:
    with pytest.raises(EvaluationError) as failed:
        evaluate(expression)
    assert str(failed.value) == f"CEL result of type {kind} could not be converted to bool: {reason}"


def test_an_optional_bool_is_a_result(evaluate: Callable[[str], bool]) -> None:
    assert evaluate("dyn(optional.of(true))") is True
    assert evaluate("dyn($A.?b)") is True
