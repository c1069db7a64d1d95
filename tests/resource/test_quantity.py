"""Quantities: grammar, canonical text, rounding and arithmetic as the API server does them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.resource.quantity import NANO, Format, Quantity

PARSED = [
    # text, value in nano units, canonical text
    ("0", 0, "0"),
    ("0Ki", 0, "0"),
    ("5", 5 * NANO, "5"),
    ("-5", -5 * NANO, "-5"),
    ("+5", 5 * NANO, "+5"),
    ("40Gi", 40 * 2**30 * NANO, "40Gi"),
    ("1024Mi", 2**30 * NANO, "1Gi"),
    ("1.5Gi", 3 * 2**29 * NANO, "1536Mi"),
    ("1000m", NANO, "1"),
    ("1500m", 1500 * NANO // 1000, "1500m"),
    ("1.5", 3 * NANO // 2, "1500m"),
    ("1.500", 3 * NANO // 2, "1.500"),
    ("100n", 100, "100n"),
    ("3u", 3000, "3u"),
    ("12e6", 12 * 10**6 * NANO, "12e6"),
    ("12E6", 12 * 10**6 * NANO, "12E6"),
    ("1200e4", 12 * 10**6 * NANO, "12e6"),
    ("1e-3", NANO // 1000, "1e-3"),
    ("3E", 3 * 10**18 * NANO, "3E"),
    ("0.1n", 1, "1n"),
    ("-0.1n", -1, "-1n"),
    ("1e-12", 1, "1e-9"),
    ("0.5Ki", 512 * NANO, "512"),
    ("0.0001Ki", 102_400_000, "102400u"),
    ("100Ki", 102400 * NANO, "100Ki"),
    ("1000", 1000 * NANO, "1k"),
    ("1023", 1023 * NANO, "1023"),
    ("9Ei", (2**63 - 1) * NANO, "9223372036854775807"),
    ("-9Ei", -(2**63 - 1) * NANO, "-9223372036854775807"),
    (".", 0, "0"),
    ("Ki", 0, "0"),
]

REFUSED = [
    ("", "must match the regular expression"),
    (" 1", "must match the regular expression"),
    ("1 ", "must match the regular expression"),
    ("1.2.3", "must match the regular expression"),
    ("five", "must match the regular expression"),
    ("1i", "unable to parse quantity's suffix"),
    ("1K", "unable to parse quantity's suffix"),
    ("1Kii", "unable to parse quantity's suffix"),
    ("1e", "unable to parse quantity's suffix"),
    ("1e1.5", "must match the regular expression"),
    ("Ei", "unable to parse numeric part of quantity"),
]


@pytest.mark.parametrize(("text", "nano", "canonical"), PARSED)
def test_parse(text: str, nano: int, canonical: str) -> None:
    quantity = Quantity.parse(text)
    assert quantity.nano == nano
    assert str(quantity) == canonical


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantity.parse(text)


def test_equality_ignores_the_format_and_same_does_not() -> None:
    binary, decimal = Quantity.parse("1Ki"), Quantity.parse("1024")
    assert binary == decimal
    assert hash(binary) == hash(decimal)
    assert not binary.same(decimal)


def test_value_rounds_away_from_zero() -> None:
    assert Quantity.parse("1500m").value() == 2
    assert Quantity.parse("-1500m").value() == -2
    assert Quantity.parse("1500u").milli_value() == 2
    assert Quantity.parse("2").value() == 2


def test_whole_numbers() -> None:
    assert Quantity.parse("1k").is_integer
    assert not Quantity.parse("1m").is_integer
    assert not Quantity.parse("1e30").is_integer


def test_the_sum_with_zero_takes_the_other_format() -> None:
    zero, gib = Quantity.parse("0"), Quantity.parse("1Gi")
    assert (zero + gib).format == "BinarySI"
    assert (gib - gib).format == "BinarySI"
    assert str(gib + gib) == "2Gi"
    assert str(gib - Quantity.parse("1Mi")) == "1023Mi"
    assert str(-gib) == "-1Gi"


def test_a_value_beyond_exa_prints_the_value() -> None:
    assert Quantity.parse(str(Quantity.parse("1000E"))).nano == 10**21 * NANO


formats = st.sampled_from(["DecimalExponent", "DecimalSI"])
nanos = st.integers(min_value=-(2**63) * NANO, max_value=2**63 * NANO)


@given(nanos, formats)
def test_canonical_text_reads_back(nano: int, format: Format) -> None:
    quantity = Quantity.from_nano(nano, format)
    again = Quantity.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_binary_text_reads_back(value: int) -> None:
    quantity = Quantity.from_int(value, "BinarySI")
    assert Quantity.parse(str(quantity)) == quantity


@given(nanos, nanos)
def test_order_and_arithmetic_agree_with_fractions(left: int, right: int) -> None:
    a, b = Quantity.from_nano(left), Quantity.from_nano(right)
    x, y = Fraction(left, NANO), Fraction(right, NANO)
    assert (a < b) == (x < y)
    assert (a <= b) == (x <= y)
    assert (a == b) == (x == y)
    assert Fraction((a + b).nano, NANO) == x + y
    assert Fraction((a - b).nano, NANO) == x - y


@given(st.integers(0, 10**12), st.sampled_from(["n", "u", "m", "", "k", "M", "G", "T", "P", "E", "e3", "e-2"]))
def test_decimal_suffixes_scale(number: int, suffix: str) -> None:
    powers = {
        "n": -9,
        "u": -6,
        "m": -3,
        "": 0,
        "k": 3,
        "M": 6,
        "G": 9,
        "T": 12,
        "P": 15,
        "E": 18,
        "e3": 3,
        "e-2": -2,
    }
    assert Fraction(Quantity.parse(f"{number}{suffix}").nano, NANO) == number * Fraction(10) ** powers[suffix]
