"""The rules for capacities and how requests may share them (KEP-5075).

Source: validateRequestPolicy and its parts in `k8s.io/kubernetes`. The arithmetic there is on int64, or on thousands
when a value has a fraction; ours is exact, so only the bounds of those numbers are repeated here.
"""

from __future__ import annotations

from typing import Final

from fairlead.resource.problem import duplicate, forbidden, invalid, required
from fairlead.resource.quantity import Quantity
from fairlead.resource.slice import CapacityRequestPolicy, CapacityRequestPolicyRange, Device
from fairlead.resource.validation.errors import Errors
from fairlead.resource.validation.names import check_qualified, qualified_reasons

VALID_VALUES_MAX: Final = 10
_NANO: Final = 10**9
_MAX_INT64: Final = 2**63 - 1


def check_capacity(errors: Errors, device: Device, path: str) -> None:
    """All capacities of a device; only one that can be shared may say how."""
    for name, capacity in device.capacity.items():
        if qualified_reasons(name):
            check_qualified(errors, name, path)
        policy = capacity.request_policy
        if policy is None:
            continue
        where = f"{path}[{name}].requestPolicy"
        if not device.allow_multiple_allocations:
            errors.add(where, forbidden("allowMultipleAllocations must be true"))
        elif policy.valid_values and policy.valid_range is not None:
            detail = (
                'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
            )
            errors.add(where, forbidden(detail))
        elif policy.valid_values:
            _check_values(errors, policy, capacity.value, where)
        elif policy.valid_range is not None:
            _check_range(errors, policy, policy.valid_range, capacity.value, where)


def _check_values(errors: Errors, policy: CapacityRequestPolicy, most: Quantity, path: str) -> None:
    if policy.default is None:
        errors.add(f"{path}.default", required("required when validValues is defined"))
        return
    values = policy.valid_values
    path = f"{path}.validValues"
    for index in range(1, len(values)):
        if values[index - 1] > values[index]:
            detail = "values must be sorted in ascending order"
            errors.add(f"{path}[{index}]", invalid(str(values[index]), detail))
    if not errors.limit(values, VALID_VALUES_MAX, path):
        return
    seen: set[Quantity] = set()
    for index, value in enumerate(values):
        if value > most:
            detail = f"option is larger than capacity value: {most}"
            errors.add(f"{path}[{index}]", invalid(str(value), detail))
        if value in seen:
            errors.add(f"{path}[{index}]", duplicate(str(value)))
        seen.add(value)
    if policy.default not in seen:
        detail = "default value is not valid according to the requestPolicy"
        errors.add(path, invalid(str(policy.default), detail))


def _check_range(
    errors: Errors,
    policy: CapacityRequestPolicy,
    allowed: CapacityRequestPolicyRange,
    most: Quantity,
    path: str,
) -> None:
    default = policy.default
    if default is None:
        errors.add(f"{path}.default", required("required when validRange is defined"))
        return
    path = f"{path}.validRange"
    if allowed.min is None:
        errors.add(f"{path}.min", required("required when validRange is defined"))
        return
    if allowed.min > most:
        errors.add(f"{path}.min", invalid(str(allowed.min), f"min is larger than capacity value: {most}"))
    if default < allowed.min:
        errors.add(f"{path}.default", invalid(str(default), f"default is less than min: {allowed.min}"))
    if allowed.max is not None:
        if allowed.min > allowed.max:
            errors.add(f"{path}.max", invalid(str(allowed.min), f"min is larger than max: {allowed.max}"))
        if allowed.max > most:
            errors.add(f"{path}.max", invalid(str(allowed.max), f"max is larger than capacity value: {most}"))
        if default > allowed.max:
            errors.add(f"{path}.default", invalid(str(default), f"default is more than max: {allowed.max}"))
    if _calculable(errors, default, allowed, path) and allowed.step is not None:
        _check_step(errors, default, allowed, allowed.min, allowed.step, most, path)


def _calculable(errors: Errors, default: Quantity, allowed: CapacityRequestPolicyRange, path: str) -> bool:
    """Whether the API server's integers can hold the bounds; those without a fraction only matter for steps."""
    bounds = {"default": default, "min": allowed.min, "max": allowed.max, "step": allowed.step}
    present = {name: bound for name, bound in bounds.items() if bound is not None}
    fractional = any(bound.nano % _NANO for bound in present.values())
    if not fractional and (allowed.step is None or allowed.step.sign <= 0):
        return True
    before = len(errors.found)
    for name, bound in present.items():
        reason = _out_of_range(bound, fractional)
        if reason:
            errors.add(f"{path}.{name}", invalid(str(bound), reason))
    return len(errors.found) == before


def _check_step(
    errors: Errors,
    default: Quantity,
    allowed: CapacityRequestPolicyRange,
    least: Quantity,
    step: Quantity,
    most: Quantity,
    path: str,
) -> None:
    if step.sign <= 0:
        errors.add(f"{path}.step", invalid(str(step), "must be greater than zero"))
        return
    if least + step > most:
        detail = f"one step {least + step} is larger than capacity value: {most}"
        errors.add(f"{path}.step", invalid(str(step), detail))
    for bound in (default, allowed.max):
        if bound is not None and (bound.nano - least.nano) % step.nano:
            detail = f"value is not a multiple of a given step ({step}) from ({least})"
            errors.add(f"{path}.step", invalid(str(bound), detail))


def _out_of_range(value: Quantity, fractional: bool) -> str:
    """Why the API server can not calculate with a bound; empty when it can."""
    if fractional:
        thousandths, rest = divmod(value.nano, _NANO // 1000)
        fits = not rest and abs(thousandths) <= _MAX_INT64
        return "" if fits else "value cannot be represented as a milli value"
    if value.sign < 0:
        return "must be greater than or equal to 0"
    return f"must not be larger than {_MAX_INT64}" if value.nano > _MAX_INT64 * _NANO else ""
