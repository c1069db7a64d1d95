"""Manifest text to plain values: YAML documents one by one, and JSON.

YAML is built from the parser's events, not by PyYAML's loader. That gives, in one pass and without recursion: a
limit on depth and on what aliases expand to, refused duplicate keys with their line, numbers that keep their text,
timestamps that stay strings; and it is ten times faster.

Documents are cut at `---` lines before they are parsed, as kubectl does it, so that an error in one document leaves
the others readable. Plain scalars mean what `sigs.k8s.io/yaml` says: YAML 1.1 booleans, numbers of Go's form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import yaml

from fairlead.resource.codec import Number

MAX_DEPTH: Final = 200
MAX_ALIAS_NODES: Final = 100_000

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_CONTENT: Final = re.compile(r"^[ \t\r]*(?!#|%(?:YAML|TAG) |\.\.\.[ \t\r]*$)\S", re.MULTILINE)
_TRUE: Final = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE: Final = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER: Final = re.compile(r"[-+]?(?:0[bB][01_]+|0[oO]?[0-7_]+|0[xX][0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_MAX_DIGITS: Final = 1000
_TAG: Final = "tag:yaml.org,2002:"


class TextError(ValueError):
    """The text is no YAML or JSON; the message names line and column."""


def split_documents(text: str) -> Iterator[tuple[str, int]]:
    """The YAML documents of a text that hold anything, each with the number of lines before it."""
    start = 0
    line = 0
    for match in _SEPARATOR.finditer(text):
        piece = text[start : match.start()]
        if _holds_content(piece):
            yield piece, line
        line += piece.count("\n")
        start = match.end()
    piece = text[start:]
    if _holds_content(piece):
        yield piece, line


def _holds_content(text: str) -> bool:
    return bool(text) and not text.isspace() and _CONTENT.search(text) is not None


def parse_yaml(text: str, lines_before: int = 0) -> list[Any]:
    """The values of a YAML text, one for each document in it; TextError when it is none."""
    try:
        return _build(yaml.parse(text, Loader=_LOADER), lines_before)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be parsed"
        raise TextError(_located(problem, mark, lines_before) + _template_hint(text)) from None
    except yaml.reader.ReaderError as error:
        position = text[: error.position] if isinstance(error.position, int) else ""
        line = position.count("\n") + 1 + lines_before
        column = len(position) - (position.rfind("\n") + 1) + 1
        what = f"U+{ord(error.character):04X}" if isinstance(error.character, str) else f"{error.character!r}"
        raise TextError(f"line {line}, column {column}: {error.reason}: {what}") from None
    except yaml.YAMLError as error:
        raise TextError(" ".join(str(error).split())) from None


def parse_json(text: str) -> Iterator[Any]:
    """The values of a text of one or more JSON values; TextError when it is none."""
    decoder = json.JSONDecoder(parse_float=Number, parse_int=_integer, parse_constant=_no_constant)
    position = _skip_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise TextError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
        except RecursionError:
            raise TextError("nested too deeply") from None
        except ValueError as error:
            raise TextError(str(error)) from None
        yield value
        position = _skip_space(text, position)


def decode_text(data: bytes) -> str:
    """The text of a file; TextError with line and column of the first byte that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        byte = data[error.start]
        raise TextError(f"line {line}, column {column}: byte 0x{byte:02x} is not UTF-8 ({error.reason})") from None


class _Frame:
    """A list or mapping that is being filled."""

    __slots__ = ("anchor", "key", "merges", "size", "target")

    def __init__(self, target: Any, anchor: str | None) -> None:
        self.target = target
        self.anchor = anchor
        self.key: str | None = None
        self.merges: list[Any] = []
        self.size = 1


