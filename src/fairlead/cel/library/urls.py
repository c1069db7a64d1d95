"""URLs.

Mirrors ``k8s.io/apiserver/pkg/cel/library/urls.go`` and the parts of Go's ``net/url`` behind it: only absolute URLs
or absolute paths are accepted, and text is checked before it is split.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, final

from fairlead.cel.errors import EvaluationError
from fairlead.cel.runtime import GO_NAMES, STRICT_EQUALITY, TYPE_NAMES
from fairlead.cel.values import Value

TABLE: Final = """
    url string_to_url (string) -> url
    isURL is_url_string (string) -> bool
    getScheme url_get_scheme url.() -> string
    getHost url_get_host url.() -> string
    getHostname url_get_hostname url.() -> string
    getPort url_get_port url.() -> string
    getEscapedPath url_get_escaped_path url.() -> string
    getQuery url_get_query url.() -> map(string, list(string))
"""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PORT: Final = re.compile(r"(:[0-9]*)?")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
_HOST_CHARS: Final = re.compile(r"[^A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"%\x80-\U0010ffff]")
_PATH_SAFE: Final = re.compile(r"[A-Za-z0-9\-_.~$&+,/:;=@]")
_PATH_VALID: Final = re.compile(r"(?:[A-Za-z0-9\-_.~$&+,/:;=@!'()*\[\]]|%[0-9A-Fa-f]{2})*")
_USER_CHARS: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")


@final
class URL:
    __slots__ = ("host", "path", "query", "scheme", "text")

    def __init__(self, text: str, scheme: str, host: str, path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.path = path
        self.query = query

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URL) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


TYPE_NAMES[URL] = "kubernetes.URL"
GO_NAMES[URL] = "cel.URL"
STRICT_EQUALITY.add(URL)


def parse_request_uri(text: str) -> URL:
    """What Go's ParseRequestURI accepts; ValueError with its text otherwise."""
    return _parsed(text, request=True)


def _parsed(text: str, request: bool) -> URL:
    quoted = json.dumps(text, ensure_ascii=False)
    try:
        return _parse(text, request)
    except ValueError as error:
        raise ValueError(f"parse {quoted}: {error}") from None


def _parse(text: str, request: bool) -> URL:
    """``request`` only takes a host from an absolute URL; otherwise ``//host/path`` has one too."""
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError("net/url: invalid control character in URL")
    if not text:
        raise ValueError("empty url")
    if text == "*":
        return URL(text, "", "", "*", "")
    if text.startswith(":"):
        raise ValueError("missing protocol scheme")
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    # A fragment belongs to the URL only once it is known to be one.
    rest = text[match.end() if match else 0 :].partition("#")[0]
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return URL(text, scheme, "", "", query)
        raise ValueError("invalid URI for request")
    host = ""
    if rest.startswith("//") and (scheme or not (request or rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        host, rest = _host(authority), slash + path
    _check_escapes(rest)
    return URL(text, scheme, host, rest, query)


def _host(authority: str) -> str:
    user, at, host = authority.rpartition("@")
    if at and not _USER_CHARS.fullmatch(user):
        raise ValueError("net/url: invalid userinfo")
    if host.startswith("["):
        closing = host.rfind("]")
        if closing < 0:
            raise ValueError("missing ']' in host")
        port = host[closing + 1 :]
    else:
        port = host[host.find(":") :] if ":" in host else ""
    if not _PORT.fullmatch(port):
        raise ValueError(f"invalid port {json.dumps(port)} after host")
    invalid = _HOST_CHARS.search(host)
    if invalid:
        raise ValueError(f"invalid character {json.dumps(invalid.group(), ensure_ascii=False)} in host name")
    _check_escapes(host)
    return host


def _check_escapes(text: str) -> None:
    for match in _ESCAPE.finditer(text):
        if match[1] is None:
            escape = json.dumps(text[match.start() : match.start() + 3], ensure_ascii=False)
            raise ValueError(f"invalid URL escape {escape}")


def _url(text: str) -> URL:
    try:
        parse_request_uri(text)
        return _parsed(text, request=False)
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None


def _is_url(text: str) -> bool:
    try:
        parse_request_uri(text)
    except ValueError:
        return False
    return True


def _hostname(url: URL) -> str:
    if url.host.startswith("["):
        return url.host[1 : url.host.rfind("]")]
    return url.host.rpartition(":")[0] if ":" in url.host else url.host


def _port(url: URL) -> str:
    after = url.host[url.host.rfind("]") + 1 :]
    return after.rpartition(":")[2] if ":" in after else ""


def _escaped_path(url: URL) -> str:
    if _PATH_VALID.fullmatch(url.path):
        return url.path
    return "".join(chr(byte) if _PATH_SAFE.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in _unescaped(url.path))


def _unescaped(text: str) -> bytes:
    output = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        output += text[position : match.start()].encode() + bytes([int(match[1], 16)])
        position = match.end()
    return bytes(output + text[position:].encode())


def _query(url: URL) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        key, _, value = pair.partition("=")
        try:
            # Pairs that Go cannot read are left out without an error.
            for part in (key, value):
                _check_escapes(part)
        except ValueError:
            continue
        if pair and ";" not in pair:
            decoded = [_unescaped(part.replace("+", " ")).decode(errors="replace") for part in (key, value)]
            result.setdefault(decoded[0], []).append(decoded[1])
    return result


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "string_to_url": _url,
    "is_url_string": _is_url,
    "url_get_scheme": lambda url: url.scheme,
    "url_get_host": lambda url: url.host,
    "url_get_hostname": _hostname,
    "url_get_port": _port,
    "url_get_escaped_path": _escaped_path,
    "url_get_query": _query,
}
