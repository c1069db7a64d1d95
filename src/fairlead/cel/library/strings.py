"""The string extension, version 2: ``charAt indexOf lastIndexOf lowerAscii replace split substring trim
upperAscii join format strings.quote``.

Mirrors cel-go ``ext/strings.go``: positions count code points, an index out of range is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.library.formatting import format_string
from fairlead.cel.runtime import show
from fairlead.cel.values import Value

TABLE: Final = """
    charAt string_char_at_int string.(int) -> string
    indexOf string_index_of_string string.(string) -> int
    indexOf string_index_of_string_int string.(string, int) -> int
    lastIndexOf string_last_index_of_string string.(string) -> int
    lastIndexOf string_last_index_of_string_int string.(string, int) -> int
    lowerAscii string_lower_ascii string.() -> string
    replace string_replace_string_string string.(string, string) -> string
    replace string_replace_string_string_int string.(string, string, int) -> string
    split string_split_string string.(string) -> list(string)
    split string_split_string_int string.(string, int) -> list(string)
    substring string_substring_int string.(int) -> string
    substring string_substring_int_int string.(int, int) -> string
    trim string_trim string.() -> string
    upperAscii string_upper_ascii string.() -> string
    format string_format string.(list(dyn)) -> string
    strings.quote strings_quote (string) -> string
    join list_join list(string).() -> string
    join list_join_string list(string).(string) -> string
"""

# What Go's unicode.IsSpace takes for space; Python's strip() also takes the four separators from U+001C on.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_QUOTED: Final = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if offset < 0:
        raise _out_of_range(offset)
    if part == "":
        return min(offset, len(text))
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return len(text) if part == "" else text.rfind(part)
    if offset < 0:
        raise _out_of_range(offset)
    if part == "":
        return min(offset, len(text))
    # The match may begin at the offset at the latest, and an offset past the end finds nothing.
    return -1 if offset >= len(text) else text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count if count >= 0 else -1)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator == "":
        if count < 0 or count >= len(text):
            return list(text)
        return [*text[: count - 1], text[count - 1 :]]
    return text.split(separator, count - 1 if count > 0 else -1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, stop):
        if not 0 <= index <= len(text):
            raise _out_of_range(index)
    return text[start:stop]


def _join(parts: list[Value], separator: str = "") -> str:
    for part in parts:
        if type(part) is not str:
            raise EvaluationError(f"join: invalid input: {show(part)}")
    return separator.join(parts)


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "string_char_at_int": _char_at,
    "string_index_of_string": _index_of,
    "string_index_of_string_int": _index_of,
    "string_last_index_of_string": _last_index_of,
    "string_last_index_of_string_int": _last_index_of,
    "string_lower_ascii": lambda text: text.translate(_LOWER),
    "string_replace_string_string": _replace,
    "string_replace_string_string_int": _replace,
    "string_split_string": _split,
    "string_split_string_int": _split,
    "string_substring_int": _substring,
    "string_substring_int_int": _substring,
    "string_trim": lambda text: text.strip(_SPACE),
    "string_upper_ascii": lambda text: text.translate(_UPPER),
    "string_format": format_string,
    "strings_quote": lambda text: f'"{text.translate(_QUOTED)}"',
    "list_join": _join,
    "list_join_string": _join,
}
