"""What lists and watches look like.

Objects in lists and events stay undecoded here; whoever knows their kind decodes them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fairlead.kubernetes import ServerError, Status
from fairlead.resource import ObjectMeta

_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends a streaming list."""


def at_admission(message: str) -> bool:
    """Whether an error says that an admission webhook did not let a write pass: it was not stored."""
    return "admission webhook " in message or "failed calling webhook " in message


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """Of which version a list is, and where its next page begins."""

    resource_version: str = "0"
    next: str = msgspec.field(default="", name="continue")


class List(msgspec.Struct):
    """A page of a list."""

    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """A line of a watch."""

    type: str
    object: msgspec.Raw


class Bookmark(msgspec.Struct):
    """How far a watch has come."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def ends_list(self) -> bool:
        """Whether all objects that there were when the watch began have been told."""
        return self.metadata.annotations.get(_INITIAL_EVENTS_END) == "true"


decode_event = msgspec.json.Decoder(WatchEvent).decode
decode_bookmark = msgspec.json.Decoder(Bookmark).decode
decode_list = msgspec.json.Decoder(List).decode


def error_in(event: msgspec.Raw) -> ServerError:
    """What an ERROR event of a watch says."""
    status = msgspec.json.decode(event, type=Status)
    return ServerError(status.code, status.message)
