"""The kinds of objects that the stand-in serves, and how their lists are merged.

Kinds that drivers read or write, and no more: whoever asks for another gets 404, as from a cluster without it.

Source: `k8s.io/api` 1.37: the markers listType, listMapKey, patchMergeKey and patchStrategy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    has_status: bool = False

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


RESOURCE_GROUP: Final = "resource.k8s.io"
SLICES: Final = Resource(RESOURCE_GROUP, "v1", "resourceslices", "ResourceSlice", False)
CLAIMS: Final = Resource(RESOURCE_GROUP, "v1", "resourceclaims", "ResourceClaim", True, True)
NODES: Final = Resource("", "v1", "nodes", "Node", False, True)
PODS: Final = Resource("", "v1", "pods", "Pod", True, True)
RESOURCES: Final = (
    SLICES,
    CLAIMS,
    Resource(RESOURCE_GROUP, "v1", "resourceclaimtemplates", "ResourceClaimTemplate", True),
    Resource(RESOURCE_GROUP, "v1", "deviceclasses", "DeviceClass", False),
    NODES,
    PODS,
    Resource("", "v1", "namespaces", "Namespace", False, True),
    Resource("", "v1", "configmaps", "ConfigMap", True),
    Resource("", "v1", "events", "Event", True),
    Resource("events.k8s.io", "v1", "events", "Event", True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", True),
)

_SHARED_KEYS: Final[dict[Path, Path]] = {
    ("metadata", "ownerReferences"): ("uid",),
    ("metadata", "finalizers"): (),
    ("status", "conditions"): ("type",),
    ("status", "addresses"): ("type",),
    ("status", "reservedFor"): ("uid",),
}
APPLY_KEYS: Final[dict[Path, Path]] = {
    **_SHARED_KEYS,
    ("status", "devices"): ("driver", "pool", "device", "shareID"),
    ("status", "devices", "conditions"): ("type",),
}
"""Lists that server-side apply merges entry by entry, and what names an entry; empty for lists that are sets."""
STRATEGIC_KEYS: Final[dict[Path, Path]] = {**_SHARED_KEYS, ("spec", "taints"): ("key",)}
"""The same for strategic merge patches."""
