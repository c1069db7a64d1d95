"""Rewrites one pod spec: what its containers count becomes requests of one claim, made from a template for each pod.

* Each container gets the devices that it asked for and no others: one request for each container and resource.
* An init container that ends before the others start used the same devices as they did; it still does, where it asked
  for as many. Where it asked for another number, it gets a request of its own.
* A network of Multus whose definition names a resource becomes a request with the driver's configuration; the other
  networks stay in the annotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fairlead.migration.networks import NETWORKS, Network, annotation_of, networks
from fairlead.migration.notes import Note
from fairlead.migration.pods import Json, PodSpec
from fairlead.migration.rules import Request, Rule, find, is_extended

_NETWORK_DRIVER: Final = "sriovnetwork.k8snetworkplumbingwg.io"
_LABELS: Final = ("nvidia.com/", "amd.com/", "feature.node.kubernetes.io/pci-", "gpu.intel.com/")
_NAME_MAX: Final = 63


@dataclass(slots=True)
class _Part:
    """One request of the claim, and the containers that use it."""

    request: Request
    resource: str
    count: int
    name: str
    users: list[Json] = field(default_factory=list)
    network: Network | None = None
    interface: str = ""


class PodRewrite:
    """The rewriting of one pod spec; afterwards the spec is changed, and `template` has the claim template."""

    def __init__(
        self,
        pod: PodSpec,
        label: str,
        name: str,
        namespace: str,
        rules: Sequence[Rule],
        definitions: Mapping[tuple[str, str], str],
    ) -> None:
        """Rewrites.

        Args:
            pod: is changed.
            label: what the object is called to a person.
            name: what the claim template will be called.
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
        self._parts: list[_Part] = []
        kept = self._networks(namespace, definitions)
        containers = list(pod.containers())
        for path, container, first in containers:
            if not first:
                self._container(path, container)
        for path, container, first in containers:
            if first:
                self._init_container(path, container)
        self.template: Final = self._finish(name, namespace) if self._parts else None
        if self.template is not None:
            self._annotate(kept)
            self._look_at_labels()

    def _note(self, level: Any, path: str, text: str) -> None:
        self.notes.append(Note(level, self._label, path, text))

    def _networks(self, namespace: str, definitions: Mapping[tuple[str, str], str]) -> list[Network] | None:
        """Makes a request of each network that has a resource; gives those that stay, None where nothing is said."""
        annotations = self._pod.owner.get("metadata", {}).get("annotations") or {}
        if not isinstance(annotations.get(NETWORKS), str):
            return None
        path = f"{self._pod.path.removesuffix('spec')}metadata.annotations[{NETWORKS}]"
        try:
            asked = networks(annotations[NETWORKS], namespace or "default")
        except ValueError as error:
            self._note("left", path, f"cannot be read: {error}")
            return None
        kept = []
        for number, network in enumerate(asked, 1):
            resource = definitions.get((network.namespace, network.name))
            label = f"network {network.namespace}/{network.name}"
            if resource is None:
                kept.append(network)
                self._note(
                    "look",
                    path,
                    f"{label} stays: its NetworkAttachmentDefinition is not in the input, or names no resource",
                )
            elif network.more:
                kept.append(network)
                self._note("left", path, f"{label} stays: a claim cannot say {', '.join(network.more)}")
            else:
                interface = network.interface or f"net{number}"
                request = self._request(resource)
                self._parts.append(_Part(request, resource, 1, self._unused(request.name), [], network, interface))
                self._note("changed", path, f"{label} becomes request {self._parts[-1].name}, as interface {interface}")
        return kept

    def _request(self, resource: str) -> Request:
        """The request for a resource of a network."""
        found = find(self._rules, resource)
        if found is not None:
            return found[1]
        selector = f"device.attributes['k8s.cni.cncf.io'].resourceName == '{resource}'"
        return Request(_NETWORK_DRIVER, "nic", selector)

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
            same = [one for one in self._parts if one.resource == resource and one.count == count]
            if same:
                same[0].users.append(container)
                self._note(
                    "changed", path, f"{resource} uses the devices of request {same[0].name} before the others do"
                )
            else:
                part = self._add(path, container, resource, count)
                self._note("look", path, f"the devices of request {part.name} stay with the pod when {path} has ended")

    def _add(self, path: str, container: Json, resource: str, count: int) -> _Part:
        found = find(self._rules, resource)
        request = self._request(resource)
        name = self._unused(request.name, container.get("name", ""))
        part = _Part(request, resource, count, name, [container])
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
        asked: Json = {}
        for key in ("requests", "limits"):
            if isinstance(resources.get(key), dict):
                asked |= resources[key]
        for resource, amount in asked.items():
            if not is_extended(resource):
                continue
            where = f"{path}.resources.limits[{resource}]"
            if find(self._rules, resource) is None and resource not in self._network_resources:
                self._note("left", where, "no rule says what this is; give one with --map")
                continue
            try:
                count = int(str(amount))
            except ValueError:
                count = -1
            if not 0 <= count <= 32:
                self._note(
                    "left", where, f"Invalid value: {amount!r}: must be a whole number up to 32, as one claim holds"
                )
                continue
            for key in ("requests", "limits"):
                part = resources.get(key)
                if isinstance(part, dict) and part.pop(resource, None) is not None and not part:
                    del resources[key]
            if count:
                yield resource, count

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

    def _finish(self, name: str, namespace: str) -> Json:
        for part in self._parts:
            if not part.users:
                # The plugin's webhook gave it to the first container.
                part.users += [container for _, container, first in self._pod.containers() if not first][:1]
        claims = self._pod.spec.setdefault("resourceClaims", [])
        taken = {one.get("name") for one in claims if isinstance(one, dict)}
        claim = next(one for one in ("devices", *(f"devices-{n}" for n in range(2, 99))) if one not in taken)
        claims.append({"name": claim, "resourceClaimTemplateName": name})
        for part in self._parts:
            for container in part.users:
                container.setdefault("resources", {}).setdefault("claims", []).append(
                    {"name": claim, "request": part.name}
                )
        for _, container, _ in self._pod.containers():
            if container.get("resources") == {}:
                del container["resources"]
        devices: Json = {"requests": [_written(part) for part in self._parts]}
        if configs := [_config(part) for part in self._parts if part.network is not None]:
            devices["config"] = configs
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": metadata,
            "spec": {"spec": {"devices": devices}},
        }

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
        selector = self._pod.spec.get("nodeSelector") or {}
        for label in sorted(one for one in selector if one.startswith(_LABELS)):
            self._note(
                "look",
                f"{self._pod.path}.nodeSelector[{label}]",
                "stays, and still needs whatever labels the nodes; a selector in the claim can say it of the device",
            )


