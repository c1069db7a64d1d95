"""Consumable capacity: what one share of a device takes (KEP-5075).

For every capacity of a device a share takes what the request asks for, rounded as the device's policy says, or,
where it asks for nothing, the policy's default, or else everything. A request for a capacity that the device does
not have, or for an amount that its policy does not allow, makes the device no candidate.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.resource import CapacityRequestPolicy, CapacityRequestPolicyRange, Device, Quantity


def consumption(driver: str, device: Device, asked: Mapping[str, Quantity]) -> dict[str, Quantity] | None:
    """What the request takes of each capacity of the device, or None where the device cannot serve it.

    Names with and without the driver's own domain are the same name on both sides.
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
            amount = _rounded(amount, policy)
        if amount.nano < 0 or _violates(amount, policy) or amount > capacity.value:
            return None
        taken[name] = amount
    return taken


def _short(driver: str, name: str) -> str:
    domain, slash, short = name.partition("/")
    return short if slash and domain == driver else name


def _rounded(amount: Quantity, policy: CapacityRequestPolicy) -> Quantity:
    allowed = policy.valid_range
    if allowed is not None and allowed.min is not None:
        if amount < allowed.min:
            return allowed.min
        if allowed.step is None:
            return amount
        return _to_step(amount, allowed.min, allowed.step)
    return next((valid for valid in policy.valid_values if amount <= valid), amount)


def _to_step(amount: Quantity, lowest: Quantity, step: Quantity) -> Quantity:
    # Kubernetes rounds in whole numbers here, and so do we: the result must be the very one that it computes.
    size = step.value()
    if size <= 0:
        return amount
    steps = -(-(amount.value() - lowest.value()) // size)
    return Quantity.from_int(lowest.value() + steps * size, step.format)


def _violates(amount: Quantity, policy: CapacityRequestPolicy | None) -> bool:
    if policy is None or (policy.default is not None and amount.same(policy.default)):
        return False
    if policy.valid_range is not None:
        return _outside(amount, policy.valid_range)
    return bool(policy.valid_values) and amount not in policy.valid_values


def _outside(amount: Quantity, allowed: CapacityRequestPolicyRange) -> bool:
    if allowed.max is not None and amount > allowed.max:
        return True
    if allowed.step is None or allowed.step.value() <= 0:
        return False
    lowest = allowed.min.value() if allowed.min is not None else 0
    return (amount.value() - lowest) % allowed.step.value() != 0
