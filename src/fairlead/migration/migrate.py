"""Goes over a set of objects, and rewrites what counts the devices of a device plugin."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fairlead.migration.claims import PodRewrite
from fairlead.migration.classes import answering, class_for, plain_class, selectors
from fairlead.migration.networks import NETWORKS, resources
from fairlead.migration.notes import Note
from fairlead.migration.parts import template_name
from fairlead.migration.pods import mapping, pod_specs
from fairlead.migration.rules import Rule, find, is_extended

Json = dict[str, Any]
_FIXED = {
    "Job": "the pod template of a Job cannot be changed: delete the Job, and create this one",
    "Pod": "a Pod's resources cannot be changed: delete the Pod, and create this one",
}


@dataclass(slots=True)
class Migration:
    """What became of the objects."""

    documents: list[Json] = field(default_factory=list)
    """All objects, in the order of the input; what is new stands before what uses it."""
    origins: list[int | None] = field(default_factory=list)
    """For each of them which object of the input it is; None for what is new."""
    notes: list[Note] = field(default_factory=list)

    def add(self, document: Json, origin: int | None) -> None:
        """One more object."""
        self.documents.append(document)
        self.origins.append(origin)


def migrate(
    documents: Sequence[Json],
    rules: Sequence[Rule],
    classes: Mapping[str, str],
    target: Literal["claims", "extended-resources"],
) -> Migration:
    """What a set of objects becomes.

    Args:
        documents: objects of any kind, which are not changed.
        rules: what becomes of which resource, the first that fits.
        classes: the selectors of the DeviceClasses that drivers bring with them.
        target: claims in the workloads, or DeviceClasses that answer for resources by name.
    """
    if target == "extended-resources":
        return _to_classes(documents, rules, classes)
    return _to_claims(documents, rules)


def _to_claims(documents: Sequence[Json], rules: Sequence[Rule]) -> Migration:
    migration = Migration()
    definitions = resources(documents)
    names = {(_namespace(one), _name(one)) for one in documents if one.get("kind") == "ResourceClaimTemplate"}
    made = {_name(one) for one in documents if one.get("kind") == "DeviceClass"}
    for origin, document in enumerate(documents):
        changed = copy.deepcopy(document)
        if changed.get("kind") == "ResourceQuota":
            migration.notes += _quota(changed, rules)
        if changed.get("kind") == "LimitRange":
            migration.notes += _limits(changed, rules)
        templates: list[Json] = []
        for pod in list(pod_specs(changed)):
            namespace = _namespace(document)

            def named(document: Json = document, path: str = pod.path, namespace: str = namespace) -> str:
                taken = (name for space, name in names if space == namespace)
                name = template_name(_name(document), path, taken)
                names.add((namespace, name))
                return name

            rewrite = PodRewrite(pod, _label(document), named, namespace, rules, definitions)
            migration.notes += rewrite.notes
            templates += rewrite.templates
            for device_class, selector in rewrite.classes.items():
                if device_class not in made:
                    made.add(device_class)
                    migration.add(plain_class(device_class, selector), None)
                    text = f"is new: no driver brings it; it has the devices where {selector}"
                    migration.notes.append(Note("look", f'DeviceClass "{device_class}"', "", text))
        if templates and document.get("kind") in _FIXED:
            migration.notes.append(Note("look", _label(document), "", _FIXED[document["kind"]]))
        for template in templates:
            migration.add(template, None)
        migration.add(changed, origin)
    return migration


def _to_classes(documents: Sequence[Json], rules: Sequence[Rule], classes: Mapping[str, str]) -> Migration:
    migration = Migration()
    changed = copy.deepcopy(list(documents))
    given = {_name(one): one for one in changed if one.get("kind") == "DeviceClass"}
    classes = {**classes, **selectors(documents)}
    answered = answering(documents)
    done: set[str] = set()
    for document in documents:
        for path, resource in _counted(document):
            if resource in done:
                continue
            done.add(resource)
            label = _label(document)
            if resource in answered:
                text = f"stays: DeviceClass {answered[resource]} of the input answers for {resource} already"
                migration.notes.append(Note("changed", label, path, text))
                continue
            found = find(rules, resource)
            if found is None:
                migration.notes.append(Note("left", label, path, "no rule says what this is; give one with --map"))
                continue
            rule, request = found
            made = None if request.capacity else class_for(resource, request, rule.class_selector, classes)
            if request.capacity:
                text = "a share of a device cannot be had by a resource's name; use --to claims"
                migration.notes.append(Note("left", label, path, text))
            elif made is None:
                text = f"set spec.extendedResourceName: {resource} in DeviceClass {request.device_class}"
                migration.notes.append(Note("left", label, path, f"its class is not known here: {text}"))
            else:
                name = made["metadata"]["name"]
                same = given.get(name)
                if same is not None and answered.keys() & {mapping(same.get("spec")).get("extendedResourceName")}:
                    text = f"DeviceClass {name} of the input answers for another resource: give a class with --map"
                    migration.notes.append(Note("left", label, path, text))
                    continue
                if same is None:
                    migration.add(made, None)
                else:
                    same["spec"] = {**mapping(same.get("spec")), "extendedResourceName": resource}
                migration.notes.append(
                    Note("changed", label, path, f"stays: DeviceClass {name} answers for {resource}")
                )
                if request.match:
                    text = f"a class cannot say that devices agree in {request.match}; --to claims can"
                    migration.notes.append(Note("look", label, path, text))
                if rule.note:
                    migration.notes.append(Note("look", label, path, rule.note))
        for pod in pod_specs(document):
            if NETWORKS in pod.annotations:
                text = "a network's configuration cannot be had by a resource's name; use --to claims"
                migration.notes.append(Note("left", _label(document), f"metadata.annotations[{NETWORKS}]", text))
    for origin, document in enumerate(changed):
        migration.add(document, origin)
    return migration


def _counted(document: Json) -> Iterator[tuple[str, str]]:
    """Field path and name of each resource of a device plugin that the containers count."""
    for pod in pod_specs(document):
        for path, container, _ in pod.containers():
            asked = container.get("resources")
            for key in ("limits", "requests"):
                part = asked.get(key) if isinstance(asked, dict) else None
                for resource in part if isinstance(part, dict) else ():
                    if is_extended(resource):
                        yield f"{path}.resources.{key}[{resource}]", resource


def _quota(quota: Json, rules: Sequence[Rule]) -> list[Note]:
    """Lets a quota count devices by class; the quota is changed."""
    hard = mapping(quota.get("spec")).get("hard")
    if not isinstance(hard, dict):
        return []
    notes = []
    for key in list(hard):
        resource = key.removeprefix("requests.")
        found = find(rules, resource)
        if resource == key or found is None:
            continue
        try:
            amount = int(str(hard[key]))
        except ValueError:
            notes.append(Note("left", _label(quota), f"spec.hard[{key}]", f"Invalid value: {hard[key]!r}: is no count"))
            continue
        del hard[key]
        counted = f"{found[1].device_class}.deviceclass.resource.k8s.io/devices"
        together = f"{amount + int(hard[counted])}" if counted in hard else str(amount)
        text = f"becomes {counted}: {together}"
        if found[1].selector or counted in hard:
            text += ", which counts all devices of the class together"
        hard[counted] = together
        notes.append(Note("changed", _label(quota), f"spec.hard[{key}]", text))
    return notes


def _limits(limits: Json, rules: Sequence[Rule]) -> list[Note]:
    """Points at what a LimitRange says of devices: nothing can say it of claims."""
    found = []
    listed = mapping(limits.get("spec")).get("limits")
    for number, entry in enumerate(listed if isinstance(listed, list) else ()):
        for key, part in mapping(entry).items():
            for resource in mapping(part):
                if is_extended(resource) and find(rules, resource) is not None:
                    place = f"spec.limits[{number}].{key}[{resource}]"
                    found.append(Note("look", _label(limits), place, "stays, and bounds nothing that claims ask for"))
    return found


def _name(document: Json) -> str:
    metadata = mapping(document.get("metadata"))
    return str(metadata.get("name") or str(metadata.get("generateName") or "pod").rstrip("-"))


def _namespace(document: Json) -> str:
    return str(mapping(document.get("metadata")).get("namespace") or "")


def _label(document: Json) -> str:
    namespace = _namespace(document)
    return f'{document.get("kind", "object")} "{namespace + "/" if namespace else ""}{_name(document)}"'
