"""Semantic versions as the API's CEL library and version attributes understand them.

Mirrors ``github.com/blang/semver/v4`` (strict semver 2.0: three numbers, no leading zeros, each below 2**64)
and, for ``normalize=True``, the normalisation of Kubernetes' CEL ``semver(text, true)``: a leading ``v`` is
dropped, missing minor and patch numbers become 0, leading zeros go away.

Invariants: order and equality follow the precedence rules, so build metadata does not count; ``key`` is a
tuple with exactly that order, for code that compares many versions.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final, final

_NUMBERS: Final = frozenset("0123456789")
_ALPHANUMERIC: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
_MAX_UINT64: Final = 2**64 - 1

# One identifier of a prerelease: numbers sort before words, each kind among itself.
Identifier = tuple[int, int, str]
Key = tuple[int, int, int, int, tuple[Identifier, ...]]


@final
class Semver:
    """A parsed version."""

    __slots__ = ("build", "key", "major", "minor", "patch", "prerelease")

    major: Final[int]
    minor: Final[int]
    patch: Final[int]
    prerelease: Final[tuple[str, ...]]
    build: Final[tuple[str, ...]]
    key: Final[Key]

    def __init__(
        self,
        major: int,
        minor: int,
        patch: int,
        prerelease: tuple[str, ...] = (),
        build: tuple[str, ...] = (),
    ) -> None:
        self.major = major
        self.minor = minor
        self.patch = patch
        self.prerelease = prerelease
        self.build = build
        # A release comes after all its prereleases.
        self.key = (major, minor, patch, 0 if prerelease else 1, tuple(map(_identifier, prerelease)))

    @staticmethod
    def parse(text: str, normalize: bool = False) -> Semver:
        """The version written as ``text``; ValueError when it is none."""
        return _parse(_normalized(text) if normalize else text)

    def compare(self, other: Semver) -> int:
        return (self.key > other.key) - (self.key < other.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Semver) -> bool:
        return self.key < other.key

    def __le__(self, other: Semver) -> bool:
        return self.key <= other.key

    def __gt__(self, other: Semver) -> bool:
        return self.key > other.key

    def __ge__(self, other: Semver) -> bool:
        return self.key >= other.key

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease:
            text += "-" + ".".join(self.prerelease)
        if self.build:
            text += "+" + ".".join(self.build)
        return text

    def __repr__(self) -> str:
        return f"Semver({str(self)!r})"


def _identifier(text: str) -> Identifier:
    return (0, int(text), "") if _NUMBERS.issuperset(text) else (1, 0, text)


@lru_cache(maxsize=1 << 14)
def _parse(text: str) -> Semver:
    if not text:
        raise ValueError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise ValueError("No Major.Minor.Patch elements found")
    major = _number(parts[0], "major")
    minor = _number(parts[1], "minor")
    rest, plus, build = parts[2].partition("+")
    rest, dash, prerelease = rest.partition("-")
    patch = _number(rest, "patch")
    identifiers = tuple(prerelease.split(".")) if dash else ()
    for identifier in identifiers:
        _check_prerelease(identifier)
    metadata = tuple(build.split(".")) if plus else ()
    for word in metadata:
        if not word:
            raise ValueError("Build meta data is empty")
        if not _ALPHANUMERIC.issuperset(word):
            raise ValueError(f"Invalid character(s) found in build meta data {_quoted(word)}")
    return Semver(major, minor, patch, identifiers, metadata)


def _number(text: str, what: str) -> int:
    if not _NUMBERS.issuperset(text):
        raise ValueError(f"Invalid character(s) found in {what} number {_quoted(text)}")
    if len(text) > 1 and text[0] == "0":
        raise ValueError(f"{what.capitalize()} number must not contain leading zeroes {_quoted(text)}")
    return _uint64(text)


def _check_prerelease(text: str) -> None:
    if not text:
        raise ValueError("Prerelease is empty")
    if _NUMBERS.issuperset(text):
        if len(text) > 1 and text[0] == "0":
            raise ValueError(f"Numeric PreRelease version must not contain leading zeroes {_quoted(text)}")
        _uint64(text)
    elif not _ALPHANUMERIC.issuperset(text):
        raise ValueError(f"Invalid character(s) found in prerelease {_quoted(text)}")


def _uint64(text: str) -> int:
    if not text:
        raise ValueError('strconv.ParseUint: parsing "": invalid syntax')
    # Twenty digits hold 2**64; longer texts are not worth converting.
    if len(text) > 20 or int(text) > _MAX_UINT64:
        raise ValueError(f"strconv.ParseUint: parsing {_quoted(text)}: value out of range")
    return int(text)


def _normalized(text: str) -> str:
    parts = [_without_leading_zeros(part) for part in text.removeprefix("v").split(".", 2)]
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise ValueError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _without_leading_zeros(part: str) -> str:
    if len(part) < 2:
        return part
    stripped = part.lstrip("0")
    return stripped if stripped and stripped[0] in _NUMBERS else "0" + stripped


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
