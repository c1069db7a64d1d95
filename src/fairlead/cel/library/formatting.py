"""``string.format``: the clauses ``%s %d %f %e %b %x %X %o`` with an optional precision.

Mirrors cel-go ``ext/formatting.go`` with the locale en_US: fixed-point numbers group thousands, exponents print as
powers of ten.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.runtime import TYPE_NAMES, format_double, type_name
from fairlead.cel.temporal import Duration, Timestamp
from fairlead.cel.values import TypeValue, Uint, Value, from_key

# What each clause accepts, and what it says otherwise. The static check of literal calls uses it too.
CLAUSES: Final[dict[str, tuple[frozenset[str], str]]] = {
    "s": (
        frozenset(
            ["list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type", "null"]
        ),
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, "
        "and timestamps",
    ),
    "d": (frozenset({"int", "uint"}), "decimal clause can only be used on integers"),
    "f": (frozenset({"double", "string"}), "fixed-point clause can only be used on doubles"),
    "e": (frozenset({"double", "string"}), "scientific clause can only be used on doubles"),
    "b": (frozenset({"int", "uint", "bool"}), "only integers and bools can be formatted as binary"),
    "x": (
        frozenset({"int", "uint", "string", "bytes"}),
        "only integers, byte buffers, and strings can be formatted as hex",
    ),
    "o": (frozenset({"int", "uint"}), "octal clause can only be used on integers"),
}
_PRECISION: Final = re.compile(r"\.([0-9]*)")
_DEFAULT_PRECISION: Final = 6
_SUPERSCRIPTS: Final = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SPECIAL: Final = {"NaN": "NaN", "Infinity": "∞", "-Infinity": "-∞"}


def split_format(text: str, count: int) -> Iterator[str | tuple[str, int]]:
    """Literal text and (clause, precision) in turn; EvaluationError where the text is no format."""
    used = position = 0
    while (percent := text.find("%", position)) >= 0:
        yield text[position:percent]
        position = percent + 1
        if text[position : position + 1] == "%":
            yield "%"
            position += 1
            continue
        if used >= count:
            raise EvaluationError(f"index {used} out of range")
        if position >= len(text):
            raise EvaluationError("unexpected end of string")
        precision, position = _precision(text, position)
        clause = text[position]
        if clause not in "sdfebxXo":
            message = f'could not parse formatting clause: unrecognized formatting clause "{clause}"'
            raise EvaluationError(message)
        yield clause, precision
        used += 1
        position += 1
    yield text[position:]


def _precision(text: str, position: int) -> tuple[int, int]:
    match = _PRECISION.match(text, position)
    if match is None:
        return _DEFAULT_PRECISION, position
    context = "could not parse formatting clause: error while parsing precision"
    if match.end() >= len(text):
        raise EvaluationError(f"{context}: could not find end of precision specifier")
    if not match[1]:
        reason = 'strconv.Atoi: parsing "": invalid syntax'
        raise EvaluationError(f"{context}: error while converting precision to integer: {reason}")
    return int(match[1]), match.end()


def format_string(text: str, args: list[Value]) -> str:
    output: list[str] = []
    index = 0
    for part in split_format(text, len(args)):
        if isinstance(part, str):
            output.append(part)
        else:
            output.append(_clause(*part, args[index]))
            index += 1
    return "".join(output)


def _refused(clause: str, value: Value) -> EvaluationError:
    message = CLAUSES[clause.lower()][1]
    return EvaluationError(f"error during formatting: {message}, was given {type_name(value)}")


def _clause(clause: str, precision: int, value: Value) -> str:
    kind = type(value)
    match clause:
        case "s":
            return _string(value)
        case "d" if kind is int or kind is Uint:
            return str(int(value))
        case "b" if kind in (int, Uint, bool):
            return f"{int(value):b}"
        case "o" if kind is int or kind is Uint:
            return f"{int(value):o}"
        case "x" | "X" if kind in (int, Uint, str, bytes):
            digits = _hexadecimal(value)
            return digits.upper() if clause == "X" else digits
        case "f" | "e":
            if kind is str and value in _SPECIAL:
                return _SPECIAL[value]
            if kind is float:
                # A negative zero prints without its sign.
                value = value or 0.0
                return _fixed(value, precision) if clause == "f" else _scientific(value, precision)
    raise _refused(clause, value)


def _hexadecimal(value: Value) -> str:
    if isinstance(value, int):
        return f"{int(value):x}"
    return (value.encode() if isinstance(value, str) else value).hex()


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    return None if math.isfinite(value) else ("∞" if value > 0 else "-∞")


def _fixed(value: float, precision: int) -> str:
    return _special(value) or f"{value:,.{precision}f}"


def _scientific(value: float, width: int) -> str:
    """cel-go takes the precision of this clause for a width."""
    special = _special(value)
    if special:
        return special
    mantissa, _, exponent = f"{value:.{_DEFAULT_PRECISION}e}".partition("e")
    sign = "-" if exponent[0] == "-" else ""
    return f"{mantissa}×10{(sign + exponent[1:]).translate(_SUPERSCRIPTS)}".rjust(width)


def _string(value: Value) -> str:
    match value:
        case None:
            return "null"
        case True | False:
            return str(value).lower()
        case str():
            return value
        case bytes():
            return _text(value)
        case float():
            return format_double(value)
        case TypeValue():
            return value.name
        case int():
            return str(int(value))
        case Timestamp() | Duration():
            return str(value)
    match TYPE_NAMES[type(value)]:
        case "list":
            return f"[{', '.join(map(_nested, value))}]"
        case "map":
            pairs = sorted((_nested(from_key(key)), _nested(item)) for key, item in value.items())
            return f"{{{', '.join(f'{key}:{item}' for key, item in pairs)}}}"
    raise _refused("s", value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        reason = "invalid UTF-8 in bytes, cannot convert to string"
        message = f'error during formatting: could not convert argument "{reason}" to string'
        raise EvaluationError(message) from None


def _nested(value: Value) -> str:
    """A value inside a list or map: text that could be read back as CEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "b" + json.dumps(_string(value), ensure_ascii=False)
    if isinstance(value, float):
        if not math.isfinite(value):
            return f'"{format_double(value)}"'
        return f"{value:.{_DEFAULT_PRECISION}f}"
    if isinstance(value, Timestamp):
        return f'timestamp("{value}")'
    if isinstance(value, Duration):
        return f'duration("{value}")'
    return _string(value)


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {"string_format": format_string}
