"""The rules for `metadata`, and for selectors of nodes.

Source: ValidateObjectMeta, ValidateTemplateObjectMeta and ValidateNodeSelector of `k8s.io/kubernetes`.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource.base import NodeSelector, NodeSelectorRequirement, ObjectMeta
from fairlead.resource.problem import forbidden, invalid, required, too_long
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.names import (
    check_label_key,
    check_subdomain,
    label_faults,
    label_key_faults,
    label_value_faults,
    subdomain_faults,
)

ANNOTATIONS_MAX: Final = 256 * 1024


def check_metadata(errors: Errors, meta: ObjectMeta, namespaced: bool) -> None:
    """Name, namespace, labels and annotations of an object whose name is a DNS subdomain."""
    if meta.name:
        check_subdomain(errors, meta.name, "metadata.name")
    elif not meta.generate_name:
        errors.add("metadata.name", required("name or generateName is required"))
    if meta.generate_name:
        # What follows the prefix is alphanumeric, so a dash may end it.
        for fault in subdomain_faults(meta.generate_name.rstrip("-") or meta.generate_name):
            errors.add("metadata.generateName", invalid(meta.generate_name, fault))
    if namespaced:  # of others the API server clears it
        for fault in label_faults(meta.namespace) if meta.namespace else ():
            errors.add("metadata.namespace", invalid(meta.namespace, fault))
    check_labels(errors, meta.labels, "metadata.labels")
    check_annotations(errors, meta.annotations, "metadata.annotations")


def check_template_metadata(errors: Errors, meta: ObjectMeta, path: str) -> None:
    """Only labels and annotations can be given to the objects that a template makes."""
    others = {
        "name": meta.name,
        "generateName": meta.generate_name,
        "namespace": meta.namespace,
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "finalizers": meta.finalizers,
        "ownerReferences": meta.owner_references,
    }
    for name, value in others.items():
        if value:
            errors.add(f"{path}.{name}", forbidden("cannot be set"))
    check_labels(errors, meta.labels, f"{path}.labels")
    check_annotations(errors, meta.annotations, f"{path}.annotations")


def check_labels(errors: Errors, labels: dict[str, str], path: str) -> None:
    """Keys and values of labels."""
    for key, value in labels.items():
        for fault in label_key_faults(key):
            errors.add(path, invalid(key, fault))
        for fault in label_value_faults(value):
            errors.add(path, invalid(value, fault))


def check_annotations(errors: Errors, annotations: dict[str, str], path: str) -> None:
    """Keys of annotations, and how much they hold together."""
    size = 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for fault in label_key_faults(key.lower()):
            errors.add(path, invalid(key, fault))
    if size > ANNOTATIONS_MAX:
        errors.add(path, too_long(ANNOTATIONS_MAX))


def check_node_selector(errors: Errors, selector: NodeSelector, path: str) -> None:
    """Terms, operators and the values that go with them."""
    terms = f"{path}.nodeSelectorTerms"
    if not selector.node_selector_terms:
        errors.add(terms, required("must have at least one node selector term"))
    for index, term in enumerate(selector.node_selector_terms):
        errors.each(term.match_expressions, f"{terms}[{index}].matchExpressions", _check_expression)
        errors.each(term.match_fields, f"{terms}[{index}].matchFields", _check_field)


def _check_expression(errors: Errors, requirement: NodeSelectorRequirement, path: str) -> None:
    operator, values = requirement.operator, requirement.values
    if operator in ("In", "NotIn"):
        if not values:
            errors.add(f"{path}.values", required("must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.add(f"{path}.values", forbidden(detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.add(f"{path}.values", required(detail))
    else:
        errors.add(f"{path}.operator", invalid(operator, "not a valid selector operator"))
    check_label_key(errors, requirement.key, f"{path}.key")
    for index, value in enumerate(values):
        for fault in label_value_faults(value):
            errors.add(f"{path}.values[{index}]", invalid(value, fault))


def _check_field(errors: Errors, requirement: NodeSelectorRequirement, path: str) -> None:
    if requirement.operator not in ("In", "NotIn"):
        errors.add(f"{path}.operator", invalid(requirement.operator, "not a valid selector operator"))
    elif len(requirement.values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.add(f"{path}.values", required(detail))
    if requirement.key != "metadata.name":
        errors.add(f"{path}.key", invalid(requirement.key, "not a valid field selector key"))
        return
    for index, value in enumerate(requirement.values):
        check_subdomain(errors, value, f"{path}.values[{index}]")
