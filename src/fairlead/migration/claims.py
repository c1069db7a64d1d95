"""Rewrites one pod spec: what its containers count becomes requests of a claim, made from a template for each pod.

* Each container gets the devices that it asked for and no others: one request for each container and resource.
* An init container that ends before the others start used the same devices as they did; it still does, where it asked
  for as many as one of them or several together. Where it asked for another number, it gets a request of its own.
* A network of Multus whose definition names a resource becomes a request with the driver's configuration; the other
  networks stay in the annotation, under the interface that they had. Where the entry says what a claim cannot say,
  all networks of that resource stay: on a node, a driver and a device plugin cannot both have its devices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fairlead.migration.networks import NETWORKS, Network, annotation_of, networks
from fairlead.migration.notes import Note
from fairlead.migration.parts import MOST, NETWORK_DRIVER, Part, split, template
from fairlead.migration.pods import Json, PodSpec, mapping
from fairlead.migration.rules import Request, Rule, find, is_extended

_LABELS: Final = ("nvidia.com/", "amd.com/", "feature.node.kubernetes.io/pci-", "gpu.intel.com/")
_NAME_MAX: Final = 63
_MOST_TOGETHER: Final = 4
"""Requests that are tried together: with many containers there are too many sets of them."""


class PodRewrite:
    """The rewriting of one pod spec; afterwards the spec is changed, and `templates` has its claim templates."""

    def __init__(
        self,
        pod: PodSpec,
        label: str,
        named: Callable[[], str],
        namespace: str,
        rules: Sequence[Rule],
        definitions: Mapping[tuple[str, str], str],
    ) -> None:
        """Rewrites.

        Args:
            pod: is changed.
            label: what the object is called to a person.
            named: gives a new name for a claim template.
            namespace: of the object; empty where it does not say.
            rules: what becomes of which resource.
            definitions: the resource of each NetworkAttachmentDefinition, by namespace and name.
        """
        self.notes: Final[list[Note]] = []
        self.classes: Final[dict[str, str]] = {}
        """Classes that no driver brings, with their selectors."""
        self._pod = pod
        self._label = label
        self._rules = rules
        self._network_resources = set(definitions.values())
        self._staying: set[str] = set()
        """Resources of networks that stay: their counts stay, too."""
        self._parts: list[Part] = []
        self.templates: Final[list[Json]] = []
        if not isinstance(pod.spec.get("resourceClaims") or [], list):
            self._note("left", f"{pod.path}.resourceClaims", "must be a list")
            return
        kept = self._networks(namespace, definitions)
        containers = list(pod.containers())
        for path, container, first in containers:
            if not first:
                self._container(path, container)
        for path, container, first in containers:
            if first:
                self._init_container(path, container)
        for _, container, _ in containers:
            if container.get("resources") == {}:
                del container["resources"]
        if self._parts:
            self._finish(named, namespace)
            self._annotate(kept)
            self._look_at_labels()

    def _note(self, level: Any, path: str, text: str) -> None:
        self.notes.append(Note(level, self._label, path, text))

    def _networks(self, namespace: str, definitions: Mapping[tuple[str, str], str]) -> list[Network] | None:
        """Makes a request of each network that has a resource; gives those that stay, None where nothing is said."""
        annotation = self._pod.annotations.get(NETWORKS)
        if not isinstance(annotation, str):
            return None
        path = f"{self._pod.path.removesuffix('spec')}metadata.annotations[{NETWORKS}]"
        try:
            asked = networks(annotation, namespace or "default")
        except ValueError as error:
            self._note("left", path, f"cannot be read: {error}")
            return None
        resources = [definitions.get((one.namespace, one.name)) for one in asked]
        self._staying = {resource for resource, one in zip(resources, asked, strict=True) if resource and one.more}
        kept: list[Network] = []
        for number, (resource, network) in enumerate(zip(resources, asked, strict=True), 1):
            label = f"network {network.namespace}/{network.name}"
            interface = network.interface or f"net{number}"
            if resource is None or resource in self._staying:
                # Multus numbers the interfaces of those that are left.
                kept.append(network if len(kept) == number - 1 else replace(network, interface=interface))
            if resource is None:
                text = f"{label} stays: its NetworkAttachmentDefinition is not in the input, or names no resource"
                self._note("look", path, text)
            elif network.more:
                self._note("left", path, f"{label} stays: a claim cannot say {', '.join(network.more)}")
            elif resource in self._staying:
                self._note("left", path, f"{label} stays: another network of {resource} stays")
            else:
                request = self._request(resource)
                self._parts.append(Part(request, resource, 1, self._unused(request.name), [], network, interface))
                self._note("changed", path, f"{label} becomes request {self._parts[-1].name}, as interface {interface}")
        return kept

    def _request(self, resource: str) -> Request:
        """The request for a resource of a network."""
        found = find(self._rules, resource)
        if found is not None:
            return found[1]
        selector = f"device.attributes['k8s.cni.cncf.io'].resourceName == '{resource}'"
        return Request(NETWORK_DRIVER, "nic", selector)

    def _container(self, path: str, container: Json) -> None:
        for resource, count in self._taken(path, container):
            for part in self._parts:
                # The networks that the pod asks for are what the first container that counts the resource counts.
                if part.network is not None and part.resource == resource and not part.users and count:
                    part.users.append(container)
                    count -= 1
            if count:
                self._add(path, container, resource, count)

    def _init_container(self, path: str, container: Json) -> None:
        for resource, count in self._taken(path, container):
            if used := self._adding_up(resource, count):
                for part in used:
                    part.users.append(container)
                names = " and ".join(part.name for part in used)
                text = f"{resource} uses the devices of request{'s' * (len(used) > 1)} {names} before the others do"
                self._note("changed", path, text)
            else:
                part = self._add(path, container, resource, count)
                self._note("look", path, f"the devices of request {part.name} stay with the pod when {path} has ended")

    def _adding_up(self, resource: str, count: int) -> tuple[Part, ...]:
        """The fewest requests that have so many devices together; none where there are no such."""
        parts = [one for one in self._parts if one.resource == resource]
        several = (
            some
            for size in range(1, min(len(parts), _MOST_TOGETHER) + 1)
            for some in itertools.combinations(parts, size)
        )
        return next((some for some in several if sum(one.count for one in some) == count), ())

    def _add(self, path: str, container: Json, resource: str, count: int) -> Part:
        found = find(self._rules, resource)
        request = self._request(resource)
        name = self._unused(request.name, container.get("name", ""))
        part = Part(request, resource, count, name, [container])
        self._parts.append(part)
        what = f"{count} {'device' if count == 1 else 'devices'} of class {request.device_class}"
        where = f", where {request.selector}" if request.selector else ""
        self._note("changed", f"{path}.resources", f"{resource}: {count} becomes request {name}: {what}{where}")
        if found is not None and found[0].note:
            self._note("look", f"{path}.resources", f"{resource}: {found[0].note}")
        if found is not None and found[0].class_selector:
            self.classes[request.device_class] = found[0].class_selector
        return part

    def _taken(self, path: str, container: Json) -> Iterator[tuple[str, int]]:
        """Takes what is known out of a container's resources; gives each resource with its count."""
        resources = container.get("resources")
        if not isinstance(resources, dict):
            return
        asked: dict[str, tuple[str, Any]] = {}
        for key in ("requests", "limits"):
            asked |= {resource: (key, amount) for resource, amount in mapping(resources.get(key)).items()}
        for resource, (key, amount) in asked.items():
            if not is_extended(resource) or resource in self._staying:
                continue
            where = f"{path}.resources.{key}[{resource}]"
            if find(self._rules, resource) is None and resource not in self._network_resources:
                self._note("left", where, "no rule says what this is; give one with --map")
                continue
            try:
                count = int(str(amount))
            except ValueError:
                count = -1
            if not 0 <= count <= MOST:
                self._note(
                    "left", where, f"Invalid value: {amount!r}: must be a whole number up to {MOST}, as one claim holds"
                )
                continue
            for key in ("requests", "limits"):
                part = resources.get(key)
                if isinstance(part, dict) and part.pop(resource, None) is not None and not part:
                    del resources[key]
            if count:
                yield resource, count
            else:
                self._note("changed", f"{path}.resources", f"{resource}: 0 is taken out")

    def _unused(self, base: str, container: str = "") -> str:
        used = {part.name for part in self._parts}
        if base not in used:
            return base
        name = f"{container}-{base}"[-_NAME_MAX:].strip("-") if container else base
        number = 2
        while name in used:
            name = f"{base}-{number}"
            number += 1
        return name

    def _finish(self, named: Callable[[], str], namespace: str) -> None:
        for part in self._parts:
            if not part.users:
                # The plugin's webhook gave it to the first container.
                part.users += [container for _, container, first in self._pod.containers() if not first][:1]
        claims = self._pod.spec["resourceClaims"] = self._pod.spec.get("resourceClaims") or []
        groups = split(self._parts)
        for parts in groups:
            name = named()
            taken = {one.get("name") for one in claims if isinstance(one, dict)}
            claim = next(one for one in ("devices", *(f"devices-{n}" for n in range(2, 99))) if one not in taken)
            claims.append({"name": claim, "resourceClaimTemplateName": name})
            for part in parts:
                for container in part.users:
                    resources = container["resources"] = container.get("resources") or {}
                    used = resources["claims"] = resources.get("claims") or []
                    used.append({"name": claim, "request": part.name})
            self.templates.append(template(name, namespace, parts))
        if len(groups) > 1:
            self._note("look", self._pod.path, f"has {len(groups)} claims, since one holds {MOST} devices at most")

    def _annotate(self, kept: list[Network] | None) -> None:
        if kept is None:
            return
        annotations = self._pod.metadata["annotations"]
        if kept:
            annotations[NETWORKS] = annotation_of(kept)
            return
        del annotations[NETWORKS]
        if not annotations:
            del self._pod.metadata["annotations"]

    def _look_at_labels(self) -> None:
        path = self._pod.path
        found = {f"{path}.nodeSelector[{label}]": label for label in mapping(self._pod.spec.get("nodeSelector"))}
        affinity = mapping(mapping(self._pod.spec.get("affinity")).get("nodeAffinity"))
        found |= {f"{path}.affinity.nodeAffinity: {label}": label for label in _keys(affinity)}
        for place in sorted(place for place, label in found.items() if label.startswith(_LABELS)):
            self._note(
                "look",
                place,
                "stays, and still needs whatever labels the nodes; a selector in the claim can say it of the device",
            )


def _keys(value: Any) -> Iterator[str]:
    """The labels of all expressions below a value."""
    if isinstance(value, list):
        for item in value:
            yield from _keys(item)
    elif isinstance(value, dict):
        if isinstance(value.get("key"), str):
            yield value["key"]
        for item in value.values():
            yield from _keys(item)
