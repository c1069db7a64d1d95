"""From one value, or the JSON text of one, to an object in its list.

Every object ends up in `Objects`, in `skipped`, or as a `Problem`. Objects of v1 in JSON are decoded straight into
structs; whatever that refuses, and all YAML, is examined field by field.

`apiVersion` of an object stays as it was written, so that later problems can name fields as the document does; the
object itself has the shape of v1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from fairlead.resource.base import KubeObject
from fairlead.resource.budget import PodDisruptionBudget
from fairlead.resource.claim import DeviceClass, ResourceClaim, ResourceClaimTemplate
from fairlead.resource.codec import Number, decode_hook
from fairlead.resource.defaults import default_claim, default_pod, default_pod_spec, default_template
from fairlead.resource.manifest.convert import GROUP, SERVED, V1, group_of, path_as_written, to_v1
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.schema import Finding, examine, shape_of, strict_twin
from fairlead.resource.manifest.text import TextError, decode_text, parse_json
from fairlead.resource.manifest.workloads import Workload, read_pod_sets, suspended
from fairlead.resource.problem import Problem, duplicate, invalid, object_label, required
from fairlead.resource.slice import ResourceSlice
from fairlead.resource.taint import DeviceTaintRule
from fairlead.resource.workload import Node, Pod, PodGroup

COMPUTE_DOMAIN: Final = "ComputeDomain.resource.nvidia.com"
PROBLEMS_MAX: Final = 1000
FINDINGS_MAX: Final = 100

_STRUCTS: Final[dict[str, type[KubeObject]]] = {
    "ResourceSlice": ResourceSlice,
    "ResourceClaim": ResourceClaim,
    "ResourceClaimTemplate": ResourceClaimTemplate,
    "DeviceClass": DeviceClass,
    "DeviceTaintRule": DeviceTaintRule,
    "Node": Node,
    "Pod": Pod,
    "PodGroup": PodGroup,
    "PodDisruptionBudget": PodDisruptionBudget,
}
_CLUSTER_SCOPED: Final = frozenset({"ResourceSlice", "DeviceClass", "DeviceTaintRule", "Node"})
# Groups that a known kind belongs to; the same kind in another group is another kind.
_GROUPS: Final = {kind: group_of(versions[0]) for kind, versions in SERVED.items()}
_DEFAULTS: Final[dict[str, Callable[[Any], Any]]] = {
    "ResourceClaim": default_claim,
    "ResourceClaimTemplate": default_template,
    "Pod": default_pod,
}


class Head(msgspec.Struct, rename="camel"):
    """What says how to read the rest of an object."""

    api_version: str = ""
    kind: str = ""
    items: list[msgspec.Raw] | None = None


decode_head: Final = msgspec.json.Decoder(Head).decode
_decoders: Final = {
    kind: msgspec.json.Decoder(struct, dec_hook=decode_hook, float_hook=Number) for kind, struct in _STRUCTS.items()
}
_twins: Final = {
    kind: msgspec.json.Decoder(strict_twin(struct)) for kind, struct in _STRUCTS.items() if _GROUPS[kind] == GROUP
}


class HopelessError(Exception):
    """One input has so many problems that the rest of it is not worth reading."""


class Collector:
    """Collects objects and problems over all inputs, and knows which names are taken."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.problems: list[Problem] = []
        self._most = PROBLEMS_MAX
        self._lists: dict[str, list[Any]] = {
            "ResourceSlice": self.objects.slices,
            "ResourceClaim": self.objects.claims,
            "ResourceClaimTemplate": self.objects.templates,
            "DeviceClass": self.objects.classes,
            "DeviceTaintRule": self.objects.taint_rules,
            "Node": self.objects.nodes,
            "Pod": self.objects.pods,
            "PodGroup": self.objects.pod_groups,
            "PodDisruptionBudget": self.objects.budgets,
        }

    def start_source(self) -> None:
        """Begins to count the problems of a new input."""
        self._most = len(self.problems) + PROBLEMS_MAX

    @property
    def seen(self) -> int:
        """How much was read so far, to tell an input without anything in it."""
        return len(self.problems) + len(self.objects.sources) + sum(self.objects.skipped.values())

    def report(self, object: str, field: str, reason: str, source: str) -> None:
        """Files a problem; HopelessError when the input has had too many."""
        self.problems.append(Problem(object, field, reason, source))
        if len(self.problems) >= self._most:
            raise HopelessError

    def add_raw(self, raw: msgspec.Raw, source: str, label: str, outer: Head | None) -> None:
        """The object that a JSON text holds; `outer` is the list that it is an item of."""
        try:
            head = decode_head(raw)
            kind = head.kind or _item_kind(outer)
            version = head.api_version or (outer.api_version if outer else "")
            if kind in _STRUCTS and version in SERVED[kind] and (version == V1 or _GROUPS[kind] != GROUP):
                if kind in _twins:
                    _twins[kind].decode(raw)
                self._add(_decoders[kind].decode(raw), kind, version, source)
                return
        except (msgspec.MsgspecError, RecursionError, ValueError):
            pass
        try:
            for document in parse_json(decode_text(bytes(raw))):
                self.add_document(document, source, label, outer)
        except TextError as error:
            self.report(label, "", str(error), source)

    def add_document(self, document: Any, source: str, label: str, outer: Head | None = None) -> None:
        """The object, or the list of objects, that a value stands for."""
        try:
            self._add_value(document, source, label, outer)
        except RecursionError:
            self.report(label, "", "nested too deeply", source)

    def _add_value(self, document: Any, source: str, label: str, outer: Head | None) -> None:
        if not isinstance(document, dict):
            self.report(label, "", invalid(document, "must be an object"), source)
            return
        kind = document.get("kind") or _item_kind(outer)
        version = document.get("apiVersion") or (outer.api_version if outer else "")
        for field, value in (("apiVersion", version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                reason = invalid(value, "must be a string") if value else required("says what an object is")
                self.report(label, field, reason, source)
                return
        if kind.endswith("List") and isinstance(document.get("items"), list):
            head = Head(version, kind)
            for index, item in enumerate(document["items"]):
                prefix = f"{label}: " if label else ""
                self.add_document(item, source, f"{prefix}items[{index}]", head)
            return
        where = f"{source}: {label}" if label.startswith("document") else source
        self._add_object({**document, "kind": kind, "apiVersion": version}, kind, version, where, label)

    def _add_object(self, document: dict[str, Any], kind: str, version: str, source: str, label: str) -> None:
        metadata = document.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        name = metadata.get("name") if isinstance(metadata.get("name"), str) else ""
        namespace = metadata.get("namespace") if isinstance(metadata.get("namespace"), str) else ""
        group = group_of(version)
        if kind not in _CLUSTER_SCOPED and not namespace:
            namespace = "default"
        title = object_label(kind, namespace or "", name) if name else f"{kind} {label}".rstrip()
        if _GROUPS.get(kind) != group:
            self._add_workload(document, kind, group, name or "", namespace or "", source, title)
            return
        if version not in SERVED[kind]:
            known = ", ".join(SERVED[kind])
            reason = f'no matches for kind "{kind}" in version "{version}": understood are {known}'
            self.report(title, "apiVersion", reason, source)
            return
        strict = group == GROUP
        value, findings = examine(to_v1(document), shape_of(_STRUCTS[kind]), strict=strict)
        findings = [_as_written(finding, version, kind) for finding in findings]
        if not self._note(findings, title, source):
            return
        self._add(msgspec.convert(value, _STRUCTS[kind], dec_hook=decode_hook), kind, version, source)

    def _add_workload(
        self, document: dict[str, Any], kind: str, group: str, name: str, namespace: str, source: str, title: str
    ) -> None:
        owner = object_label(kind, namespace, name).replace('"', "")
        pod_sets, findings = read_pod_sets(document, kind, name, owner)
        if not pod_sets and not findings:
            full = f"{kind}.{group}" if group else kind
            if full == COMPUTE_DOMAIN:
                self._note_promise(document, namespace, title)
            self.objects.skipped[full] = self.objects.skipped.get(full, 0) + 1
            return
        head, wrong = examine(document, shape_of(KubeObject), strict=False)
        if not self._note(wrong + findings, title, source):
            return
        base = msgspec.convert(head, KubeObject)
        pod_sets = [
            replace(pods, template=replace(pods.template, spec=default_pod_spec(pods.template.spec)))
            for pods in pod_sets
        ]
        workload = Workload(
            api_version=base.api_version,
            kind=base.kind,
            metadata=base.metadata,
            pod_sets=pod_sets,
            suspended=suspended(document),
        )
        self._keep(workload, kind, source, self.objects.workloads, group)

    def _note_promise(self, document: dict[str, Any], namespace: str, title: str) -> None:
        """NVIDIA's controller makes a ResourceClaimTemplate for each ComputeDomain, under the name it gives."""
        value: Any = document
        for field in ("spec", "channel", "resourceClaimTemplate", "name"):
            value = value.get(field) if isinstance(value, dict) else None
        if isinstance(value, str):
            self.objects.promised[namespace, value] = title

    def _note(self, findings: list[Finding], title: str, source: str) -> bool:
        """Files what was found; False when the object can not be used."""
        usable = True
        for finding in findings[:FINDINGS_MAX]:
            if finding.severity == "warning":
                self.objects.warnings.append(Problem(title, finding.path, finding.reason, source))
            else:
                self.report(title, finding.path, finding.reason, source)
        for finding in findings:
            usable = usable and finding.severity != "error"
        if len(findings) > FINDINGS_MAX:
            self.report(title, "", f"and {len(findings) - FINDINGS_MAX} more problems", source)
        return usable

    def _add(self, item: Any, kind: str, version: str, source: str) -> None:
        default = _DEFAULTS.get(kind)
        if default is not None:
            item = default(item)
        if not item.kind or not item.api_version:
            item = replace(item, kind=kind, api_version=version)
        self._keep(item, kind, source, self._lists[kind])

    def _keep(self, item: Any, kind: str, source: str, target: list[Any], group: str = "") -> None:
        meta = item.metadata
        if not meta.namespace and kind not in _CLUSTER_SCOPED:
            meta = replace(meta, namespace="default")
            item = replace(item, metadata=meta)
        if meta.name:
            key = (kind, meta.namespace, meta.name)
            first = self.objects.sources.get(key)
            if first is not None and any(
                other.name == meta.name
                and other.namespace == meta.namespace
                and other.kind == kind
                and group_of(other.api_version) == group_of(item.api_version)
                for other in target
            ):
                reason = f"{duplicate(meta.name)}: already exists in {first}"
                title = object_label(kind, meta.namespace, meta.name)
                self.report(title, "metadata.name", reason, source)
                return
            self.objects.sources[key] = source
        target.append(item)


def _as_written(finding: Finding, version: str, kind: str) -> Finding:
    path = path_as_written(version, kind, finding.path)
    if path == finding.path:
        return finding
    return Finding(path, finding.reason.replace(finding.path, path), finding.severity)


def _item_kind(outer: Head | None) -> str:
    """The kind of the items of a `ResourceSliceList`, which need not say it themselves."""
    return outer.kind.removesuffix("List") if outer else ""
