"""DeviceClasses that answer for resources by name, so that workloads may stay as they are (KEP-5004).

A class with `spec.extendedResourceName: nvidia.com/gpu` lets kube-scheduler make the claim of a pod that counts
`nvidia.com/gpu`. What such a class cannot say is per claim: networks with their configuration, and shares of a device.
On a node whose device plugin still offers the resource, the plugin wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fairlead.migration.rules import Request

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
