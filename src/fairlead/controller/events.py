"""What goes into the core and what comes out of it, as values.

In: what a list or a watch says (`Listed`, `Seen`, `Gone`), and what became of a write (`Written`, `Refused`). Out:
`Write`s, each one request to the API server. A write that is based on a version of an object is refused by the server
once the object has changed (409); no write depends on another in the same batch, so they may run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fairlead.resource import KubeObject

Kind = Literal["Node", "Pod", "PodGroup", "ResourceClaim", "ResourceSlice", "DeviceClass", "DeviceTaintRule"]
"""The kinds that are watched."""

KINDS: Final[tuple[Kind, ...]] = (
    "Node",
    "Pod",
    "PodGroup",
    "ResourceClaim",
    "ResourceSlice",
    "DeviceClass",
    "DeviceTaintRule",
)

Purpose = Literal["finalizer", "allocate", "clear", "unpin", "unprotect", "open", "evict", "say", "mark", "touch"]

UNKNOWN_OUTCOME: Final = 0
"""Status of a `Refused` where nobody knows whether the server did it: no answer, or an error of the server."""


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of a kind, as of a resource version: at the start, or because a watch had to start over."""

    kind: Kind
    objects: Sequence[KubeObject]
    version: int


@dataclass(frozen=True, slots=True)
class Seen:
    """An object was added or modified."""

    kind: Kind
    object: KubeObject


@dataclass(frozen=True, slots=True)
class Gone:
    """An object was deleted; this is how it was at last."""

    kind: Kind
    object: KubeObject


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One request.

    finalizer, unprotect: a merge patch of a claim's metadata. allocate, clear, unpin: a merge patch of a claim's
    status. open: a JSON patch of a pod that removes our gate. evict: an Eviction of a pod. say: an Event about a pod,
    to be created. mark: a strategic merge patch of a pod's status that sets our condition. touch: a merge patch of a
    claim's metadata that makes a new version of it.
    """

    purpose: Purpose
    kind: Literal["ResourceClaim", "Pod", "Event"]
    namespace: str
    name: str
    uid: str
    version: int
    """The resource version of the object that the write was made for."""
    body: Any
    """JSON values."""

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Written:
    """The server did a write and answered with the object as it is now; with nothing for an Event or an Eviction."""

    write: Write
    object: KubeObject | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not do a write, or (`UNKNOWN_OUTCOME`) may have done it."""

    write: Write
    status: int
    message: str
    retry_after: float = 0.0
    """Seconds that the server asks to be left alone for."""


Event = Listed | Seen | Gone | Written | Refused


def version_of(item: KubeObject) -> int:
    """The resource version as a number: newer ones are greater (Kubernetes promises that from 1.35 on)."""
    text = item.metadata.resource_version
    return int(text) if text.isdigit() else 0
