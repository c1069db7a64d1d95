"""What pods ask of Multus: networks by annotation, each of a NetworkAttachmentDefinition that names a resource.

Source: the Kubernetes Network Custom Resource Definition De-facto Standard 1.3: the annotation
`k8s.v1.cni.cncf.io/networks` is a JSON list, or `[NAMESPACE/]NAME[@INTERFACE]` separated by commas; a definition names
the resource of a device plugin in its own annotation `k8s.v1.cni.cncf.io/resourceName`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fairlead.migration.pods import mapping

NETWORKS: Final = "k8s.v1.cni.cncf.io/networks"
_RESOURCE: Final = "k8s.v1.cni.cncf.io/resourceName"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Network:
    """One network that a pod asks for."""

    namespace: str
    name: str
    interface: str = ""
    """What the interface is called in the pod; empty where the plugin chooses."""
    more: tuple[str, ...] = ()
    """Other members of its entry, which a claim cannot say."""
    entry: Any = None
    """As it stands in the annotation."""


def networks(annotation: str, namespace: str) -> list[Network]:
    """The networks of an annotation.

    Args:
        annotation: its value.
        namespace: of the pod.

    Raises:
        ValueError: it is neither form.
    """
    if annotation.lstrip().startswith("["):
        entries = json.loads(annotation)
        if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in entries):
            raise ValueError("an entry has no name")
        return [
            Network(
                one.get("namespace") or namespace,
                one["name"],
                one.get("interface", ""),
                tuple(sorted(one.keys() - {"name", "namespace", "interface"})),
                one,
            )
            for one in entries
        ]
    found = []
    for entry in filter(None, (part.strip() for part in annotation.split(","))):
        place, _, interface = entry.partition("@")
        space, slash, name = place.rpartition("/")
        found.append(Network(space if slash else namespace, name, interface, (), entry))
    return found


def annotation_of(left: Iterable[Network]) -> str:
    """The annotation that asks for these networks, in the form in which they were written; empty for none."""
    entries = [_named(one) for one in left]
    if all(isinstance(one, str) for one in entries):
        return ",".join(entries)
    return json.dumps(entries)


def _named(network: Network) -> Any:
    """A network's entry, with the interface that it is to have."""
    entry, interface = network.entry, network.interface
    if isinstance(entry, str):
        return entry if not interface or "@" in entry else f"{entry}@{interface}"
    return entry | {"interface": interface} if interface else entry


def resources(documents: Iterable[Json]) -> dict[tuple[str, str], str]:
    """The resource of each NetworkAttachmentDefinition that names one, by namespace and name."""
    found = {}
    for document in documents:
        if document.get("kind") == "NetworkAttachmentDefinition":
            metadata = mapping(document.get("metadata"))
            resource = mapping(metadata.get("annotations")).get(_RESOURCE)
            if isinstance(resource, str):
                found[metadata.get("namespace") or "default", str(metadata.get("name"))] = resource
    return found
