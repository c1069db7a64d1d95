"""Objects that clients send as protocol buffers, as JSON values: client-go writes like that, and never falls back.

Only what clients send is read; answers are JSON, which client-go takes.

Source: the envelope `k8s\\0` and runtime.Unknown of k8s.io/apimachinery.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from fairlead.conformance.apiserver.protobuf_fields import MESSAGES
from fairlead.conformance.wire import WireError, decode, inner, number, text

MEDIA: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"


class ProtobufError(ValueError):
    """The body cannot be read."""


def read(data: bytes) -> dict[str, Any]:
    """The object in a body.

    Raises:
        ProtobufError: it is none, or of a kind that is not known.
    """
    if not data.startswith(_MAGIC):
        raise ProtobufError("does not begin with the magic of Kubernetes' protocol buffers")
    try:
        envelope = decode(data[len(_MAGIC) :])
        meta = (inner(envelope, 1) or [{}])[0]
        version, kind = text(meta, 1), text(meta, 2)
        if kind not in MESSAGES:
            raise ProtobufError(f"{version} {kind}: is not known in this form")
        raw = envelope.get(2, [b""])[-1]
        item = _message(kind, bytes(raw))
    except (WireError, TypeError, ValueError) as error:
        raise ProtobufError(str(error)) from None
    if isinstance(item.get("metadata"), dict):
        # Go writes texts and numbers that are not there as empty ones.
        item["metadata"] = {key: value for key, value in item["metadata"].items() if value not in ("", 0, None)}
    return {"apiVersion": version, "kind": kind, **item}


def _message(kind: str, data: bytes) -> dict[str, Any]:
    item: dict[str, Any] = {}
    fields = MESSAGES[kind]
    for place, values in decode(data).items():
        if place not in fields:
            continue
        name, wanted = fields[place]
        many, _, one = wanted.rpartition(" ")
        if not name:
            item |= _message(one, bytes(values[-1]))
        elif many == "list":
            item[name] = [_value(one, value) for value in values]
        elif many == "map":
            entries = [decode(bytes(value)) for value in values]
            item[name] = {text(entry, 1): _value(one, entry.get(2, [b""])[-1]) for entry in entries}
        else:
            item[name] = _value(one, values[-1])
    return item


def _value(kind: str, value: Any) -> Any:
    if kind in ("int64", "int32"):
        return number({1: [value]}, 1)
    if kind == "bool":
        return bool(value)
    if kind == "string":
        return text({1: [value]}, 1)
    if kind == "quantity":
        return text(decode(bytes(value)), 1)
    if kind == "time":
        seconds = number(decode(bytes(value)), 1)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else None
    if kind == "raw":
        raw = decode(bytes(value)).get(1, [b"null"])[-1]
        return json.loads(bytes(raw))
    return _message(kind, bytes(value))
