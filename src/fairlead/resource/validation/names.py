"""The kinds of names in the API, and the words in which the API server refuses the wrong ones.

The `*_faults` functions return what is wrong with a name, nothing when it is right; they are cached, since the same
few thousand names stand on every device of a cluster.

Source: `k8s.io/apimachinery` api/validate/content and util/validation; validateQualifiedName, validatePoolName and
ValidateCSIDriverName of `k8s.io/kubernetes`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from fairlead.resource.problem import invalid, required, too_long
from fairlead.resource.validation.errors import Errors

DRIVER_NAME_MAX: Final = 63
POOL_NAME_MAX: Final = 253
IDENTIFIER_MAX: Final = 32

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_KEY: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_label = re.compile(_LABEL)
_subdomain = re.compile(_SUBDOMAIN)
_key = re.compile(_KEY)
_identifier = re.compile(_IDENTIFIER)

_ENDS: Final = "and must start and end with an alphanumeric character"
_LABEL_FAULT: Final = (
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS} "
    f"(e.g. 'my-name', or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_FAULT: Final = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS} "
    rf"(e.g. 'example.com', regex used for validation is '{_LABEL}(\.{_LABEL})*')"
)
_KEY_FAULT: Final = (
    f"must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
    f"(e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '{_KEY}')"
)
_VALUE_FAULT: Final = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
    f"(e.g. 'MyValue', or 'my_value', or '12345', regex used for validation is '({_KEY})?')"
)
_IDENTIFIER_FAULT: Final = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    f"characters or '_' (e.g. 'my_name', or 'MY_NAME', or 'MyName', regex used for validation is '{_IDENTIFIER}')"
)

Faults = tuple[str, ...]


@lru_cache(maxsize=1 << 14)
def label_faults(value: str) -> Faults:
    """DNS labels: requests, devices, counters."""
    faults = _length(value, 63, "characters")
    if not _label.fullmatch(value):
        faults += ("must not contain dots",) if _subdomain.fullmatch(value) else (_LABEL_FAULT,)
    return faults


@lru_cache(maxsize=1 << 14)
def subdomain_faults(value: str) -> Faults:
    """DNS subdomains: nodes, classes, the names of most objects."""
    faults = _length(value, 253, "characters")
    return faults if _subdomain.fullmatch(value) else (*faults, _SUBDOMAIN_FAULT)


@lru_cache(maxsize=1 << 14)
def label_key_faults(value: str) -> Faults:
    """Keys of labels, taints and conditions: a name with an optional domain before it."""
    domain, slash, name = value.rpartition("/")
    if "/" in domain:
        return (
            f"a valid label key {_KEY_FAULT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        )
    faults: Faults = ()
    if slash and not domain:
        faults = ("prefix part must be non-empty",)
    elif slash:
        found = _length(domain, 253) + (() if _subdomain.fullmatch(domain) else (_SUBDOMAIN_FAULT,))
        faults = tuple(f"prefix part {fault}" for fault in found)
    if not name:
        return (*faults, "name part must be non-empty", f"name part {_KEY_FAULT}")
    faults += tuple(f"name part {fault}" for fault in _length(name, 63))
    return faults if _key.fullmatch(name) else (*faults, f"name part {_KEY_FAULT}")


@lru_cache(maxsize=1 << 14)
def label_value_faults(value: str) -> Faults:
    """Values of labels and taints."""
    faults = _length(value, 63)
    return faults if not value or _key.fullmatch(value) else (*faults, _VALUE_FAULT)


@lru_cache(maxsize=1 << 14)
def driver_reasons(value: str) -> Faults:
    """Why this is no driver name: a subdomain of at most 63 bytes in any case."""
    if not value:
        return (required(),)
    reasons = (too_long(DRIVER_NAME_MAX),) if len(value.encode()) > DRIVER_NAME_MAX else ()
    return reasons + tuple(invalid(value, fault) for fault in subdomain_faults(value.lower()))


@lru_cache(maxsize=1 << 14)
def pool_reasons(value: str) -> Faults:
    """Why this is no pool name: subdomains with slashes between them."""
    if not value:
        return (required(),)
    reasons = (too_long(POOL_NAME_MAX),) if len(value.encode()) > POOL_NAME_MAX else ()
    return reasons + tuple(invalid(part, fault) for part in value.split("/") for fault in subdomain_faults(part))


@lru_cache(maxsize=1 << 14)
def qualified_reasons(value: str) -> Faults:
    """Why this is no name of an attribute or capacity: an identifier with an optional domain before it."""
    parts = value.split("/")
    if len(parts) == 1:
        return _identifier_reasons(value)
    if len(parts) > 2:
        return ()  # the API server accepts it, and says of itself that it should not
    domain, name = parts
    reasons = driver_reasons(domain) if domain else (invalid("", "the domain must not be empty"),)
    return reasons + (_identifier_reasons(name) if name else (invalid("", "the name must not be empty"),))


@lru_cache(maxsize=1 << 12)
def fully_qualified_reasons(value: str) -> Faults:
    """Why this is no name of an attribute with its domain. A domain in upper case is none here, unlike in a slice."""
    parts = value.split("/")
    if len(parts) == 1:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        return (*_identifier_reasons(value), invalid(value, detail))
    if len(parts) > 2:
        return ()
    domain, name = parts
    reasons: Faults = (too_long(DRIVER_NAME_MAX),) if len(domain.encode()) > DRIVER_NAME_MAX else ()
    if domain:
        reasons += tuple(invalid(domain, f"prefix: {fault}") for fault in subdomain_faults(domain))
    else:
        reasons += (invalid("", "prefix must not be empty"),)
    return reasons + (_identifier_reasons(name) if name else (invalid("", "name must not be empty"),))


def check_label(errors: Errors, value: str, path: str) -> None:
    """A DNS label."""
    for fault in label_faults(value):
        errors.add(path, invalid(value, fault))


def check_subdomain(errors: Errors, value: str, path: str) -> None:
    """A DNS subdomain."""
    for fault in subdomain_faults(value):
        errors.add(path, invalid(value, fault))


def check_required_subdomain(errors: Errors, value: str, path: str) -> None:
    """A DNS subdomain that has to be there."""
    if value:
        check_subdomain(errors, value, path)
    else:
        errors.add(path, required())


def check_required_label(errors: Errors, value: str, path: str) -> None:
    """A DNS label that has to be there."""
    if value:
        check_label(errors, value, path)
    else:
        errors.add(path, required())


def check_label_key(errors: Errors, value: str, path: str) -> None:
    """The key of a label."""
    for fault in label_key_faults(value):
        errors.add(path, invalid(value, fault))


def check_label_value(errors: Errors, value: str, path: str) -> None:
    """The value of a label."""
    for fault in label_value_faults(value):
        errors.add(path, invalid(value, fault))


def check_driver(errors: Errors, value: str, path: str) -> None:
    """The name of a driver."""
    for reason in driver_reasons(value):
        errors.add(path, reason)


def check_pool(errors: Errors, value: str, path: str) -> None:
    """The name of a pool."""
    for reason in pool_reasons(value):
        errors.add(path, reason)


def check_qualified(errors: Errors, value: str, path: str) -> None:
    """The name of an attribute or capacity."""
    for reason in qualified_reasons(value):
        errors.add(path, reason)


def check_fully_qualified(errors: Errors, value: str, path: str) -> None:
    """The name of an attribute with its domain."""
    for reason in fully_qualified_reasons(value):
        errors.add(path, reason)


def _identifier_reasons(value: str) -> Faults:
    reasons = (too_long(IDENTIFIER_MAX),) if len(value.encode()) > IDENTIFIER_MAX else ()
    return reasons if _identifier.fullmatch(value) else (*reasons, invalid(value, _IDENTIFIER_FAULT))


def _length(value: str, most: int, unit: str = "bytes") -> Faults:
    """Bytes are counted in any case; the API server names them so for labels, and characters for names."""
    return (f"must be no more than {most} {unit}",) if len(value.encode()) > most else ()
