"""The rules for taints, tolerations and DeviceTaintRule.

An effect that is not known has no effect for the allocator; the API server does not let one in, and so it is
reported here.

Source: validateDeviceTaint, validateDeviceToleration and ValidateDeviceTaintRule of `k8s.io/kubernetes`.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource.problem import invalid, required, unsupported
from fairlead.resource.taint import DeviceTaint, DeviceTaintRule, DeviceToleration
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.metadata import check_metadata
from fairlead.resource.validation.names import (
    check_driver,
    check_label,
    check_label_key,
    check_label_value,
    check_pool,
)

_EFFECTS: Final = ("NoExecute", "NoSchedule", "None")
_OPERATORS: Final = ("Equal", "Exists")


def check_taint_rule(errors: Errors, rule: DeviceTaintRule) -> None:
    """A whole DeviceTaintRule."""
    check_metadata(errors, rule.metadata, namespaced=False)
    selector = rule.spec.device_selector
    if selector is not None:
        if selector.driver is not None:
            check_driver(errors, selector.driver, "spec.deviceSelector.driver")
        if selector.pool is not None:
            check_pool(errors, selector.pool, "spec.deviceSelector.pool")
        if selector.device is not None:
            check_label(errors, selector.device, "spec.deviceSelector.device")
    check_taint(errors, rule.spec.taint, "spec.taint")


def check_taint(errors: Errors, taint: DeviceTaint, path: str) -> None:
    """Key, value and effect of a taint."""
    check_label_key(errors, taint.key, f"{path}.key")
    check_label_value(errors, taint.value, f"{path}.value")
    if not taint.effect:
        errors.add(f"{path}.effect", required())
    elif taint.effect not in _EFFECTS:
        errors.add(f"{path}.effect", unsupported(taint.effect, _EFFECTS))


def check_toleration(errors: Errors, toleration: DeviceToleration, path: str) -> None:
    """Key, operator, value and effect of a toleration that has its defaults."""
    if toleration.key:
        check_label_key(errors, toleration.key, f"{path}.key")
    if toleration.operator == "Exists":
        if toleration.value:
            errors.add(f"{path}.value", invalid(toleration.value, "must be empty for operator `Exists`"))
    elif toleration.operator == "Equal":
        check_label_value(errors, toleration.value, f"{path}.value")
    elif not toleration.operator:
        errors.add(f"{path}.operator", required())
    else:
        errors.add(f"{path}.operator", unsupported(toleration.operator, _OPERATORS))
    if toleration.effect and toleration.effect not in _EFFECTS:
        errors.add(f"{path}.effect", unsupported(toleration.effect, _EFFECTS))
