"""AdmissionReview (`admission.k8s.io/v1`): what the API server asks, and what it is answered.

Only the update of a claim's status can take devices; everything else passes. Of these only a write that adds devices
is looked at: one that repeats, removes, reserves or reports passes, of a claim too that should not hold what it holds.
A dry run is answered as if it were none, and nothing is held for it.

A no is 403 and not 409: who gets a conflict tries the same devices again. What cannot be answered now is 503 with the
seconds to wait, on which clients of Kubernetes try again by themselves.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from fairlead.controller.events import version_of
from fairlead.controller.lock.index import Index, taken
from fairlead.resource import Model, ResourceClaim, decode_hook

_RETRY: Final = (1, 2, 3, 4, 5)
"""Seconds of which who cannot be answered now is told one: thousands may wait, and must not come back all at once."""
_SHOWN: Final = 3
"""Conflicts that a message names."""


class GroupResource(Model, frozen=True):
    """What kind of object is written."""

    group: str = ""
    resource: str = ""


class UserInfo(Model, frozen=True):
    """Who writes."""

    username: str = ""


class Request(Model, frozen=True):
    """What somebody wants to write."""

    uid: str
    resource: GroupResource = GroupResource()
    sub_resource: str = ""
    operation: str = ""
    object: ResourceClaim | None = None
    old_object: ResourceClaim | None = None
    dry_run: bool | None = None
    user_info: UserInfo = UserInfo()


class AdmissionReview(Model, frozen=True):
    """What the API server sends."""

    request: Request
    api_version: str = ""
    kind: str = ""


class Details(Model, frozen=True):
    """When to try again."""

    retry_after_seconds: int = 0


class Status(Model, frozen=True, omit_defaults=False):
    """Why not."""

    code: int
    reason: str
    message: str
    status: str = "Failure"
    details: Details | None = None


class Response(Model, frozen=True):
    """Whether it may be written."""

    uid: str
    allowed: bool
    status: Status | None = None


class Answer(Model, frozen=True, omit_defaults=False):
    """What the API server gets."""

    response: Response
    api_version: str = "admission.k8s.io/v1"
    kind: str = "AdmissionReview"


_decode = msgspec.json.Decoder(AdmissionReview, dec_hook=decode_hook).decode


def read(body: bytes) -> Request:
    """The request in a body.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _decode(body).request


def write(response: Response) -> bytes:
    """A response as a body."""
    return msgspec.json.encode(Answer(response))


def review(index: Index | None, request: Request, now: float) -> Response:
    """Decides on a write, and holds what it takes if it may.

    Args:
        index: who holds what; None where that is not known now.
        request: the write.
        now: the clock.
    """
    before, after = request.old_object, request.object
    if not _concerns(request) or before is None or after is None:
        return Response(request.uid, True)
    wanted = taken(before, after)
    if not wanted:
        return Response(request.uid, True)
    if index is None:
        text = f"claim {after.key}: who holds which device is not known here now, try again"
        details = Details(retry_after_seconds=_RETRY[zlib.crc32(request.uid.encode()) % len(_RETRY)])
        return Response(request.uid, False, Status(503, "ServiceUnavailable", text, details=details))
    found = index.conflicts(after, wanted)
    if found:
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        text = "; ".join(map(str, found[:_SHOWN]))
        return Response(request.uid, False, Status(403, "Forbidden", f"claim {after.key}: {text}{more}"))
    if not request.dry_run:
        index.hold(after, version_of(before), wanted, now)
    return Response(request.uid, True)


def _concerns(request: Request) -> bool:
    """Whether it is a write that may take devices."""
    of_claims = (request.resource.group, request.resource.resource) == ("resource.k8s.io", "resourceclaims")
    return of_claims and request.sub_resource == "status" and request.operation == "UPDATE"
