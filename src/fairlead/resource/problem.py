"""What is wrong with an input, and where: the value that reading, validation and expansion report.

A problem never stops the work on other objects. `reason` is worded as the API server words it, so that a search
for the text finds what users of Kubernetes already wrote about it.

Source of the wordings: `k8s.io/apimachinery` util/validation/field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

_SHOWN = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which object, at which field, why, and in which input."""

    object: str
    field: str
    reason: str
    source: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.object, self.field, self.reason) if part)

    def at(self, source: str) -> Problem:
        """The same problem, found in `source`."""
        return replace(self, source=source)


def object_label(kind: str, namespace: str, name: str) -> str:
    """`ResourceSlice "gpu-node-1"`, or `Pod "ml/trainer"`."""
    return f'{kind} "{namespace}/{name}"' if namespace else f'{kind} "{name}"'


def quoted(value: Any) -> str:
    """A value as the API server shows it: JSON, shortened in the middle when long."""
    if isinstance(value, float):
        text = str(getattr(value, "text", value))
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        except (RecursionError, ValueError):
            text = f"<{type(value).__name__}>"
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"
    return text


def required(detail: str = "") -> str:
    """Reason: the field has no value."""
    return _with_detail("Required value", detail)


def invalid(value: Any, detail: str) -> str:
    """Reason: the value breaks a rule."""
    return _with_detail(f"Invalid value: {quoted(value)}", detail)


def duplicate(value: Any) -> str:
    """Reason: the value stands twice where it may stand once."""
    return f"Duplicate value: {quoted(value)}"


def forbidden(detail: str) -> str:
    """Reason: the value would be fine under other conditions."""
    return f"Forbidden: {detail}"


def unsupported(value: Any, supported: Iterable[str]) -> str:
    """Reason: the value is not among those that the API knows."""
    return f"Unsupported value: {quoted(value)}: supported values: {', '.join(quoted(name) for name in supported)}"


def too_many(actual: int, most: int) -> str:
    """Reason: a list or map has too many entries."""
    return f"Too many: {actual}: must have at most {most} {'item' if most == 1 else 'items'}"


def too_long(most: int) -> str:
    """Reason: a text has too many bytes; it is not shown."""
    return f"Too long: may not be more than {most} bytes"


def not_found(value: Any) -> str:
    """Reason: what the value names is not there."""
    return f"Not found: {quoted(value)}"


def unknown_field(path: str) -> str:
    """Reason: the API has no such field (the wording of strict decoding)."""
    return f'unknown field "{path}"'


def _with_detail(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason
