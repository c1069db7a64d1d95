"""Objects of the SR-IOV driver's users, from manifests in a file or a folder: networks, policies, attributes.

* `NetworkAttachmentDefinition` (k8s.cni.cncf.io/v1): what `netAttachDefName` of a claim means. Of its CNI configuration
  the plugin `sriov` is known, with the address plugins `host-local` and `static`. No CNI plugin is run.
* `SriovResourcePolicy` and `DeviceAttributes` (sriovnetwork.k8snetworkplumbingwg.io/v1alpha1): which virtual functions
  are published, with which attributes besides. Without any policy all are.

Drivers do not read the API server for them: mount a ConfigMap, or write `kubectl get net-attach-def -A -o yaml` to a
file. It is read anew at each use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fairlead.drivers.network.discovery import Port
from fairlead.resource import DeviceAttribute

_GROUP = "sriovnetwork.k8snetworkplumbingwg.io/"


class ObjectsError(Exception):
    """A manifest cannot be used; the text names the object, the field and the reason."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What the manifests say."""

    networks: Mapping[tuple[str, str], Mapping[str, Any]]
    """Namespace and name to CNI configuration."""
    policies: Sequence[Mapping[str, Any]]
    attributes: Sequence[tuple[Mapping[str, str], Mapping[str, DeviceAttribute]]]
    """Labels and attributes."""

    def network(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The CNI configuration of a network."""
        return self.networks.get((namespace, name))

    def selected(self, port: Port, node: str) -> dict[str, DeviceAttribute] | None:
        """The attributes that policies give a virtual function; None where policies leave it out."""
        if not self.policies:
            return {}
        for policy in self.policies:
            if not _on_node(policy.get("nodeSelector"), node):
                continue
            for entry in policy.get("configs") or ():
                filters = entry.get("resourceFilters") or ()
                if filters and not any(_filtered(one, port) for one in filters):
                    continue
                wanted = (entry.get("deviceAttributesSelector") or {}).get("matchLabels")
                found: dict[str, DeviceAttribute] = {}
                if wanted:
                    for labels, attributes in self.attributes:
                        if all(labels.get(key) == value for key, value in wanted.items()):
                            found |= attributes
                return found
        return None


def read_objects(path: Path | None) -> Objects:
    """The objects of a file or of the `.yaml`, `.yml` and `.json` files of a folder; none without a path.

    Raises:
        ObjectsError: something is wrong in them, or they cannot be read.
    """
    networks: dict[tuple[str, str], Mapping[str, Any]] = {}
    policies: list[Mapping[str, Any]] = []
    attributes: list[tuple[Mapping[str, str], Mapping[str, DeviceAttribute]]] = []
    for place, one in _documents(path) if path is not None else ():
        metadata = one.get("metadata") or {}
        where = f"{place}: {one.get('kind')} {metadata.get('namespace', 'default')}/{metadata.get('name', '')}"
        spec = one.get("spec") or {}
        group = str(one.get("apiVersion", ""))
        if one.get("kind") == "NetworkAttachmentDefinition":
            key = (metadata.get("namespace") or "default", metadata.get("name") or "")
            networks[key] = _network(spec.get("config"), where)
        elif one.get("kind") == "SriovResourcePolicy" and group.startswith(_GROUP):
            policies.append(spec)
        elif one.get("kind") == "DeviceAttributes" and group.startswith(_GROUP):
            try:
                made = msgspec.convert(spec.get("attributes") or {}, dict[str, DeviceAttribute])
            except msgspec.ValidationError as error:
                raise ObjectsError(f"{where}: spec.attributes: {error}") from None
            attributes.append((metadata.get("labels") or {}, made))
    return Objects(networks, policies, attributes)


def _documents(path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    try:
        endings = (".yaml", ".yml", ".json")
        files = [path] if not path.is_dir() else sorted(one for one in path.iterdir() if one.suffix in endings)
        for file in files:
            for document in yaml.load_all(file.read_text(), yaml.CSafeLoader):
                if isinstance(document, dict):
                    items = document.get("items") if str(document.get("kind", "")).endswith("List") else None
                    yield from ((file, one) for one in (items or [document]) if isinstance(one, dict))
    except OSError as error:
        raise ObjectsError(f"{error.filename or path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ObjectsError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None


def _network(text: Any, where: str) -> Mapping[str, Any]:
    try:
        config = json.loads(text or "{}")
    except (TypeError, ValueError) as error:
        raise ObjectsError(f"{where}: spec.config: is no JSON: {error}") from None
    if isinstance(config, dict) and isinstance(config.get("plugins"), list) and config["plugins"]:
        config = config["plugins"][0]
    if not isinstance(config, dict):
        raise ObjectsError(f"{where}: spec.config: must be an object")
    return config


def _on_node(selector: Any, node: str) -> bool:
    """Only the node's name is known here, not its labels; what asks for other labels does not hold."""
    terms = (selector or {}).get("nodeSelectorTerms")
    if not terms:
        return True
    names = {"metadata.name", "kubernetes.io/hostname"}

    def holds(one: Mapping[str, Any]) -> bool:
        if one.get("key") not in names:
            return False
        values = one.get("values") or ()
        return {"In": node in values, "NotIn": node not in values, "Exists": True}.get(str(one.get("operator")), False)

    return any(
        all(holds(one) for one in (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())))
        for term in terms
    )


def _filtered(wanted: Mapping[str, Any], port: Port) -> bool:
    pci = port.pci
    if pci is None:
        return False
    layer = ("infiniband", "ib") if port.infiniband else ("ethernet", "eth")
    has = {
        "vendors": (f"{pci.vendor:04x}",),
        "devices": (f"{pci.device:04x}",),
        "pciAddresses": (pci.address,),
        "pfNames": (port.parent,),
        "pfPciAddresses": (pci.physical,),
        "drivers": (pci.driver,),
        "linkType": layer,
    }
    for field, values in wanted.items():
        asked = [values] if isinstance(values, str) else values
        if asked and not {str(one).lower() for one in asked} & {one.lower() for one in has.get(field, ())}:
            return False
    return True
