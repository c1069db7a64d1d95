"""DeviceClasses that answer for resources by name, so that workloads may stay as they are (KEP-5004).

A class with `spec.extendedResourceName: nvidia.com/gpu` lets kube-scheduler make the claim of a pod that counts
`nvidia.com/gpu`. What such a class cannot say is per claim: networks with their configuration, and shares of a device.
On a node whose device plugin still offers the resource, the plugin wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.migration.pods import mapping
from fairlead.migration.rules import Request, Rule, plain_rule

Json = dict[str, Any]


def class_for(resource: str, request: Request, selector: str, classes: Mapping[str, str]) -> Json | None:
    """The class that answers for a resource; None where its own selectors are not known.

    Args:
        resource: its name.
        request: what it is.
        selector: of its class, where no driver brings that.
        classes: the selectors of the classes that drivers bring with them.
    """
    own = classes.get(request.device_class, selector)
    if not own:
        return None
    expressions = [own, *([request.selector] if request.selector else [])]
    same = request.device_class in classes and not request.selector
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        # The driver's own class where it has just these devices; else one named after the resource.
        "metadata": {"name": request.device_class if same else _name(resource)},
        "spec": {
            "extendedResourceName": resource,
            "selectors": [{"cel": {"expression": expression}} for expression in expressions],
        },
    }


def answering(documents: Iterable[Json]) -> dict[str, str]:
    """Resources for which DeviceClasses of the input answer already, with the names of the classes."""
    found = {}
    for name, spec in _classes(documents):
        if isinstance(resource := spec.get("extendedResourceName"), str):
            found[resource] = name
    return found


def answers(documents: Iterable[Json]) -> list[Rule]:
    """A rule for each resource for which a DeviceClass of the input answers already."""
    return [plain_rule(resource, name) for resource, name in answering(documents).items()]


def selectors(documents: Iterable[Json]) -> dict[str, str]:
    """The selectors of the input's DeviceClasses, by name: several are one that asks for all."""
    found = {}
    for name, spec in _classes(documents):
        given = spec.get("selectors")
        parts = [
            mapping(mapping(one).get("cel")).get("expression") for one in (given if isinstance(given, list) else ())
        ]
        texts = [text for text in parts if isinstance(text, str)]
        if texts:
            found[name] = texts[0] if len(texts) == 1 else " && ".join(f"({text})" for text in texts)
    return found


def _classes(documents: Iterable[Json]) -> Iterable[tuple[str, Json]]:
    for one in documents:
        name = mapping(one.get("metadata")).get("name")
        if one.get("kind") == "DeviceClass" and isinstance(name, str):
            yield name, mapping(one.get("spec"))


def plain_class(name: str, selector: str) -> Json:
    """A class that no driver brings with it."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": selector}}]},
    }


def _name(resource: str) -> str:
    domain, _, name = resource.partition("/")
    return f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.{domain.lower()}"