def _written(part: _Part) -> Json:
    exactly: Json = {"deviceClassName": part.request.device_class}
    if part.request.selector:
        exactly["selectors"] = [{"cel": {"expression": part.request.selector}}]
    if part.count > 1:
        exactly["count"] = part.count
    if part.request.capacity:
        exactly["capacity"] = {"requests": dict(part.request.capacity)}
    return {"name": part.name, "exactly": exactly}


def _config(part: _Part) -> Json:
    assert part.network is not None
    return {
        "requests": [part.name],
        "opaque": {
            "driver": _NETWORK_DRIVER,
            "parameters": {
                "apiVersion": f"{_NETWORK_DRIVER}/v1alpha1",
                "kind": "VfConfig",
                "ifName": part.interface,
                "netAttachDefName": part.network.name,
                "netAttachDefNamespace": part.network.namespace,
            },
        },
    }


def template_name(name: str, path: str, taken: Iterable[str]) -> str:
    """What a claim template is called: after the workload, and the pod template where it has several."""
    used = set(taken)
    parts = [part for part in re.split(r"[^a-zA-Z0-9]+", path) if part.lower() not in ("spec", "template", "")]
    middle = "-".join(parts).lower()
    wanted = [f"{name}-devices", f"{name}-{middle}-devices", *(f"{name}-devices-{n}" for n in range(2, 999))]
    return next(one for one in wanted if one not in used and "--" not in one)
