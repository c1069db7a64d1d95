"""Semantic versions: what is accepted, in which order, and the lenient spelling."""

from __future__ import annotations

import itertools

import pytest

from fairlead.resource.semver import Semver

REFUSED = [
    ("", "Version string empty"),
    ("1.0", "No Major.Minor.Patch elements found"),
    ("v1.0.0", 'Invalid character\\(s\\) found in major number "v1"'),
    ("01.0.0", 'Major number must not contain leading zeroes "01"'),
    ("1.00.0", 'Minor number must not contain leading zeroes "00"'),
    ("1.0.x", 'Invalid character\\(s\\) found in patch number "x"'),
    ("1.0.", "invalid syntax"),
    ("1.0.0-", "Prerelease is empty"),
    ("1.0.0-01", "Numeric PreRelease version must not contain leading zeroes"),
    ("1.0.0-a_b", "Invalid character\\(s\\) found in prerelease"),
    ("1.0.0+", "Build meta data is empty"),
    ("1.0.0+a_b", "Invalid character\\(s\\) found in build meta data"),
    ("18446744073709551616.0.0", "value out of range"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Semver.parse(text)


def test_precedence() -> None:
    ordered = [
        "1.0.0-1",
        "1.0.0-2",
        "1.0.0-10",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "2.0.0",
    ]
    for (i, left), (j, right) in itertools.product(enumerate(ordered), repeat=2):
        a, b = Semver.parse(left), Semver.parse(right)
        assert a.compare(b) == (i > j) - (i < j), (left, right)
        assert (a < b, a <= b, a > b, a >= b) == (i < j, i <= j, i > j, i >= j)


def test_build_metadata_does_not_count() -> None:
    assert Semver.parse("1.0.0+a") == Semver.parse("1.0.0+b")
    assert hash(Semver.parse("1.0.0+a")) == hash(Semver.parse("1.0.0"))


def test_text_is_kept() -> None:
    assert str(Semver.parse("1.2.3-rc.1+build.5")) == "1.2.3-rc.1+build.5"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1", "1.0.0"),
        ("v1.2", "1.2.0"),
        ("01.02.03", "1.2.3"),
        ("1.0.0-rc.1", "1.0.0-rc.1"),
        ("00", "0.0.0"),
    ],
)
def test_normalized(text: str, version: str) -> None:
    assert str(Semver.parse(text, normalize=True)) == version


def test_short_versions_take_no_prerelease() -> None:
    with pytest.raises(ValueError, match="short version"):
        Semver.parse("1.0-rc1", normalize=True)
