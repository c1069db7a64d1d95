"""The rules for ResourceSlice, up to the device.

Source: ValidateResourceSlice of `k8s.io/kubernetes`. A slice has devices or shared counters, not both; a device
consumes counters of another slice of its pool (see `pool`).
"""

from __future__ import annotations

from typing import Final

import msgspec

from fairlead.resource.base import NodeSelector
from fairlead.resource.problem import invalid, required, unsupported
from fairlead.resource.slice import CounterSet, Device, DeviceCounterConsumption, ResourceSlice, ResourceSliceSpec
from fairlead.resource.validation.attribute import check_attributes, check_node_allocatable, shown_attribute
from fairlead.resource.validation.capacity import check_capacity
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_metadata, check_node_selector
from fairlead.resource.validation.names import (
    check_driver,
    check_fully_qualified,
    check_label,
    check_label_key,
    check_pool,
    check_required_label,
    check_subdomain,
    fully_qualified_reasons,
    label_faults,
)
from fairlead.resource.validation.taint import check_taint

DEVICES_MAX: Final = 128
DEVICES_MAX_ADVANCED: Final = 64
COUNTER_SETS_MAX: Final = 8
COUNTERS_MAX: Final = 32
CONSUMPTIONS_MAX: Final = 2
COMPATIBILITY_GROUPS_MAX: Final = 2
TAINTS_MAX: Final = 16
BINDING_CONDITIONS_MAX: Final = 4

_SKIPPABLE: Final = ("*", "NodePrepareResources", "NodeUnprepareResources")
_ON_SLICE: Final = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_UNSET_OR_NAMED: Final = "must be either unset or set to a non-empty string"
_ON_DEVICE: Final = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
    "true in the ResourceSlice spec"
)


def check_slice(errors: Errors, item: ResourceSlice) -> None:
    """A whole ResourceSlice."""
    spec = item.spec
    check_metadata(errors, item.metadata, namespaced=False)
    check_driver(errors, spec.driver, "spec.driver")
    check_pool(errors, spec.pool.name, "spec.pool.name")
    if spec.pool.resource_slice_count <= 0:
        detail = "must be greater than zero"
        errors.add("spec.pool.resourceSliceCount", invalid(spec.pool.resource_slice_count, detail))
    if spec.pool.generation < 0:
        detail = "must be greater than or equal to zero"
        errors.add("spec.pool.generation", invalid(spec.pool.generation, detail))
    _check_reach(errors, spec)
    if spec.shared_counters and spec.devices:
        errors.add("spec", invalid("", "only one of `sharedCounters` or `devices` is allowed"))
    most = DEVICES_MAX_ADVANCED if any(map(_is_advanced, spec.devices)) else DEVICES_MAX
    if errors.limit(spec.devices, most, "spec.devices"):
        for index, device in enumerate(spec.devices):
            _check_device(errors, device, f"spec.devices[{index}]", bool(spec.per_device_node_selection))
        errors.unique((device.name for device in spec.devices), "spec.devices")
    if errors.limit(spec.shared_counters, COUNTER_SETS_MAX, "spec.sharedCounters"):
        errors.each(spec.shared_counters, "spec.sharedCounters", _check_counter_set)
        errors.unique((counters.name for counters in spec.shared_counters), "spec.sharedCounters")
    _check_partition_type(errors, spec)
    check_skipped_operations(errors, spec.skip_node_operations, "spec.skipNodeOperations")


def check_skipped_operations(errors: Errors, operations: list[str], path: str) -> None:
    """Known operations, and no prepare skipped whose unprepare is not."""
    for index, operation in enumerate(operations):
        if operation not in _SKIPPABLE:
            errors.add(f"{path}[{index}]", unsupported(operation, _SKIPPABLE))
    errors.unique(operations, path)
    if "NodePrepareResources" in operations and not {"NodeUnprepareResources", "*"} & set(operations):
        detail = "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped"
        errors.add(path, invalid(operations, detail))


def check_binding(errors: Errors, conditions: list[str] | None, failures: list[str] | None, path: str) -> None:
    """Binding conditions and failure conditions: both or none, and no condition is both."""
    conditions, failures = conditions or [], failures or []
    for items, name in ((conditions, "bindingConditions"), (failures, "bindingFailureConditions")):
        if items and errors.limit(items, BINDING_CONDITIONS_MAX, f"{path}.{name}"):
            errors.each(items, f"{path}.{name}", check_label_key)
            errors.unique(items, f"{path}.{name}")
    for index, condition in enumerate(failures):
        if condition in conditions:
            detail = "bindingFailureConditions must not overlap with bindingConditions"
            errors.add(f"{path}.bindingFailureConditions[{index}]", invalid(condition, detail))
    if failures and not conditions:
        detail = "bindingConditions are required to use bindingFailureConditions"
        errors.add(f"{path}.bindingConditions", invalid(conditions or None, detail))
    if conditions and not failures:
        detail = "bindingFailureConditions are required to use bindingConditions"
        errors.add(f"{path}.bindingFailureConditions", invalid(failures or None, detail))


