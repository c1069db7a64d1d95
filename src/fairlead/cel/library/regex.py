"""Regular expressions: ``matches``, ``find`` and ``findAll``.

Mirrors ``k8s.io/apiserver/pkg/cel/library/regex.go`` with google-re2, which shares syntax and linear time with
Go's package. Error texts are translated to Go's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import re2

from fairlead.cel.errors import EvaluationError
from fairlead.cel.values import Value

TABLE: Final = """
    find string_find_string string.(string) -> string
    findAll string_find_all_string string.(string) -> list(string)
    findAll string_find_all_string_int string.(string, int) -> list(string)
"""


class RegexError(ValueError):
    """The pattern is not valid; the text is Go's."""


_OPTIONS = re2.Options()
# Errors are reported as exceptions; without this re2 also writes them to stderr.
_OPTIONS.log_errors = False


@lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> Any:
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        raise RegexError(f"error parsing regexp: {_go_text(error.args[0])}") from None


# What RE2 calls the same mistakes.
_GO_MESSAGES: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "invalid repetition size": "invalid repeat count",
    "trailing \\": "trailing backslash at end of expression",
}


def _go_text(reason: bytes | str) -> str:
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    message, _, detail = text.partition(": ")
    return f"{_GO_MESSAGES.get(message, message)}: `{detail}`"


def matches(text: str, pattern: str) -> bool:
    try:
        return compile_regex(pattern).search(text) is not None
    except RegexError as error:
        raise EvaluationError(str(error)) from None


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for one pattern that remembers its answers: devices share most of their attribute values."""
    search = compile_regex(pattern).search

    @lru_cache(maxsize=1024)
    def test(text: str) -> bool:
        return search(text) is not None

    return test


def _compiled(pattern: str) -> Any:
    try:
        return compile_regex(pattern)
    except RegexError as error:
        raise EvaluationError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text)
    return "" if found is None else str(found.group())


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """Non-overlapping matches; an empty match right after another one does not count, as in Go."""
    compiled = _compiled(pattern)
    found: list[str] = []
    last_end = -1
    position = 0
    while limit < 0 or len(found) < limit:
        match = compiled.search(text, position)
        if match is None:
            break
        start, end = match.span()
        if start == end == last_end:
            # Empty and adjacent to the previous match.
            position = end + 1
            if position > len(text):
                break
            last_end = -1
            continue
        found.append(text[start:end])
        last_end = end
        position = end if end > start else end + 1
        if position > len(text):
            break
    return found


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "string_find_string": _find,
    "string_find_all_string": _find_all,
    "string_find_all_string_int": _find_all,
}
