"""Constraints across the claims of a pod, in the terms of one node: what the allocator is asked to keep to.

A constraint compares values of an attribute, with the meaning that `matchAttribute` and `distinctAttribute` have in a
claim, or a fact of where devices sit. A device without the attribute or with an unknown fact satisfies none. Devices
that a claim of the pod has already count among those that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.allocator import Across
from fairlead.inventory import DeviceId, NodeView
from fairlead.placement.wiring.annotations import Constraint
from fairlead.placement.wiring.setting import Setting
from fairlead.resource import PodClaim, ResourceClaim


def joined(
    constraints: Sequence[Constraint],
    claims: Sequence[PodClaim],
    open_claims: Sequence[ResourceClaim],
    allocated: Sequence[ResourceClaim],
    view: NodeView,
    setting: Setting,
) -> tuple[Across, ...]:
    """The constraints on a node.

    Args:
        constraints: of one pod.
        claims: all claims of the pod, under the names that it has for them.
        open_claims: those without devices, in the order in which the allocator is asked for them.
        allocated: those that have devices.
        view: the node.
        setting: its wiring.
    """
    place = {claim.key: number for number, claim in enumerate(open_claims)}
    have = {claim.key: claim for claim in allocated}
    found: list[Across] = []
    for constraint in constraints:
        values_of = _values(constraint, view, setting)
        wanted = constraint.requests or [
            (used.name, request.name)
            for used in claims
            for request in used.claim.spec.devices.requests
            if request.exactly is None or not request.exactly.admin_access
        ]
        keys = {used.name: used.claim.key for used in claims}
        members: list[tuple[int, int]] = []
        used: list[int] = []
        for name, request in wanted:
            key = keys[name]
            if key in place:
                requests = [one.name for one in open_claims[place[key]].spec.devices.requests]
                if request in requests:
                    members.append((place[key], requests.index(request)))
            elif key in have:
                used += [_value_of(device, view, values_of) for device in _devices(have[key], request)]
        found.append(
            Across(str(constraint), constraint.distinct, tuple(dict.fromkeys(members)), values_of, tuple(used))
        )
    return tuple(found)


def contradicts(across: Across) -> bool:
    """Whether devices that claims have already break the condition, whatever else is given."""
    if not all(across.used):
        return bool(across.used)
    if across.distinct:
        seen = 0
        for values in across.used:
            if seen & values:
                return True
            seen |= values
        return False
    common = -1
    for values in across.used:
        common &= values
    return not common


def _values(constraint: Constraint, view: NodeView, setting: Setting) -> tuple[int, ...]:
    if not constraint.topology:
        return tuple(view.attribute(constraint.name).values_of)
    numbers: dict[str | int, int] = {}
    values_of: list[int] = []
    for number in range(view.size):
        value = setting.value(constraint.name, number)
        values_of.append(0 if value is None else 1 << numbers.setdefault(value, len(numbers)))
    return tuple(values_of)


def _devices(claim: ResourceClaim, request: str) -> list[DeviceId]:
    allocation = claim.status.allocation
    if allocation is None:
        return []
    return [
        DeviceId(given.driver, given.pool, given.device)
        for given in allocation.devices.results
        if given.request.partition("/")[0] == request
    ]


def _value_of(device: DeviceId, view: NodeView, values_of: Sequence[int]) -> int:
    number = view.number_of(device)
    return values_of[number] if number is not None else 0
