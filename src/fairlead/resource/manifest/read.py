"""Reads manifests: files, directories, standard input and text, in YAML and JSON.

Nothing a user can write ends in an exception, an unreadable document leaves the others readable, and an input with
too many problems is given up. A dump of 40 MB in JSON takes about a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from fairlead.resource.codec import collector_paused
from fairlead.resource.manifest.collect import PROBLEMS_MAX, Collector, HopelessError, decode_head
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.text import TextError, decode_text, parse_json, parse_yaml, split_documents
from fairlead.resource.problem import Problem

STDIN: Final = "<stdin>"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


def read_paths(paths: Sequence[str], stdin: Callable[[], bytes] | None = None) -> tuple[Objects, list[Problem]]:
    """All objects under the paths, and what is wrong with them; `-` stands for standard input."""
    collector = Collector()
    with collector_paused():
        for data, source in _sources(paths, stdin, collector.problems):
            _read_source(collector, data, source)
    return collector.objects, collector.problems


def read_text(data: bytes, source: str) -> tuple[Objects, list[Problem]]:
    """All objects of one text; `source` is what problems call it."""
    collector = Collector()
    with collector_paused():
        _read_source(collector, data, source)
    return collector.objects, collector.problems


def read_documents(
    paths: Sequence[str], stdin: Callable[[], bytes] | None = None
) -> tuple[list[tuple[dict[str, Any], str]], list[Problem]]:
    """All objects under the paths as plain values with their source, of any kind, lists taken apart; and problems."""
    found: list[tuple[dict[str, Any], str]] = []
    problems: list[Problem] = []
    for data, source in _sources(paths, stdin, problems):
        try:
            text = decode_text(data)
            if text.lstrip().startswith("{"):
                documents = [json.loads(text)]
            else:
                documents = [one for piece, line in split_documents(text) for one in parse_yaml(piece, line)]
        except (ValueError, RecursionError) as error:
            problems.append(Problem("", "", str(error), source))
            continue
        for document in documents:
            _take_apart(document, source, found, problems)
    return found, problems


def _take_apart(document: Any, source: str, found: list[tuple[dict[str, Any], str]], problems: list[Problem]) -> None:
    if document is None:
        return
    if not isinstance(document, dict):
        problems.append(Problem("", "", f"holds no object but {type(document).__name__}", source))
    elif str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            _take_apart(item, source, found, problems)
    else:
        found.append((document, source))


def _sources(
    paths: Sequence[str], stdin: Callable[[], bytes] | None, problems: list[Problem]
) -> Iterator[tuple[bytes, str]]:
    """The content of each file under the paths, and of standard input for `-`, with what problems call it."""
    for path in paths:
        if path == "-":
            if stdin is None:
                problems.append(Problem("", "", "standard input is not available", STDIN))
            else:
                yield stdin(), STDIN
            continue
        for file in _files(path, problems):
            try:
                data = file.read_bytes()
            except OSError as error:
                problems.append(Problem("", "", error.strerror or str(error), str(file)))
                continue
            yield data, str(file)


def _files(path: str, problems: list[Problem]) -> list[Path]:
    root = Path(path)
    if root.is_dir():
        found = sorted(file for file in root.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if not found:
            problems.append(Problem("", "", "the directory holds no *.yaml, *.yml or *.json file", path))
        return found
    if not root.exists():
        problems.append(Problem("", "", "no such file or directory", path))
        return []
    return [root]


def _read_source(collector: Collector, data: bytes, source: str) -> None:
    """Everything in one text, as far as it makes sense."""
    collector.start_source()
    try:
        _read(collector, data, source)
    except HopelessError:
        reason = f"more than {PROBLEMS_MAX} problems, the rest is not read"
        collector.problems.append(Problem("", "", reason, source))


def _read(collector: Collector, data: bytes, source: str) -> None:
    before = collector.seen
    if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and _read_json(collector, data, source):
        return
    try:
        text = decode_text(data)
    except TextError as error:
        collector.report("", "", str(error), source)
        return
    looks_like_json = text.lstrip().startswith(("{", "["))
    if looks_like_json and _read_plain_json(collector, text, source):
        return
    pieces = list(split_documents(text))
    number = 0
    for piece, line in pieces:
        try:
            documents = parse_yaml(piece, line)
        except TextError as error:
            number += 1
            label = f"document {number}" if len(pieces) > 1 else ""
            collector.report(label, "", str(error), source)
            continue
        except RecursionError:
            number += 1
            collector.report(f"document {number}", "", "nested too deeply", source)
            continue
        for document in documents:
            number += 1
            if document is not None:
                single = len(pieces) == 1 and len(documents) == 1
                collector.add_document(document, source, "" if single else f"document {number}")
    if collector.seen == before and not number:
        collector.report("", "", "holds no objects", source)


def _read_json(collector: Collector, data: bytes, source: str) -> bool:
    """Reads one JSON value straight into structs; False when it is none, with nothing read."""
    try:
        head = decode_head(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    if head.kind.endswith("List") and head.items is not None:
        for index, item in enumerate(head.items):
            collector.add_raw(item, source, f"items[{index}]", head)
    else:
        collector.add_raw(msgspec.Raw(data), source, "", None)
    return True


def _read_plain_json(collector: Collector, text: str, source: str) -> bool:
    """Reads JSON values one after the other; False when the text is YAML of the flow style."""
    number = 0
    try:
        for number, document in enumerate(parse_json(text), 1):
            collector.add_document(document, source, f"document {number}")
    except TextError as error:
        if number == 0 and not source.endswith(".json") and _is_yaml(text):
            return False
        label = f"document {number + 1}" if number else ""
        collector.report(label, "", str(error), source)
    return True


def _is_yaml(text: str) -> bool:
    """Whether a text that opens with a brace and is no JSON reads as YAML, or was meant as a template."""
    if text.lstrip().startswith("{{"):
        return True
    try:
        return bool(parse_yaml(text))
    except (TextError, RecursionError):
        return False
