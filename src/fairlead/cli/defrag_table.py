"""A plan of moves as people read it: the moves, where the workload goes then, and one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from fairlead.cli.table import draw as draw_plan
from fairlead.cli.table import filled, to_text
from fairlead.inventory import DeviceId
from fairlead.placement import Cluster, Plan
from fairlead.placement.defrag import Defragmentation, Kept, Move, held_by

_NAMED: Final = 3
"""Up to how many pods are called by name."""


def draw(
    workload: str, found: Defragmentation, cluster: Cluster, width: int, colour: bool, max_moves: int | None
) -> str:
    """The plan, or why there is none, as text of the given width."""
    if found.moves is None:
        return _no_plan(workload, found, width, max_moves)
    parts = []
    if found.moves:
        parts.append(to_text(_moves_table(found.moves, width), width, colour))
        parts += [filled(line, width) + "\n" for line in _disruptions(found)]
    parts.append(draw_plan(Plan(found.placements, found.gangs), cluster.slices, width, colour))
    return "\n".join(parts) + filled(summary(workload, found), width) + "\n"


def summary(workload: str, found: Defragmentation) -> str:
    """One sentence about a plan."""
    moves = found.moves or ()
    if not moves:
        return f"{workload} fits as it is, nothing has to move."
    pods = "pod" if len(moves) == 1 else "pods"
    fewest = "proven" if found.proven else f"not proven, at least {found.at_least}"
    workloads = found.disrupted
    shown = f"{len(workloads)} workload{'' if len(workloads) == 1 else 's'} disrupted"
    return f"{workload} fits after {len(moves)} {pods} moved (fewest: {fewest}; {shown})."


def _moves_table(moves: Sequence[Move], width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for title in ("MOVE", "FROM", "TO", "IT MAY, SINCE"):
        table.add_column(title, overflow="fold", max_width=width // 3)
    for move in moves:
        mover = move.mover
        old = _place(mover.node, held_by(mover))
        new = _place(move.placement.node, move.devices)
        table.add_row(Text(mover.key, "bold"), old, Text(new, "bold"), Text(_allowed(move), "dim"))
    return table


def _place(node: str, devices: Iterable[DeviceId]) -> str:
    names = [one.device if one.pool == node else f"{one.pool}/{one.device}" for one in devices]
    return f"{node}: {', '.join(names)}" if names else node


def _allowed(move: Move) -> str:
    mover = move.mover
    budget = f", budget {mover.budget.name} allows {mover.budget.allowed}" if mover.budget is not None else ""
    return f"{mover.controller} makes it again, priority {mover.priority}{budget}"


def _disruptions(found: Defragmentation) -> list[str]:
    """What a move does to gangs."""
    moved = Counter(move.mover.workload for move in found.moves or () if move.mover.gang)
    lines = []
    for workload, count in sorted(moved.items()):
        pods = found.movable.pods_of.get(workload, count)
        if pods > count:
            lines.append(f"{workload} stops as a whole: {count} of its {pods} running pods move.")
        else:
            lines.append(f"{workload} stops: all of its running pods move.")
    return lines


def _no_plan(workload: str, found: Defragmentation, width: int, max_moves: int | None) -> str:
    lines = [f"No moves of running pods let {workload} start.", "  As things are:"]
    lines += [f"    {text}" for text in _shortfalls(found)]
    if not found.possible:
        lines.append("  Even with every pod gone that may move it would not fit:")
        gone = [reason for outcome in found.without_movers for reason in outcome.reasons]
        lines += [f"    {text}" for text in dict.fromkeys(gone)]
    elif found.short is not None:
        lines.append(
            f"  Moving pods does not help: {found.short.needed} devices are needed, "
            f"{found.short.free} suitable ones are free in all."
        )
    elif max_moves is not None and found.at_least > max_moves:
        lines.append(f"  At least {found.at_least} moves are needed, more than --max-moves {max_moves}.")
    elif not found.movable.movers:
        lines.append("  No running pod may move.")
    else:
        tried = f"{found.tried} {'set' if found.tried == 1 else 'sets'} of pods that may move"
        lines.append(f"  At least {found.at_least} moves are needed; {tried} tried, none leaves a place for everyone.")
    if found.stuck:
        lines.append(f"  Moved away, these find no other place: {_names(found.stuck)}.")
    lines += [
        f"  Budget {one.name} forbids sets that make room: {one.allowed} of its {len(one.pods)} pods may be away."
        for one in found.over_budget
    ]
    if found.kept:
        lines.append(f"  {len(found.kept)} running {'pod' if len(found.kept) == 1 else 'pods'} must not move:")
        lines += [f"    {line}" for line in _kept(found.kept)]
    return "".join(f"{filled(line.strip(), width, len(line) - len(line.lstrip()))}\n" for line in lines)


def _shortfalls(found: Defragmentation) -> list[str]:
    reasons = [reason for outcome in found.gangs for reason in outcome.reasons]
    if not reasons:
        last = next((one for one in found.placements if not one.placed), None)
        reasons = [str(obstacle) for obstacle in last.obstacles[:_NAMED]] if last is not None else []
    return list(dict.fromkeys(reasons))


def _kept(kept: Sequence[Kept]) -> list[str]:
    """The pods by what keeps them, the most frequent first."""
    by_hold: dict[str, list[Kept]] = {}
    for one in kept:
        by_hold.setdefault(str(one.hold), []).append(one)
    lines = []
    for hold, members in sorted(by_hold.items(), key=lambda item: (-len(item[1]), item[0])):
        reasons = list(dict.fromkeys(one.reason for one in members))
        why = reasons[0] if len(reasons) == 1 else f"for example {members[0].reason}"
        lines.append(f"{len(members)} for {hold}: {_names([one.pod for one in members])} ({why})")
    return lines


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
