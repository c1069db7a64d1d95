"""Claims and slices for tests of the lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from builders import DRIVER, convert
from fairlead.controller import Gone, Listed, Seen
from fairlead.controller.lock import Index, Request, Response, review
from fairlead.controller.lock.review import GroupResource
from fairlead.resource import ResourceClaim, ResourceSlice

POOL = "node-1"


def result(device: str, **fields: Any) -> dict[str, Any]:
    """One allocated device; `consumed` are amounts of a share."""
    if consumed := fields.pop("consumed", None):
        fields["consumedCapacity"] = consumed
    return {"request": "r", "driver": DRIVER, "pool": POOL, "device": device, **fields}


def claim(name: str, version: int, *devices: str | Mapping[str, Any], pods: Sequence[str] = ()) -> ResourceClaim:
    """A claim in namespace `ml` as the server has it in a version; without devices it has no allocation."""
    status: dict[str, Any] = {}
    if devices:
        results = [result(one) if isinstance(one, str) else one for one in devices]
        status["allocation"] = {"devices": {"results": results}}
    if pods:
        status["reservedFor"] = [{"resource": "pods", "name": pod, "uid": f"uid-{pod}"} for pod in pods]
    raw = {
        "metadata": {"name": name, "namespace": "ml", "uid": f"uid-{name}", "resourceVersion": str(version)},
        "status": status,
    }
    made: ResourceClaim = convert(ResourceClaim, raw)
    return made


def index(slices: Sequence[Mapping[str, Any]], claims: Sequence[ResourceClaim] = (), version: int = 10) -> Index:
    """An index that was told all of it."""
    made = Index()
    made.handle(Listed("ResourceSlice", [convert(ResourceSlice, one) for one in slices], version))
    made.handle(Listed("ResourceClaim", list(claims), version))
    assert made.synced
    return made


def ask(
    where: Index, before: ResourceClaim, after: ResourceClaim, *, dry_run: bool = False, now: float = 0.0
) -> Response:
    """What is said to a write of the status of `before`."""
    meta = replace(after.metadata, resource_version=before.metadata.resource_version)
    request = Request(
        "u",
        resource=GroupResource("resource.k8s.io", "resourceclaims"),
        sub_resource="status",
        operation="UPDATE",
        object=replace(after, metadata=meta),
        old_object=before,
        dry_run=dry_run,
    )
    return review(where, request, now)


def give(where: Index, name: str, *devices: str | Mapping[str, Any], base: int = 1, **more: Any) -> Response:
    """What is said to giving an empty claim devices."""
    return ask(where, claim(name, base), claim(name, base, *devices), **more)


def no(response: Response) -> str:
    """The message of a refusal."""
    assert not response.allowed
    assert response.status is not None
    assert response.status.code == 403
    return response.status.message


def shown(where: Index, item: ResourceClaim) -> None:
    """The watch shows a claim."""
    where.handle(Seen("ResourceClaim", item))


def gone(where: Index, item: ResourceClaim) -> None:
    """The watch shows that a claim is gone; its version is that of the deletion."""
    where.handle(Gone("ResourceClaim", item))
