"""Whether two planners' states are the same: one that followed changes, and one that began with what there is."""

from __future__ import annotations

from typing import Any

from fairlead.inventory import InventoryError
from fairlead.placement import ClusterState, Placement


def told(state: ClusterState) -> dict[str, Any]:
    """All that a state says of the cluster, as values that can be compared."""
    nodes = {
        name: (
            dict(node.labels),
            dict(node.allocatable),
            node.declared,
            node.refuses.__self__._taints,
            {resource: amount for resource, amount in node.used.items() if amount},
            set(node.ports),
        )
        for name, node in state.nodes.items()
    }
    return {
        "order of nodes": list(state.nodes),
        "nodes": nodes,
        "devices": {name: _devices(state, name) for name in state.nodes},
        "claims": {key: _claim(claim) for key, claim in sorted(state.claims._present.items())},
        "owners": {key: owner for key, owner in state.claims._owners.items() if owner},
        "pods": sorted((pod.key, dict(labels)) for pod, labels in state.placed._pods.values()),
        "kept apart": {term: _counts(values) for term, values in state.placed._against.items() if _counts(values)},
        "costs": state.costs._costs,
    }


def same(one: ClusterState, other: ClusterState) -> None:
    """Fails, naming what differs, where two states are not the same."""
    mine, theirs = told(one), told(other)
    for part, value in mine.items():
        assert value == theirs[part], f"{part}: {value} and not {theirs[part]}"


def _devices(state: ClusterState, node: str) -> Any:
    try:
        view = state.site.view(node)
    except InventoryError as error:
        return str(error)
    pools = [(pool.name, pool.incomplete, pool.invalid) for pool in view.pools]
    names = [str(view.device_id(number)) for number in range(view.size)]
    return pools, names, view.occupancy, [view.holders(number) for number in range(view.size)]


def _claim(claim: Any) -> Any:
    allocation = claim.status.allocation
    results = [] if allocation is None else allocation.devices.results
    return (
        allocation is not None,
        [(one.request, one.driver, one.pool, one.device, one.share_id is None) for one in results],
        [(one.resource, one.name, one.uid) for one in claim.status.reserved_for],
        claim.metadata.deletion_timestamp,
    )


def _counts(values: dict[str, int]) -> dict[str, int]:
    return {value: count for value, count in values.items() if count}


def got(placements: list[Placement] | tuple[Placement, ...]) -> list[Any]:
    """Where pods went and what they got, but for the names of shares."""
    return [
        (one.pod.pod.key, one.node, [(used.name, _claim(used.claim)) for used in one.claims], one.obstacles)
        for one in placements
    ]