def _build(events: Iterator[Any], lines_before: int) -> list[Any]:
    documents: list[Any] = []
    anchors: dict[str, tuple[Any, int]] = {}
    stack: list[_Frame] = []
    expanded = 0

    def fail(event: Any, problem: str) -> TextError:
        return TextError(_located(problem, event.start_mark, lines_before))

    def place(value: Any, size: int, event: Any, merge: bool = False) -> None:
        if not stack:
            documents.append(value)
            return
        frame = stack[-1]
        frame.size += size
        if type(frame.target) is list:
            frame.target.append(value)
        elif frame.key is None:
            if merge:
                frame.key = "<<"
                frame.merges.append(None)
                return
            key = _key_text(value)
            if key is None:
                raise fail(event, "a mapping key must be a scalar")
            if key in frame.target:
                raise fail(event, f"duplicate key {json.dumps(key, ensure_ascii=False)}")
            frame.key = key
            frame.target[key] = None
        else:
            if frame.merges and frame.merges[-1] is None:
                sources = value if isinstance(value, list) else [value]
                if not all(isinstance(source, dict) for source in sources):
                    raise fail(event, "a merge key needs a mapping or a list of mappings")
                frame.merges[-1] = sources
            else:
                frame.target[frame.key] = value
            frame.key = None

    for event in events:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            plain = not event.style and event.tag is None
            value = resolve_plain(event.value) if plain else _tagged(event, fail)
            if event.anchor is not None:
                anchors[event.anchor] = (value, 1)
            place(value, 1, event, merge=plain and event.value == "<<")
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if len(stack) >= MAX_DEPTH:
                raise fail(event, f"nested more than {MAX_DEPTH} levels deep")
            stack.append(_Frame({} if kind is yaml.MappingStartEvent else [], event.anchor))
            if len(stack) == 1 and kind is yaml.SequenceStartEvent:
                raise fail(event, "expected an object, got a list")
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            frame = stack.pop()
            for sources in frame.merges:
                for source in sources:
                    for key, value in source.items():
                        frame.target.setdefault(key, value)
            if frame.anchor is not None:
                anchors[frame.anchor] = (frame.target, frame.size)
            place(frame.target, frame.size, event)
        elif kind is yaml.AliasEvent:
            if event.anchor not in anchors:
                raise fail(event, f"alias {json.dumps(event.anchor)} names no anchor before it")
            value, size = anchors[event.anchor]
            expanded += size
            if expanded > MAX_ALIAS_NODES:
                raise fail(event, "document contains excessive aliasing")
            place(value, size, event)
        elif kind is yaml.DocumentStartEvent:
            anchors = {}
            expanded = 0
    return documents


@lru_cache(maxsize=1 << 14)
def resolve_plain(text: str) -> Any:
    """What a plain scalar means: null, boolean, integer, number or string."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text[0] not in "+-.0123456789" or len(text) > _MAX_DIGITS:
        return text
    if _INTEGER.match(text):
        digits = text.replace("_", "")
        sign = -1 if digits[0] == "-" else 1
        digits = digits.lstrip("+-")
        base = {"0b": 2, "0x": 16, "0o": 8}.get(digits[:2].lower())
        if base is None:
            base = 8 if len(digits) > 1 and digits[0] == "0" else 10
        try:
            return sign * int(digits, base)
        except ValueError:
            return text
    if _FLOAT.match(text):
        return Number(text)
    return text


def _tagged(event: Any, fail: Any) -> Any:
    tag = event.tag or ""
    if tag in ("", "!", _TAG + "str") or tag == _TAG + "timestamp":
        return event.value
    if tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
        return resolve_plain(event.value)
    raise fail(event, f"unknown tag {json.dumps(tag.replace(_TAG, '!!'))}")


def _key_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return value.text
    if isinstance(value, int):
        return str(value)
    return "null" if value is None else None


def _located(problem: str, mark: Any, lines_before: int) -> str:
    if mark is None:
        return problem
    return f"line {mark.line + 1 + lines_before}, column {mark.column + 1}: {problem}"


def _template_hint(text: str) -> str:
    return " (the text holds template actions {{ }}: render it first)" if "{{" in text else ""


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\ufeff":
        position += 1
    return position


def _integer(text: str) -> Any:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
