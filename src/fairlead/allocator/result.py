"""Picks turned into `status.allocation`, field by field as kube-scheduler writes it (1.37).

Configuration of classes comes before that of the claim; a class that several requests use gives its configuration
once; configuration that applies to every request names none. The node selector is the node's name as soon as one
device is local to a node or binds to it; otherwise the requirements of all devices' selectors together; none at all
for devices that every node reaches.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from fairlead.allocator.problem import ClaimProblem, Problem
from fairlead.allocator.request import CLAIM, Unit
from fairlead.allocator.search import FatalError, Pick
from fairlead.allocator.slot import Fault, Slot
from fairlead.inventory import NodeView
from fairlead.resource import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
)


def random_share_id() -> str:
    """A fresh UUID, as kube-scheduler gives to every share."""
    return str(uuid.uuid4())


def build(
    problem: Problem, view: NodeView, picks: Sequence[Pick], share_id: Callable[[], str] = random_share_id
) -> list[AllocationResult]:
    """One allocation a claim.

    Args:
        problem: what was searched.
        view: the node.
        picks: the devices, in order of claims and requests.
        share_id: names a share of a device.

    Raises:
        FatalError: a device's node selector has more than one term, which the API does not allow.
    """
    by_claim: list[list[Pick]] = [[] for _ in problem.claims]
    for pick in picks:
        by_claim[pick.claim].append(pick)
    return [
        AllocationResult(
            devices=DeviceAllocationResult(
                results=[_result(view, claim.requests[p.request][p.alternative], p, share_id) for p in chosen],
                config=_config(claim, _chosen_units(claim, chosen)),
            ),
            node_selector=_node_selector(view, number, chosen),
        )
        for number, (claim, chosen) in enumerate(zip(problem.claims, by_claim, strict=True))
    ]


def _result(view: NodeView, slot: Slot, pick: Pick, share_id: Callable[[], str]) -> DeviceRequestAllocationResult:
    device = view.device(pick.number)
    device_id = view.device_id(pick.number)
    shared = bool(view.shared >> pick.number & 1)
    return DeviceRequestAllocationResult(
        request=slot.unit.name,
        driver=device_id.driver,
        pool=device_id.pool,
        device=device_id.device,
        admin_access=True if slot.unit.admin_access else None,
        tolerations=list(slot.unit.tolerations),
        binding_conditions=list(device.binding_conditions or ()),
        binding_failure_conditions=list(device.binding_failure_conditions or ()),
        share_id=share_id() if shared else None,
        consumed_capacity=dict(slot.taken[pick.number]) if shared else {},
        skip_node_operations=list(view.record(pick.number).slice.spec.skip_node_operations),
    )


def _chosen_units(claim: ClaimProblem, picks: Sequence[Pick]) -> list[Unit]:
    alternatives = {pick.request: pick.alternative for pick in picks}
    return [slots[alternatives.get(number, 0)].unit for number, slots in enumerate(claim.requests)]


def _config(claim: ClaimProblem, units: Sequence[Unit]) -> list[DeviceAllocationConfiguration]:
    using: dict[str, list[Unit]] = {}
    for unit in units:
        using.setdefault(unit.device_class.name, []).append(unit)
    config = [
        DeviceAllocationConfiguration(source="FromClass", requests=[unit.name for unit in users], opaque=given.opaque)
        for users in using.values()
        for given in users[0].device_class.spec.config
    ]
    names = [(request.name, unit.name) for request, unit in zip(claim.shape.requests, units, strict=True)]
    config.extend(
        DeviceAllocationConfiguration(source="FromClaim", requests=given.requests, opaque=given.opaque)
        for given in claim.shape.spec.devices.config
        if not given.requests or any(_listed(name, given.requests) for name in names)
    )
    return [_for_all(entry) if all(_listed(n, entry.requests) for n in names) else entry for entry in config]


def _listed(names: tuple[str, str], requests: Sequence[str]) -> bool:
    return any(name in requests for name in names)


def _for_all(entry: DeviceAllocationConfiguration) -> DeviceAllocationConfiguration:
    return DeviceAllocationConfiguration(source=entry.source, opaque=entry.opaque)


def _node_selector(view: NodeView, claim: int, picks: Sequence[Pick]) -> NodeSelector | None:
    fields: list[NodeSelectorRequirement] = []
    expressions: list[NodeSelectorRequirement] = []
    for pick in picks:
        device = view.device(pick.number)
        spec = view.record(pick.number).slice.spec
        place = device if spec.per_device_node_selection else spec
        if place.node_name is not None or device.binds_to_node:
            here = NodeSelectorRequirement(key="metadata.name", operator="In", values=[view.name])
            return NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=[here])])
        if place.node_selector is None:
            continue
        terms = place.node_selector.node_selector_terms
        if len(terms) > 1:
            raise FatalError(
                Fault(
                    claim,
                    f"create NodeSelector for claim {CLAIM}: "
                    f"unsupported ResourceSlice.NodeSelector with {len(terms)} terms",
                )
            )
        for term in terms:
            _add_new(term.match_fields, fields)
            _add_new(term.match_expressions, expressions)
    if not fields and not expressions:
        return None
    return NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=fields, match_expressions=expressions)])


def _add_new(more: Sequence[NodeSelectorRequirement], have: list[NodeSelectorRequirement]) -> None:
    for requirement in more:
        if not any(_same(requirement, other) for other in have):
            have.append(requirement)


def _same(one: NodeSelectorRequirement, other: NodeSelectorRequirement) -> bool:
    return (one.key, one.operator, set(one.values)) == (other.key, other.operator, set(other.values))
