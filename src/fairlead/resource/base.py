"""What every API object has: kind, metadata, node and label selectors.

The structs of this package hold what allocation needs and no more; fields that Kubernetes knows and we do not
need are not decoded. A struct is a value: nothing in Fairlead changes one after it was read.

Source of the field names and defaults: `k8s.io/apimachinery` meta/v1 and `k8s.io/api` core/v1, 1.37.
"""

from __future__ import annotations

import msgspec


class Model(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all API structs: JSON names in camel case, defaults left out when written."""


class OwnerReference(Model, frozen=True, gc=False):
    """`metadata.ownerReferences[]`: who created this object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class ObjectMeta(Model, frozen=True):
    """`metadata`: name, namespace, labels and what controllers look at."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    owner_references: list[OwnerReference] = []

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that makes the object again; None where nobody does."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class KubeObject(Model, frozen=True):
    """An object of the API: `apiVersion`, `kind` and `metadata`."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = ObjectMeta()

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`; empty for cluster-scoped objects."""
        return self.metadata.namespace

    @property
    def key(self) -> str:
        """`namespace/name`, or the name alone where there is no namespace."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class NodeSelectorRequirement(Model, frozen=True, gc=False):
    """One comparison: `operator` is In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class NodeSelectorTerm(Model, frozen=True):
    """All requirements must hold; an empty term matches nothing."""

    match_expressions: list[NodeSelectorRequirement] = []
    match_fields: list[NodeSelectorRequirement] = []


class NodeSelector(Model, frozen=True):
    """Any one of the terms must hold."""

    node_selector_terms: list[NodeSelectorTerm] = []


class LabelSelectorRequirement(Model, frozen=True, gc=False):
    """One comparison on labels: `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str = ""
    operator: str = ""
    values: list[str] = []


class LabelSelector(Model, frozen=True):
    """All of `matchLabels` and `matchExpressions` must hold; an empty selector matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: list[LabelSelectorRequirement] = []
