"""The errors of this package and the source excerpts that compile errors show.

Mirrors cel-go ``common/errors.go``: issues are sorted by position, each prints as
``ERROR: <input>:line:column: message`` followed by the line and a caret.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAX_ISSUES = 100
# The offset of what concerns the expression as a whole.
NOWHERE = -1


class CompileError(ValueError):
    """The expression is not valid; the text is the API server's."""


class EvaluationError(ValueError):
    """Evaluation failed; ``cost`` is what had been spent by then, where it was counted."""

    def __init__(self, message: str, cost: int | None = None) -> None:
        super().__init__(message)
        self.cost = cost


@dataclass(frozen=True, slots=True)
class Issue:
    offset: int
    message: str


class Issues:
    """Problems found in one source text."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[Issue] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def report(self, offset: int, message: str) -> None:
        self._found.append(Issue(offset, message))

    def __str__(self) -> str:
        located = sorted(((self._locate(issue.offset), issue.message) for issue in self._found), key=lambda i: i[0])
        text = [self._excerpt(line, column, message) for (line, column), message in located[:_MAX_ISSUES]]
        if len(located) > _MAX_ISSUES:
            text.append(f"{len(located) - _MAX_ISSUES} more errors were truncated")
        return "\n".join(text)

    def _locate(self, offset: int) -> tuple[int, int]:
        if offset == NOWHERE:
            return -1, -1
        before = self._source[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1)

    def _excerpt(self, line: int, column: int, message: str) -> str:
        if not self._source:
            # An empty text has no line to show, and cel-go counts its only column as none.
            return f"ERROR: <input>:1:0: {message}"
        if line < 0:
            return f"ERROR: <input>:-1:0: {message}"
        snippet = self._source.split("\n")[line - 1].replace("\t", " ")
        marks = "".join("." if char.isascii() else "\uff0e" for char in snippet[:column])
        caret = "\uff3e" if not snippet[column : column + 1].isascii() else "^"
        return f"ERROR: <input>:{line}:{column + 1}: {message}\n | {snippet}\n | {marks}{caret}"
