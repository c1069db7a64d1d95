"""Finds pod specs in objects of any kind, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
_DEEPEST: Final = 12


@dataclass(slots=True)
class PodSpec:
    """A pod spec inside an object; the values are the object's own, and may be changed."""

    path: str
    """Its field path in the object: `spec.template.spec`."""
    spec: Json
    owner: Json
    """What has the pod's metadata beside the spec: the Pod, or the pod template."""

    @property
    def annotations(self) -> Json:
        """The pod's annotations; empty where there are none."""
        return mapping(mapping(self.owner.get("metadata")).get("annotations"))

    @property
    def metadata(self) -> Json:
        """The pod's metadata, made where there is none."""
        metadata: Json = self.owner.setdefault("metadata", {})
        return metadata

    def containers(self) -> Iterator[tuple[str, Json, bool]]:
        """Field path, container, and whether it ends before the pod's own containers start."""
        for key in ("initContainers", "containers"):
            listed = self.spec.get(key)
            for number, container in enumerate(listed if isinstance(listed, list) else ()):
                if isinstance(container, dict):
                    first = key == "initContainers" and container.get("restartPolicy") != "Always"
                    yield f"{self.path}.{key}[{number}]", container, first


def mapping(value: Any) -> Json:
    """The value where it is an object; else an empty one: a manifest may hold anything anywhere."""
    return value if isinstance(value, dict) else {}


def pod_specs(document: Json) -> Iterator[PodSpec]:
    """The pod specs of an object: its own where it is a Pod, and those of its pod templates, wherever they are."""
    yield from _below(document, "", 0)


def _below(value: Any, path: str, depth: int) -> Iterator[PodSpec]:
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _below(item, f"{path}[{number}]", depth + 1)
    if not isinstance(value, dict):
        return
    spec = value.get("spec")
    if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
        yield PodSpec(f"{path}.spec".lstrip("."), spec, value)
        return
    for key, item in value.items():
        if key not in ("metadata", "status"):
            yield from _below(item, f"{path}.{key}", depth + 1)
