"""Reads manifests: files, directories, standard input and text, in YAML and JSON, of every served version.

Every object ends up in `Objects`, in `skipped`, or as a `Problem`; nothing a user can write ends in an exception,
and an unreadable document leaves the others readable. Objects of v1 in JSON are decoded straight into structs; a
dump of 40 MB takes about a second. Whatever that refuses is decoded to plain values and examined field by field.

`apiVersion` of an object stays as it was written, so that later problems can name fields as the document does; the
object itself has the shape of v1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from fairlead.resource.base import KubeObject
from fairlead.resource.claim import DeviceClass, ResourceClaim, ResourceClaimTemplate
from fairlead.resource.codec import Number, collector_paused, decode_hook
from fairlead.resource.defaults import default_claim, default_pod, default_pod_spec, default_template
from fairlead.resource.manifest.convert import GROUP, SERVED, V1, group_of, path_as_written, to_v1
from fairlead.resource.manifest.objects import Objects
from fairlead.resource.manifest.schema import Finding, examine, shape_of, strict_twin
from fairlead.resource.manifest.text import TextError, decode_text, parse_json, parse_yaml, split_documents
from fairlead.resource.manifest.workloads import Workload, read_pod_sets
from fairlead.resource.problem import Problem, duplicate, invalid, object_label, required
from fairlead.resource.slice import ResourceSlice
from fairlead.resource.taint import DeviceTaintRule
from fairlead.resource.workload import Node, Pod, PodGroup

STDIN: Final = "<stdin>"
COMPUTE_DOMAIN: Final = "ComputeDomain.resource.nvidia.com"
PROBLEMS_MAX: Final = 1000
FINDINGS_MAX: Final = 100
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})

_STRUCTS: Final[dict[str, type[KubeObject]]] = {
    "ResourceSlice": ResourceSlice,
    "ResourceClaim": ResourceClaim,
    "ResourceClaimTemplate": ResourceClaimTemplate,
    "DeviceClass": DeviceClass,
    "DeviceTaintRule": DeviceTaintRule,
    "Node": Node,
    "Pod": Pod,
    "PodGroup": PodGroup,
}
_CLUSTER_SCOPED: Final = frozenset({"ResourceSlice", "DeviceClass", "DeviceTaintRule", "Node"})
# Groups that a known kind belongs to; the same kind in another group is another kind.
_GROUPS: Final = {kind: group_of(versions[0]) for kind, versions in SERVED.items()}
_DEFAULTS: Final[dict[str, Callable[[Any], Any]]] = {
    "ResourceClaim": default_claim,
    "ResourceClaimTemplate": default_template,
    "Pod": default_pod,
}


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    items: list[msgspec.Raw] | None = None


_head = msgspec.json.Decoder(_Head)
_decoders: Final = {
    kind: msgspec.json.Decoder(struct, dec_hook=decode_hook, float_hook=Number) for kind, struct in _STRUCTS.items()
}
_twins: Final = {
    kind: msgspec.json.Decoder(strict_twin(struct)) for kind, struct in _STRUCTS.items() if _GROUPS[kind] == GROUP
}


def read_paths(paths: Sequence[str], stdin: Callable[[], bytes] | None = None) -> tuple[Objects, list[Problem]]:
    """All objects under the paths, and what is wrong with them; `-` stands for standard input."""
    reader = _Reader()
    with collector_paused():
        for path in paths:
            if path == "-":
                if stdin is None:
                    reader.problems.append(Problem("", "", "standard input is not available", STDIN))
                else:
                    reader.read(stdin(), STDIN)
                continue
            for file in _files(path, reader.problems):
                try:
                    data = file.read_bytes()
                except OSError as error:
                    reader.problems.append(Problem("", "", error.strerror or str(error), str(file)))
                    continue
                reader.read(data, str(file))
    return reader.objects, reader.problems


def read_text(data: bytes, source: str) -> tuple[Objects, list[Problem]]:
    """All objects of one text; `source` is what problems call it."""
    reader = _Reader()
    with collector_paused():
        reader.read(data, source)
    return reader.objects, reader.problems


def _files(path: str, problems: list[Problem]) -> list[Path]:
    root = Path(path)
    if root.is_dir():
        found = sorted(file for file in root.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if not found:
            problems.append(Problem("", "", "the directory holds no *.yaml, *.yml or *.json file", path))
        return found
    if not root.exists():
        problems.append(Problem("", "", "no such file or directory", path))
        return []
    return [root]


class _HopelessError(Exception):
    """One input has so many problems that the rest of it is not worth reading."""


class _Reader:
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
        }

    def read(self, data: bytes, source: str) -> None:
        """Everything in one text, as far as it makes sense."""
        self._most = len(self.problems) + PROBLEMS_MAX
        try:
            self._read(data, source)
        except _HopelessError:
            reason = f"more than {PROBLEMS_MAX} problems, the rest is not read"
            self.problems.append(Problem("", "", reason, source))

    def _report(self, object: str, field: str, reason: str, source: str) -> None:
        self.problems.append(Problem(object, field, reason, source))
        if len(self.problems) >= self._most:
            raise _HopelessError

    def _read(self, data: bytes, source: str) -> None:
        before = len(self.problems) + len(self.objects.sources) + sum(self.objects.skipped.values())
        if data[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and self._read_json(data, source):
            return
        try:
            text = decode_text(data)
        except TextError as error:
            self._report("", "", str(error), source)
            return
        looks_like_json = text.lstrip().startswith(("{", "["))
        if looks_like_json and self._read_plain_json(text, source):
            return
        pieces = list(split_documents(text))
        number = 0
        for piece, line in pieces:
            try:
                documents = parse_yaml(piece, line)
            except TextError as error:
                number += 1
                label = f"document {number}" if len(pieces) > 1 else ""
                self._report(label, "", str(error), source)
                continue
            except RecursionError:
                number += 1
                self._report(f"document {number}", "", "nested too deeply", source)
                continue
            for document in documents:
                number += 1
                if document is not None:
                    single = len(pieces) == 1 and len(documents) == 1
                    self._add_document(document, source, "" if single else f"document {number}")
        after = len(self.problems) + len(self.objects.sources) + sum(self.objects.skipped.values())
        if after == before and not number:
            self._report("", "", "holds no objects", source)

    def _read_json(self, data: bytes, source: str) -> bool:
        """Reads one JSON value straight into structs; False when it is none, with nothing read."""
        try:
            head = _head.decode(data.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return False
        if head.kind.endswith("List") and head.items is not None:
            for index, item in enumerate(head.items):
                self._add_raw(item, source, f"items[{index}]", head)
        else:
            self._add_raw(msgspec.Raw(data), source, "", None)
        return True

    def _read_plain_json(self, text: str, source: str) -> bool:
        """Reads JSON values one after the other; False when the text is YAML of the flow style."""
        number = 0
        try:
            for number, document in enumerate(parse_json(text), 1):
                self._add_document(document, source, f"document {number}")
        except TextError as error:
            if number == 0 and not source.endswith(".json") and self._is_yaml(text):
                return False
            label = f"document {number + 1}" if number else ""
            self._report(label, "", str(error), source)
        return True

    @staticmethod
    def _is_yaml(text: str) -> bool:
        """Whether a text that opens with a brace and is no JSON reads as YAML, or was meant as a template."""
        if text.lstrip().startswith("{{"):
            return True
        try:
            return bool(parse_yaml(text))
        except (TextError, RecursionError):
            return False

    def _add_raw(self, raw: msgspec.Raw, source: str, label: str, outer: _Head | None) -> None:
        try:
            head = _head.decode(raw)
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
                self._add_document(document, source, label, outer)
        except TextError as error:
            self._report(label, "", str(error), source)

    def _add_document(self, document: Any, source: str, label: str, outer: _Head | None = None) -> None:
        try:
            self._add_value(document, source, label, outer)
        except RecursionError:
            self._report(label, "", "nested too deeply", source)

    def _add_value(self, document: Any, source: str, label: str, outer: _Head | None) -> None:
        if not isinstance(document, dict):
            self._report(label, "", invalid(document, "must be an object"), source)
            return
        kind = document.get("kind") or _item_kind(outer)
        version = document.get("apiVersion") or (outer.api_version if outer else "")
        for field, value in (("apiVersion", version), ("kind", kind)):
            if not isinstance(value, str) or not value:
                reason = invalid(value, "must be a string") if value else required("says what an object is")
                self._report(label, field, reason, source)
                return
        if kind.endswith("List") and isinstance(document.get("items"), list):
            head = _Head(version, kind)
            for index, item in enumerate(document["items"]):
                prefix = f"{label}: " if label else ""
                self._add_document(item, source, f"{prefix}items[{index}]", head)
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
            self._report(title, "apiVersion", reason, source)
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
        workload = Workload(api_version=base.api_version, kind=base.kind, metadata=base.metadata, pod_sets=pod_sets)
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
                self._report(title, finding.path, finding.reason, source)
        for finding in findings:
            usable = usable and finding.severity != "error"
        if len(findings) > FINDINGS_MAX:
            self._report(title, "", f"and {len(findings) - FINDINGS_MAX} more problems", source)
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
                self._report(title, "metadata.name", reason, source)
                return
            self.objects.sources[key] = source
        target.append(item)


def _as_written(finding: Finding, version: str, kind: str) -> Finding:
    path = path_as_written(version, kind, finding.path)
    if path == finding.path:
        return finding
    return Finding(path, finding.reason.replace(finding.path, path), finding.severity)


def _item_kind(outer: _Head | None) -> str:
    """The kind of the items of a `ResourceSliceList`, which need not say it themselves."""
    return outer.kind.removesuffix("List") if outer else ""