def _check_reach(errors: Errors, spec: ResourceSliceSpec) -> None:
    chosen = _reach(errors, spec.node_name, spec.node_selector, spec.all_nodes, "spec", _UNSET_OR_NAMED)
    selector = spec.node_selector
    if selector is not None and len(selector.node_selector_terms) != 1:
        shown = msgspec.to_builtins(selector.node_selector_terms)
        detail = "must have exactly one node selector term"
        errors.add("spec.nodeSelector.nodeSelectorTerms", invalid(shown, detail))
    if spec.per_device_node_selection:
        chosen.append("`perDeviceNodeSelection`")
    elif spec.per_device_node_selection is not None:
        errors.add("spec.perDeviceNodeSelection", invalid(False, "must be either unset or set to true"))
    if not chosen:
        errors.add("spec", required(_ON_SLICE))
    elif len(chosen) > 1:
        detail = f"{_ON_SLICE}, but multiple fields are set"
        errors.add("spec", invalid("{" + ", ".join(chosen) + "}", detail))


def _reach(
    errors: Errors,
    node_name: str | None,
    selector: NodeSelector | None,
    all_nodes: bool | None,
    path: str,
    empty: str,
) -> list[str]:
    """Checks the fields that say which nodes reach a device, and says which of them are set."""
    chosen = []
    if node_name:
        chosen.append("`nodeName`")
        check_subdomain(errors, node_name, f"{path}.nodeName")
    elif node_name is not None:
        errors.add(f"{path}.nodeName", invalid("", empty))
    if selector is not None:
        chosen.append("`nodeSelector`")
        check_node_selector(errors, selector, f"{path}.nodeSelector")
    if all_nodes:
        chosen.append("`allNodes`")
    elif all_nodes is not None:
        errors.add(f"{path}.allNodes", invalid(False, "must be either unset or set to true"))
    return chosen


def _is_advanced(device: Device) -> bool:
    """Whether a device has what halves the number of devices that a slice may hold."""
    return bool(device.taints or device.consumes_counters) or any(
        attribute.strings is not None
        or attribute.ints is not None
        or attribute.bools is not None
        or attribute.versions is not None
        for attribute in device.attributes.values()
    )


def _check_device(errors: Errors, device: Device, path: str, selects_node: bool) -> None:
    if label_faults(device.name):
        check_label(errors, device.name, f"{path}.name")
    check_attributes(errors, device, path)
    check_capacity(errors, device, f"{path}.capacity")
    if device.taints and errors.limit(device.taints, TAINTS_MAX, f"{path}.taints"):
        errors.each(device.taints, f"{path}.taints", check_taint)
    consumptions = device.consumes_counters
    if consumptions and errors.limit(consumptions, CONSUMPTIONS_MAX, f"{path}.consumesCounters"):
        errors.each(consumptions, f"{path}.consumesCounters", _check_consumption)
        errors.unique((consumed.counter_set for consumed in consumptions), f"{path}.consumesCounters")
    if selects_node:
        chosen = _reach(errors, device.node_name, device.node_selector, device.all_nodes, path, "must not be empty")
        if not chosen:
            errors.add(path, required(_ON_DEVICE))
        elif len(chosen) > 1:
            errors.add(path, invalid("{" + ", ".join(chosen) + "}", _ON_DEVICE))
    elif device.node_name is not None or device.node_selector is not None or device.all_nodes is not None:
        detail = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true "
            "in the ResourceSlice spec"
        )
        errors.add(path, invalid(None, detail))
    check_binding(errors, device.binding_conditions, device.binding_failure_conditions, path)
    if device.node_allocatable_resources:
        check_node_allocatable(errors, device, f"{path}.nodeAllocatableResources")


def _check_consumption(errors: Errors, consumed: DeviceCounterConsumption, path: str) -> None:
    check_required_label(errors, consumed.counter_set, f"{path}.counterSet")
    _check_counters(errors, list(consumed.counters), f"{path}.counters")
    groups = consumed.compatibility_groups
    if groups and errors.limit(groups, COMPATIBILITY_GROUPS_MAX, f"{path}.compatibilityGroups"):
        errors.each(groups, f"{path}.compatibilityGroups", check_label)
        errors.unique(groups, f"{path}.compatibilityGroups")


def _check_counter_set(errors: Errors, counters: CounterSet, path: str) -> None:
    check_required_label(errors, counters.name, f"{path}.name")
    _check_counters(errors, list(counters.counters), f"{path}.counters")


def _check_counters(errors: Errors, names: list[str], path: str) -> None:
    if not names:
        errors.add(path, required())
    elif errors.limit(names, COUNTERS_MAX, path):
        for name in names:
            check_label(errors, name, path)


def _check_partition_type(errors: Errors, spec: ResourceSliceSpec) -> None:
    name = spec.partition_type_attribute
    if name is None:
        return
    path = "spec.partitionTypeAttribute"
    check_fully_qualified(errors, name, path)
    if not any(device.consumes_counters for device in spec.devices):
        detail = "may only be set on a slice which declares devices that consume counters"
        errors.add(path, invalid(name, detail))
        return
    if fully_qualified_reasons(name):
        return
    short = name.removeprefix(f"{spec.driver}/")
    for index, device in enumerate(spec.devices):
        if not device.consumes_counters:
            continue
        attribute = device.attributes.get(name) or device.attributes.get(short)
        where = f"spec.devices[{index}].attributes[{name}]"
        if attribute is None:
            detail = "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be set"
            errors.add(where, required(detail))
        elif attribute.string is None:
            detail = "must be a string value because `partitionTypeAttribute` names this attribute"
            errors.add(where, invalid(shown_attribute(attribute), detail))
