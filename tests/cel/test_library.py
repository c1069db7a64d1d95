"""The function libraries, one table each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairlead.cel import EvaluationError

STRINGS = [
    "'abc'.charAt(1) == 'b' && 'abc'.charAt(3) == '' && 'héllo'.charAt(1) == 'é'",
    "'abcabc'.indexOf('c') == 2 && 'abcabc'.indexOf('c', 3) == 5",
    "'abc'.indexOf('') == 0 && 'abc'.indexOf('c', 9) == -1",
    "'abcabc'.lastIndexOf('a') == 3 && 'abcabc'.lastIndexOf('a', 2) == 0 && 'abc'.lastIndexOf('') == 3",
    "'ABCé'.lowerAscii() == 'abcé' && 'abcÉ'.upperAscii() == 'ABCÉ'",
    "'aaa'.replace('a', 'b') == 'bbb' && 'aaa'.replace('a', 'b', 2) == 'bba' && 'ab'.replace('', '-') == '-a-b-'",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'a,b'.split(',', 0) == []",
    "'abc'.split('') == ['a', 'b', 'c'] && 'abc'.split('', 2) == ['a', 'bc'] && ''.split(',') == ['']",
    "'hello'.substring(2) == 'llo' && 'hello'.substring(1, 3) == 'el' && 'a'.substring(1) == ''",
    "'\\u2000 a\\t'.trim() == 'a' && ['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('x') == ''",
    "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
    "'ab'.startsWith('a') && 'ab'.endsWith('b') && 'abc'.contains('b') && ''.contains('')",
    "'%s %d %b %o %x %X'.format(['a', 5, 5, 8, 255, 255]) == 'a 5 101 10 ff FF'",
    "'%.2f %f'.format([1234.567, -0.5]) == '1,234.57 -0.500000' && '%%'.format([]) == '%'",
    "'%e'.format([1234.5]) == '1.234500×10⁰³' && '%f'.format([1.0 / 0.0]) == '∞'",
    "'%s'.format([[1, 'a', 1.5]]) == '[1, \"a\", 1.500000]'",
    "'%s'.format([{'b': 1, 'a': null}]) == '{\"a\":null, \"b\":1}'",
    "'%s %s %s'.format([true, null, type(1)]) == 'true null int' && '%x'.format([b'ab']) == '6162'",
    "'%s'.format([[duration('90s'), timestamp(0)]]) == '[duration(\"90s\"), timestamp(\"1970-01-01T00:00:00Z\")]'",
]
REGEX = [
    "'abc'.matches('b') && !'abc'.matches('^b') && matches('abc', '^[a-c]+$') && !'a\\nb'.matches('a.b')",
    "'ABC'.matches('(?i)b') && 'é'.matches('^.$')",
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('x') == ''",
    "'1 22 333'.findAll('[0-9]+') == ['1', '22', '333'] && '1 22 333'.findAll('[0-9]+', 2) == ['1', '22']",
    "'abc'.findAll('b*') == ['', 'b', ''] && 'aé'.findAll('.') == ['a', 'é'] && 'a'.findAll('') == ['', '']",
]
LISTS = [
    "[1, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted() && [timestamp(0), timestamp(1)].isSorted()",
    "[1, 2].sum() == 3 && [1.5, 1.0].sum() == 2.5 && [1u].sum() == 1u && [].sum() == 0",
    "[duration('1s'), duration('2s')].sum() == duration('3s')",
    "[2, 1].min() == 1 && ['a', 'b'].max() == 'b' && [b'a'].max() == b'a'",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1",
    "[1, 2, 3].slice(1, 3) == [2, 3] && [1].slice(1, 1) == []",
    "[[1], [2, 3]].flatten() == [1, 2, 3] && [[[1]], [[2]]].flatten(2) == dyn([1, 2])",
    "[3, 1, 2].sort() == [1, 2, 3] && [true, false].sort() == [false, true]",
    "[1, 2, 3].sortBy(x, -x) == [3, 2, 1] && ['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb']",
    "lists.range(3) == [0, 1, 2] && [1, 2].reverse() == [2, 1] && [1, 2, 1].distinct() == [1, 2]",
    "[1].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()",
    "sets.contains([1, 2], [2]) && !sets.contains([1], [2]) && sets.contains([], [])",
    "sets.equivalent([1, 2], [2, 1, 1]) && sets.intersects([1], [1, 2]) && !sets.intersects([], [1])",
    "$A.li.includes(2) && !$A.li.includes(9) && $A.i.includes(5) && !$A.s.includes(5)",
    "$A.lv.includes(semver('2.0.0'))",
]
QUANTITIES = [
    "quantity('1Gi') == quantity('1024Mi') && quantity('1') != quantity('2') && isQuantity('1Ki') && !isQuantity('x')",
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1').isLessThan(quantity('1001m'))",
    "quantity('1').compareTo(quantity('2')) == -1 && sign(quantity('-1')) == -1 && sign(quantity('0')) == 0",
    "quantity('1k').add(quantity('1')).asInteger() == 1001 && quantity('1').sub(2).asInteger() == -1",
    "quantity('2').isInteger() && !quantity('1500m').isInteger() && quantity('1500m').asApproximateFloat() == 1.5",
    "$C.q == quantity('1Mi') && $C.q.add(1).isGreaterThan($C.q) && $C.z.asInteger() == 0",
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.0.0-rc.1').isLessThan(semver('1.0.0')) && semver('1.0.0+a') == semver('1.0.0+b')",
    "semver('1.2.3').compareTo(semver('1.2.4')) == -1 && semver('v1.2', true) == semver('1.2.0')",
    "isSemver('1.2.3') && !isSemver('v1.2') && isSemver('v1.2', true) && !isSemver('v1.2-x', true)",
    "$A.v.isGreaterThan(semver('1.0.0')) && $A.v == semver('1.2.3') && $A.lv.all(v, v.isLessThan(semver('3.0.0')))",
]
OPTIONALS = [
    "optional.of(1).hasValue() && !optional.none().hasValue() && optional.of(1).value() == 1",
    "optional.of(1).or(optional.of(1 / 0)).value() == 1 && optional.none().orValue(2) == 2",
    "!optional.ofNonZeroValue(0).hasValue() && !optional.ofNonZeroValue('').hasValue()",
    "optional.ofNonZeroValue(1).hasValue()",
    "!optional.ofNonZeroValue(null).hasValue() && !optional.ofNonZeroValue(duration('0s')).hasValue()",
    "optional.of(1) == optional.of(1) && optional.of(1) != optional.none() && optional.none() == optional.none()",
    "optional.unwrap([optional.of(1), optional.none()]) == [1] && [optional.of(2)].unwrapOpt() == [2]",
]
NET = [
    "ip('10.0.0.1').family() == 4 && ip('::1').family() == 6 && string(ip('2001:DB8:0:0::1')) == '2001:db8::1'",
    "isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0') && !isIP('01.2.3.4')",
    "ip.isCanonical('::1') && !ip.isCanonical('0::1') && ip('0.0.0.0').isUnspecified() && ip('127.0.0.1').isLoopback()",
    "ip('224.0.0.5').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast() && ip('10.0.0.1').isGlobalUnicast()",
    "!ip('255.255.255.255').isGlobalUnicast() && !ip('ff02::1').isGlobalUnicast()",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))",
    "cidr('1.2.3.4/24').masked() == cidr('1.2.3.0/24') && cidr('1.2.3.4/24').ip() == ip('1.2.3.4')",
    "cidr('1.2.3.4/24').prefixLength() == 24 && isCIDR('::/0') && !isCIDR('1.2.3.4/33') && !isCIDR('1.2.3.4')",
    "string(cidr('1.2.3.4/24')) == '1.2.3.4/24' && !cidr('::/0').containsIP('1.2.3.4')",
    "url('https://u@a.example:8080/b%20c?x=1&x=2&y=z#f').getHost() == 'a.example:8080'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
    "url('https://a/b c').getEscapedPath() == '/b%20c' && url('/p').getScheme() == '' && url('//h/p').getHost() == 'h'",
    "url('https://a/?x=1&x=a+b&y').getQuery() == {'x': ['1', 'a b'], 'y': ['']}",
    "isURL('https://a') && isURL('/a') && !isURL('a') && !isURL('https://a:b') && !isURL('/%zz') && !isURL('')",
    "url('https://a') == url('https://a') && url('https://a') != url('https://b')",
]
FORMATS = [
    "!format.dns1123Label().validate('a-b').hasValue()",
    "format.dns1123Label().validate('a.b').value() == ['must not contain dots']",
    "format.dns1123Subdomain().validate('A').value()[0].startsWith('a lowercase RFC 1123 subdomain must consist of')",
    "format.dns1035Label().validate('1a').hasValue() && !format.dns1123LabelPrefix().validate('foo-').hasValue()",
    "!format.qualifiedName().validate('a.b/c').hasValue() && format.qualifiedName().validate('/c').value().size() == 1",
    "!format.labelValue().validate('').hasValue() && format.labelValue().validate('-').hasValue()",
    "!format.uri().validate('https://a').hasValue()",
    "format.uuid().validate('x').value() == ['does not match the UUID format']",
    "!format.byte().validate('aGVsbG8=').hasValue() && format.byte().validate('x').value() == ['invalid base64']",
    "!format.date().validate('2024-02-29').hasValue()",
    "format.date().validate('2023-02-29').value() == ['invalid date']",
    "!format.datetime().validate('2024-02-29T12:00:00Z').hasValue() && format.datetime().validate('x').hasValue()",
    "format.named('uuid').value() == format.uuid() && !format.named('x').hasValue()",
]

FAILS = [
    ("'abc'.charAt(5) == ''", "index out of range: 5"),
    ("'abc'.substring(5) == ''", "index out of range: 5"),
    ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
    ("'abc'.indexOf('b', -1) == 1", "index out of range: -1"),
    ("['a'].join(dyn(1)) == ''", "no such overload: join(list, int)"),
    (
        "dyn('%d').format([dyn('a')]) == ''",
        "error during formatting: decimal clause can only be used on integers, was given string",
    ),
    ("$A.s.matches(device.driver + '(')", "error parsing regexp: missing closing ): `d.x(`"),
    ("$A.s.find(device.driver + '(') == ''", "Illegal regex: error parsing regexp: missing closing ): `d.x(`"),
    ("[].max() == 1", "max called on empty list"),
    ("[1].slice(1, 5) == []", "cannot slice(1, 5), list is length 1"),
    ("[1].slice(-1, 0) == []", "cannot slice(-1, 0), negative indexes not supported"),
    ("[[1]].flatten(-1) == []", "level must be non-negative"),
    ("lists.range(-1) == []", "lists.range: size must be non-negative, got -1"),
    ("[9223372036854775807, 1].sum() == 0", "integer overflow"),
    (
        "[[0, 1], [2]].map(x, x + x).filter(x, x == []).first().value() == [] || lists.range(49).includes(99)",
        "optional.none() dereference",
    ),
    ("lists.range(49).includes(99)", "'includes' function cannot be applied to lists longer than 48 values"),
    (
        "quantity(device.driver) == quantity('1')",
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
    ("quantity('1500m').asInteger() == 1", "cannot convert value to integer"),
    ("semver($A.s) == semver('1.0.0')", "No Major.Minor.Patch elements found"),
    (
        "ip('1.2.3') == ip('::1')",
        'IP Address "1.2.3" parse error during conversion from string: ParseAddr("1.2.3"): IPv4 address too short',
    ),
    (
        "ip('1::2::3') == ip('::1')",
        'IP Address "1::2::3" parse error during conversion from string: ParseAddr("1::2::3"): '
        'multiple :: in address (at ":3")',
    ),
    ("ip('::ffff:1.2.3.4') == ip('::1')", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
    ("cidr('10.0.0.0/8').containsIP('x')", "no such overload"),
    ("url('a') == url('b')", 'URL parse error during conversion from string: parse "a": invalid URI for request'),
    ("optional.unwrap([dyn(1)]) == []", "value 1 is not optional"),
]


@pytest.mark.parametrize("expression", STRINGS + REGEX + LISTS + QUANTITIES + OPTIONALS + NET + FORMATS)
def test_true(expression: str, evaluate: Callable[[str], bool]) -> None:
    assert evaluate(expression) is True


@pytest.mark.parametrize(("expression", "message"), FAILS)
def test_fails(expression: str, message: str, evaluate: Callable[[str], bool]) -> None:
    with pytest.raises(EvaluationError) as failed:
        evaluate(expression)
    assert str(failed.value) == message
