"""Text of IP addresses.

``ipaddress`` accepts what Go's ``net/netip.ParseAddr`` accepts; this module adds what Go says about the rest, since
the API server passes that on.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HEX: Final = re.compile(r"[0-9A-Fa-f]*")
_GROUPS: Final = 8


def parse_address(text: str) -> Address:
    """ValueError with Go's text."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"ParseAddr({_quoted(text)}): {_reason(text)}") from None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _at(message: str, rest: str) -> str:
    return f"{message} (at {_quoted(rest)})" if rest else message


def _reason(text: str) -> str:
    match next((char for char in text if char in ".:%"), ""):
        case ".":
            return _reason_v4(text)
        case ":":
            return _reason_v6(text.partition("%")[0])
        case "%":
            return "missing IPv6 address"
    return "unable to parse IP"


def _reason_v4(text: str) -> str:
    digits = ""
    fields = 0
    for position, char in enumerate(text):
        if char in "0123456789":
            if digits == "0":
                return "IPv4 field has octet with leading zero"
            digits += char
            if int(digits) > 255:
                return "IPv4 field has value >255"
        elif char == ".":
            if not digits or position == len(text) - 1:
                return _at("IPv4 field must have at least one digit", text[position:])
            if fields == 3:
                return "IPv4 address too long"
            digits = ""
            fields += 1
        else:
            return _at("unexpected character", text[position:])
    return "IPv4 address too short"


def _reason_v6(text: str) -> str:
    ellipsis = text.startswith("::")
    rest = text[2:] if ellipsis else text
    groups = 0
    while groups < _GROUPS:
        match = _HEX.match(rest)
        width = 0 if match is None else match.end()
        if width > 4:
            return _at("each group must have 4 or less digits", rest)
        if width == 0:
            return _at("each colon-separated field must have at least one digit", rest)
        if rest[width : width + 1] == ".":
            if not ellipsis and groups != _GROUPS - 2:
                return _at("embedded IPv4 address must replace the final 2 fields of the address", rest)
            if groups > _GROUPS - 2:
                return _at("too many hex fields to fit an embedded IPv4 at the end of the address", rest)
            return _reason_v4(rest)
        groups += 1
        rest = rest[width:]
        if not rest:
            break
        if rest[0] != ":":
            return _at("unexpected character, want colon", rest)
        if len(rest) == 1:
            return _at("colon must be followed by more characters", rest)
        rest = rest[1:]
        if rest[0] == ":":
            if ellipsis:
                return _at("multiple :: in address", rest)
            ellipsis = True
            rest = rest[1:]
            if not rest:
                break
    if rest:
        return _at("trailing garbage after address", rest)
    return "the :: must expand to at least one field of zeros" if ellipsis else "address string too short"
