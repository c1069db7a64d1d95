"""Named formats: ``format.dns1123Label().validate(text)`` and its relatives.

Mirrors ``k8s.io/apiserver/pkg/cel/library/format.go`` and the validations of apimachinery it calls: ``validate`` is
none for valid text, else the list of what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final

from fairlead.cel.library.urls import parse_request_uri
from fairlead.cel.runtime import GO_NAMES, STRICT_EQUALITY, TYPE_NAMES
from fairlead.cel.temporal import Timestamp
from fairlead.cel.values import NONE, Optional, Value

_Validator = Callable[[str], list[str]]


@final
class Format:
    """``regex_size`` is the length of the pattern that costs assume."""

    __slots__ = ("name", "regex_size", "validate")

    def __init__(self, name: str, regex_size: int, validate: _Validator) -> None:
        self.name = name
        self.regex_size = regex_size
        self.validate = validate

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


TYPE_NAMES[Format] = "kubernetes.NamedFormat"
GO_NAMES[Format] = "cel.Format"
STRICT_EQUALITY.add(Format)

_LABEL_1123: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL_1123}(\.{_LABEL_1123})*"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE: Final = f"({_QUALIFIED})?"
_UUID: Final = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"
_DATETIME: Final = "^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"
_BASE64: Final = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"
_DATETIME_TEXT: Final = re.compile(
    r"(?i)(\d{4}-\d{2}-\d{2})t([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})"
)
_LABEL_MESSAGE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character"
)
_SUBDOMAIN_MESSAGE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character"
)
_LABEL_1035_MESSAGE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_NAME_MESSAGE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_VALUE_MESSAGE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)


def _regex_error(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def _too_long(text: str, limit: int) -> list[str]:
    return [f"must be no more than {limit} bytes"] if len(text.encode()) > limit else []


def _label(text: str) -> list[str]:
    problems = _too_long(text, 63)
    if not re.fullmatch(_LABEL_1123, text):
        if re.fullmatch(_SUBDOMAIN, text):
            problems.append("must not contain dots")
        else:
            problems.append(_regex_error(_LABEL_MESSAGE, _LABEL_1123, "my-name", "123-abc"))
    return problems


def _subdomain(text: str) -> list[str]:
    problems = _too_long(text, 253)
    if not re.fullmatch(_SUBDOMAIN, text):
        problems.append(_regex_error(_SUBDOMAIN_MESSAGE, _SUBDOMAIN, "example.com"))
    return problems


def _label_1035(text: str) -> list[str]:
    problems = _too_long(text, 63)
    if not re.fullmatch(_LABEL_1035, text):
        problems.append(_regex_error(_LABEL_1035_MESSAGE, _LABEL_1035, "my-name", "abc-123"))
    return problems


def _qualified_name(text: str) -> list[str]:
    parts = text.split("/")
    problems: list[str] = []
    if len(parts) > 2:
        message = _regex_error(f"a valid label key {_NAME_MESSAGE}", _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"{message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {problem}" for problem in _subdomain(parts[0])]
    name = parts[-1]
    if not name:
        problems.append("name part must be non-empty")
    problems += [f"name part {problem}" for problem in _too_long(name, 63)]
    if not re.fullmatch(_QUALIFIED, name):
        problems.append(_regex_error(f"name part {_NAME_MESSAGE}", _QUALIFIED, "MyName", "my.name", "123-abc"))
    return problems


def _label_value(text: str) -> list[str]:
    problems = _too_long(text, 63)
    if not re.fullmatch(_LABEL_VALUE, text):
        problems.append(_regex_error(_VALUE_MESSAGE, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return problems


def _prefix_of(validate: _Validator) -> _Validator:
    """For names that will be appended to: a trailing dash is fine."""

    def check(text: str) -> list[str]:
        # Kubernetes drops two characters here, not one.
        return validate(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)

    return check


def _uri(text: str) -> list[str]:
    try:
        parse_request_uri(text)
    except ValueError as error:
        return [str(error)]
    return []


def _pattern(pattern: str, message: str) -> _Validator:
    compiled = re.compile(pattern)
    return lambda text: [] if compiled.fullmatch(text) else [message]


def _is_date(text: str) -> bool:
    try:
        Timestamp.parse(f"{text}T00:00:00Z")
    except ValueError:
        return False
    return True


def _date(text: str) -> list[str]:
    return [] if _is_date(text) else ["invalid date"]


def _datetime(text: str) -> list[str]:
    match = _DATETIME_TEXT.fullmatch(text)
    valid = match is not None and _is_date(match[1]) and int(match[2]) < 24 and int(match[3]) < 60
    return [] if valid and match is not None and int(match[4]) < 60 else ["invalid datetime"]


FORMATS: Final = {
    "dns1123Label": Format("DNS1123Label", 30, _label),
    "dns1123Subdomain": Format("DNS1123Subdomain", 60, _subdomain),
    "dns1035Label": Format("DNS1035Label", 30, _label_1035),
    "qualifiedName": Format("QualifiedName", 60, _qualified_name),
    "dns1123LabelPrefix": Format("DNS1123LabelPrefix", 30, _prefix_of(_label)),
    "dns1123SubdomainPrefix": Format("DNS1123SubdomainPrefix", 60, _prefix_of(_subdomain)),
    "dns1035LabelPrefix": Format("DNS1035LabelPrefix", 30, _prefix_of(_label_1035)),
    "labelValue": Format("LabelValue", 40, _label_value),
    "uri": Format("URI", 1103, _uri),
    "uuid": Format("uuid", len(_UUID), _pattern(_UUID, "does not match the UUID format")),
    "byte": Format("byte", 84, _pattern(_BASE64, "invalid base64")),
    "date": Format("date", len(_DATETIME), _date),
    "datetime": Format("datetime", len(_DATETIME), _datetime),
}

TABLE: Final = "\n".join(
    [
        "validate format-validate format.(string) -> optional(list(string))",
        "format.named format-named (string) -> optional(format)",
        *(f"format.{name} format.{name} () -> format" for name in FORMATS),
    ]
)


def _validate(format: Format, text: str) -> Optional:
    problems = format.validate(text)
    return Optional(True, problems) if problems else NONE


def _named(name: str) -> Optional:
    return Optional(True, FORMATS[name]) if name in FORMATS else NONE


def _constant(format: Format) -> Callable[[], Format]:
    return lambda: format


IMPLEMENTATIONS: Final[dict[str, Callable[..., Value]]] = {
    "format-validate": _validate,
    "format-named": _named,
    **{f"format.{name}": _constant(format) for name, format in FORMATS.items()},
}
