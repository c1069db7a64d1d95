"""A plan of moves for programs, with the very `status` that the cluster would hold of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairlead.cli.records import gang_record, record
from fairlead.inventory import DeviceId
from fairlead.placement.defrag import Defragmentation, Move, held_by


def to_record(workload: str, found: Defragmentation) -> dict[str, Any]:
    """The plan; `moves` is null where there is none."""
    moves = found.moves
    return {
        "workload": workload,
        "moves": [_move(move) for move in moves] if moves is not None else None,
        "fewest": {"proven": found.proven, "atLeast": found.at_least},
        "disrupted": [
            {"workload": name, "runningPods": found.movable.pods_of.get(name, 0), "gang": gang}
            for name, gang in sorted({(m.mover.workload, m.mover.gang) for m in moves or ()})
        ],
        "placements": [record(placement) for placement in found.placements],
        "gangs": [gang_record(outcome) for outcome in found.gangs],
        "fitsWithoutMovablePods": found.possible,
        "withoutMovablePods": [gang_record(outcome) for outcome in found.without_movers],
        "kept": [{"pod": one.pod, "because": str(one.hold), "reason": one.reason} for one in found.kept],
        "noOtherPlace": list(found.stuck),
        "overBudget": [{"name": one.name, "disruptionsAllowed": one.allowed} for one in found.over_budget],
        "tooFewDevices": {"free": found.short.free, "needed": found.short.needed} if found.short is not None else None,
        "tried": found.tried,
    }


def _move(move: Move) -> dict[str, Any]:
    mover = move.mover
    made = record(move.placement)
    made.pop("reasons")
    made.pop("node")
    return {
        **made,
        "priority": mover.priority,
        "budget": {"name": mover.budget.name, "disruptionsAllowed": mover.budget.allowed} if mover.budget else None,
        "from": {"node": mover.node, "devices": _devices(held_by(mover))},
        "to": {"node": move.placement.node, "devices": _devices(move.devices)},
    }


def _devices(devices: Sequence[DeviceId]) -> list[dict[str, str]]:
    return [{"driver": one.driver, "pool": one.pool, "device": one.device} for one in devices]
