"""Consumable capacity: what one share of a device takes (KEP-5075).

For every capacity of a device a share takes what the request asks for, rounded as the device's policy says, or,
where it asks for nothing, the policy's default, or else everything. A request for a capacity that the device does
not have, or for an amount that its policy does not allow, makes the device no candidate.

Kubernetes computes ranges in 64-bit integers: in whole numbers, or in thousandths where the gate
FractionalCapacityRange is on and the range can be written in them. An amount that does not fit that arithmetic, and
one below zero, is an error that ends the allocation, because no other device could make sense of it either. All
capacities of a device are looked at for such errors before any makes the device no candidate.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.resource import CapacityRequestPolicy, CapacityRequestPolicyRange, Device, Quantity

_MAX_INT64 = 2**63 - 1
_MILLI = 10**6
"""A thousandth, in the units of `Quantity.nano`."""


class CapacityError(ValueError):
    """An amount that capacities cannot be computed with; the text names the capacity."""


def consumption(
    driver: str, device: Device, asked: Mapping[str, Quantity], fractional: bool = False
) -> dict[str, Quantity] | None:
    """What the request takes of each capacity of the device, or None where the device cannot serve it.

    Names with and without the driver's own domain are the same name on both sides.

    Args:
        driver: the driver of the device.
        device: the device; nothing of it is taken yet.
        asked: the amounts that the request names.
        fractional: whether FractionalCapacityRange is on.

    Raises:
        CapacityError: the allocation cannot go on.
    """
    wanted = {_short(driver, name): amount for name, amount in asked.items()}
    if wanted.keys() - {_short(driver, name) for name in device.capacity}:
        return None
    taken: dict[str, Quantity] = {}
    for name, capacity in device.capacity.items():
        amount = wanted.get(_short(driver, name))
        policy = capacity.request_policy
        if amount is None:
            amount = policy.default if policy is not None and policy.default is not None else capacity.value
        elif policy is not None:
            try:
                amount = _rounded(amount, policy, fractional)
            except OverflowError as error:
                raise CapacityError(
                    f'capacity "{name}": capacity request cannot be represented in the device\'s range arithmetic: '
                    f"{error}"
                ) from None
        if amount.nano < 0:
            raise CapacityError(f'capacity "{name}": capacity value is negative')
        taken[name] = amount
    for name, capacity in device.capacity.items():
        if _violates(taken[name], capacity.request_policy, fractional) or taken[name] > capacity.value:
            return None
    return taken


def _short(driver: str, name: str) -> str:
    domain, slash, short = name.partition("/")
    return short if slash and domain == driver else name


def _rounded(amount: Quantity, policy: CapacityRequestPolicy, fractional: bool) -> Quantity:
    allowed = policy.valid_range
    if allowed is not None and allowed.min is not None:
        if amount < allowed.min:
            return allowed.min
        if allowed.step is None:
            return amount
        if fractional and _in_milli(allowed):
            return _to_milli_step(amount, allowed.min, allowed.step)
        return _to_step(amount, allowed.min, allowed.step)
    return next((valid for valid in policy.valid_values if amount <= valid), amount)


def _in_milli(allowed: CapacityRequestPolicyRange) -> bool:
    """Whether the range is computed in thousandths."""
    step_suffices = allowed.step is None or allowed.step.nano >= _MILLI
    return step_suffices and all(
        bound is None or _is_milli(bound) for bound in (allowed.min, allowed.max, allowed.step)
    )


def _is_milli(amount: Quantity) -> bool:
    """Whether the amount is a whole number of thousandths that fits 64 bits."""
    return amount.nano % _MILLI == 0 and -_MAX_INT64 - 1 <= amount.nano // _MILLI <= _MAX_INT64


def _to_milli_step(amount: Quantity, lowest: Quantity, step: Quantity) -> Quantity:
    if not _is_milli(amount):
        raise OverflowError(f"request {amount} is not a representable milli value")
    steps = -(-(amount.nano - lowest.nano) // step.nano)
    rounded = lowest.nano + steps * step.nano
    # The check itself overflows below zero, where no range is valid anyway.
    if lowest.nano < 0 or rounded > _MAX_INT64 * _MILLI:
        raise OverflowError(f"rounding request {amount} up to the next step passes the milli-value range")
    return Quantity.from_nano(rounded, step.format)


def _to_step(amount: Quantity, lowest: Quantity, step: Quantity) -> Quantity:
    # Kubernetes rounds in whole numbers here, and so do we: the result must be the very one that it computes.
    if amount.nano > _MAX_INT64 * 10**9:
        raise OverflowError(f"request {amount} exceeds MaxInt64")
    size = step.value()
    if size <= 0:
        return amount
    steps = -(-(amount.value() - lowest.value()) // size)
    rounded = lowest.value() + steps * size
    if lowest.nano >= 0 and rounded > _MAX_INT64:
        raise OverflowError(f"rounding request {amount} up to the next step passes MaxInt64")
    return Quantity.from_int(rounded, step.format)


def _violates(amount: Quantity, policy: CapacityRequestPolicy | None, fractional: bool) -> bool:
    if policy is None or (policy.default is not None and amount.same(policy.default)):
        return False
    if policy.valid_range is not None:
        return _outside(amount, policy.valid_range, fractional)
    return bool(policy.valid_values) and amount not in policy.valid_values


def _outside(amount: Quantity, allowed: CapacityRequestPolicyRange, fractional: bool) -> bool:
    if allowed.max is not None and amount > allowed.max:
        return True
    if allowed.step is None:
        return False
    if fractional and _in_milli(allowed):
        lowest = allowed.min.nano if allowed.min is not None else 0
        return not _is_milli(amount) or (amount.nano - lowest) % allowed.step.nano != 0
    if allowed.step.value() <= 0:
        return False
    lowest = allowed.min.value() if allowed.min is not None else 0
    return (amount.value() - lowest) % allowed.step.value() != 0
