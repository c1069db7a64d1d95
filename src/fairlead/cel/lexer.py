"""Tokens of CEL source text, and the values of literals.

Mirrors the lexer rules of cel-go ``parser/gen/CEL.g4`` and ``parser/unescape.go``. A character that starts no
token is an issue and is skipped, as the generated lexer does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fairlead.cel.errors import Issues

_ESCAPE = r"\\(?:[abfnrtv\"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_STRING = (
    r"(?:[rR](?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|\"[^\"\n\r]*\"|'[^'\n\r]*')"
    rf"|\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"|'''(?:{_ESCAPE}|[^\\])*?'''"
    rf"|\"(?:{_ESCAPE}|[^\\\"\n\r])*\"|'(?:{_ESCAPE}|[^\\'\n\r])*')"
)
_TOKEN = re.compile(
    rf"""
    (?P<space>[\t \r\n\f]+|//[^\n]*)
  | (?P<BYTES>[bB]{_STRING})
  | (?P<STRING>{_STRING})
  | (?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<NUM_UINT>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<ESC_IDENTIFIER>`[A-Za-z0-9_./\ -]+`)
  | (?P<op>==|!=|<=|>=|&&|\|\||[<>\[\]{{}}().,!?:+*/%-])
    """,
    re.VERBOSE,
)
_UNTERMINATED = re.compile(r"[rRbB]{0,2}[\"'](?:\\.|[^\"'\n\r])*")
_KEYWORDS = frozenset({"in", "true", "false", "null"})

EOF = "<EOF>"


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is the text itself for operators and keywords, else the name of the rule."""

    kind: str
    text: str
    offset: int


def tokenize(source: str, issues: Issues) -> list[Token]:
    """All tokens, the last of kind EOF."""
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            bad = _UNTERMINATED.match(source, position)
            text = bad.group() if bad else source[position]
            issues.report(position, f"Syntax error: token recognition error at: '{text}'")
            position += len(text)
            continue
        text = match.group()
        kind = match.lastgroup or ""
        if kind == "op" or text in _KEYWORDS:
            kind = text
        if kind != "space":
            tokens.append(Token(kind, text, position))
        position = match.end()
    tokens.append(Token(EOF, EOF, len(source)))
    return tokens


_SIMPLE_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}


def _body(literal: str) -> tuple[str, bool]:
    """The text between the quotes, and whether it is raw."""
    text = literal.replace("\r\n", "\n").replace("\r", "\n")
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    width = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    return text[width:-width], raw


def _unescape(body: str) -> list[tuple[int, bool]]:
    """Code points, and whether each was written as a hexadecimal or octal byte escape."""
    result: list[tuple[int, bool]] = []
    position = 0
    while position < len(body):
        char = body[position]
        if char != "\\":
            result.append((ord(char), False))
            position += 1
            continue
        char = body[position + 1]
        if char in _SIMPLE_ESCAPES:
            result.append((ord(_SIMPLE_ESCAPES[char]), False))
            position += 2
        elif char in "xXuU":
            digits = {"x": 2, "X": 2, "u": 4, "U": 8}[char]
            start = position + 2
            result.append((int(body[start : start + digits], 16), char in "xX"))
            position = start + digits
        else:
            result.append((int(body[position + 1 : position + 4], 8), True))
            position += 4
    return result


def string_value(literal: str) -> str:
    """The string a STRING token stands for; ValueError when an escape is no code point."""
    body, raw = _body(literal)
    if raw or "\\" not in body:
        return body
    points = [point for point, _ in _unescape(body)]
    if any(point > 0x10FFFF or 0xD800 <= point < 0xE000 for point in points):
        raise ValueError("invalid unicode code point")
    return "".join(map(chr, points))


def bytes_value(literal: str) -> bytes:
    """The bytes a BYTES token stands for; ValueError for escapes that only strings may use."""
    body, raw = _body(literal[1:])
    if raw or "\\" not in body:
        return body.encode()
    if re.search(r"(?<!\\)(?:\\\\)*\\[uU]", body):
        raise ValueError("unable to unescape string")
    return b"".join(bytes([point]) if single else chr(point).encode() for point, single in _unescape(body))
