"""The plan as people read it: where each pod goes and with which devices, then the pods without a node and why.

The text is made as a whole before any of it is printed. Two columns carry both levels: pods with their nodes, and
under each pod its requests with their devices; so a line fits where node and pod names are long.
"""

from __future__ import annotations

import io
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairlead.cli.devices import DeviceBook, describe
from fairlead.placement import Obstacle, PlacedClaim, Placement, Plan
from fairlead.placement.wiring import Choice
from fairlead.placement.words import counted
from fairlead.resource import DeviceRequestAllocationResult, ResourceSlice

_WIDTH: Final = 100
_LEAST: Final = 60
_NO_ADVICE: Final[Mapping[str, str]] = {}
_CHOICES: Final = 20
"""How many pods' choices of nodes are shown."""
_OBSTACLES: Final = 6
"""How many obstacles of a pod are shown; the rest are counted."""


def output_width() -> int:
    """Columns of the terminal, or 100 where the output is none."""
    return max(_LEAST, shutil.get_terminal_size((_WIDTH, 24)).columns) if sys.stdout.isatty() else _WIDTH


def draw(
    plan: Plan,
    slices: Iterable[ResourceSlice],
    width: int,
    colour: bool,
    advice: Mapping[str, str] = _NO_ADVICE,
    why: Mapping[str, str] = _NO_ADVICE,
) -> str:
    """The whole plan as text of the given width.

    Args:
        plan: the plan.
        slices: where devices are described.
        width: in columns.
        colour: whether to use colours.
        advice: by `namespace/name` of a pod without a node, what would help, as the end of `it would fit ...`.
        why: by `namespace/name` of a placed pod, why it has its node.
    """
    buffer = io.StringIO()
    console = _console(buffer, width, colour)
    placed = [placement for placement in plan if placement.placed]
    namespaces = {placement.pod.pod.namespace for placement in plan}
    common = f"{namespaces.pop()}/" if len(namespaces) == 1 else ""
    if common:
        console.print(Text(f"Namespace {common[:-1]}\n"))
    if placed:
        console.print(_placed_table(placed, DeviceBook(slices), width, common))
        console.print()
        _print_choices(console, placed, common)
    _print_nodes(console, placed, common, why)
    _print_gangs(console, plan)
    _print_unplaced(console, [placement for placement in plan if not placement.placed], common, advice)
    console.print(summary(plan))
    return _text(buffer)


def draw_placed(placement: Placement, slices: Iterable[ResourceSlice], width: int, colour: bool) -> str:
    """One pod that has a node, with its devices, as in the table of a plan."""
    buffer = io.StringIO()
    _console(buffer, width, colour).print(_placed_table([placement], DeviceBook(slices), width, ""))
    return _text(buffer)


def to_text(table: Table, width: int, colour: bool) -> str:
    """A table as text."""
    buffer = io.StringIO()
    _console(buffer, width, colour).print(table)
    return _text(buffer)


def _console(buffer: io.StringIO, width: int, colour: bool) -> Console:
    return Console(
        file=buffer,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        legacy_windows=False,
    )


def _text(buffer: io.StringIO) -> str:
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def summary(plan: Plan) -> str:
    """One sentence: how many pods have a place, where, with how much."""
    placed = [placement for placement in plan if placement.placed]
    missing = len(plan.placements) - len(placed)
    devices = {
        (result.driver, result.pool, result.device)
        for claim in plan.claims.values()
        if claim.status.allocation is not None
        for result in claim.status.allocation.devices.results
    }
    nodes = {placement.node for placement in placed}
    text = (
        f"{len(placed)} of {counted(len(plan.placements), 'pod')} placed"
        + (f" on {counted(len(nodes), 'node')} with {counted(len(devices), 'device')}" if placed else "")
        + (f"; {missing} without a node" if missing else "")
    )
    return f"{text}."


def _placed_table(placements: Sequence[Placement], book: DeviceBook, width: int, common: str) -> Table:
    rows = list(_rows(placements, common))
    first = max(len("POD / request"), *(len(left) for left, _, _, _ in rows))
    second = max(len("NODE / device"), *(len(right) for _, right, _, _ in rows))
    third = max(24, width - min(first, width // 2) - min(second, width // 2) - 4)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    table.add_column("POD / request", overflow="fold", max_width=width // 2)
    table.add_column("NODE / device", overflow="fold", max_width=width // 2)
    table.add_column("ATTRIBUTES", overflow="fold")
    for left, right, used, result in rows:
        if used is None or result is None:
            table.add_row(Text(left, "bold"), Text(right, "bold"), "")
            continue
        device = book.find(result)
        about = describe(device, result, used.claim, third) if device is not None else "(in no slice any more)"
        table.add_row(left, right, Text(about, "dim"))
    return table


_Row = tuple[str, str, PlacedClaim | None, DeviceRequestAllocationResult | None]


def _rows(placements: Sequence[Placement], common: str) -> Iterator[_Row]:
    """Left and right cell; for devices also the claim and the result."""
    first_user: dict[str, str] = {}
    for placement in placements:
        pod = placement.pod.pod.key.removeprefix(common)
        yield pod, placement.node, None, None
        for used in placement.claims:
            prefix = f"{used.name}/" if len(placement.claims) > 1 else ""
            key = used.claim.key
            allocation = used.claim.status.allocation
            if allocation is None:
                continue
            if key in first_user:
                shares = f"  with {first_user[key]}"
                yield f"  {used.name}", shares, None, None
                continue
            first_user[key] = pod
            for result in allocation.devices.results:
                pool = "" if result.pool == placement.node else f"{result.pool}/"
                yield f"  {prefix}{result.request}", f"  {pool}{result.device}", used, result


def _print_choices(console: Console, placements: Sequence[Placement], common: str) -> None:
    """What the devices of pods are worth to their policy, and the next best; pods of which the same is true at once."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[Placement]] = {}
    for placement in placements:
        if placement.choice is not None:
            lines = tuple(_choice(placement.choice))
            groups.setdefault((placement.choice.policy, placement.pod.owner, lines), []).append(placement)
    if groups:
        console.print(Text("WHY THESE DEVICES", "bold"))
    for (policy, owner, lines), members in groups.items():
        who = filled(f"{_names(members, owner, common)}: {policy}", console.width, 0)
        console.print(Text("\n".join([who, *(filled(line, console.width, 4) for line in lines)])))
    if groups:
        console.print()


def _choice(choice: Choice) -> Iterator[str]:
    yield str(choice.score) or "nothing tells the devices apart"
    if choice.runner_up is not None:
        names = ", ".join(choice.runner_up_names)
        yield f"runner-up {names}: {choice.runner_up.behind(choice.score)}"
    if not choice.proven:
        yield "not proven: there are more sets of devices than were looked at, and one of them may be worth more"


def _print_nodes(console: Console, placements: Sequence[Placement], common: str, why: Mapping[str, str]) -> None:
    known = [placement for placement in placements if placement.pod.pod.key in why]
    if known:
        console.print(Text("WHY THESE NODES", "bold"))
        for placement in known[:_CHOICES]:
            key = placement.pod.pod.key
            console.print(Text(filled(f"{key.removeprefix(common)}: {why[key]}", console.width, 0)))
        if len(known) > _CHOICES:
            console.print(f"... and {len(known) - _CHOICES} more: -o json has all")
        console.print()


def _print_gangs(console: Console, plan: Plan) -> None:
    if plan.gangs:
        console.print(Text("GANGS", "bold"))
        for outcome in plan.gangs:
            console.print(Text(filled(f"{outcome.name}: {outcome.text}", console.width, 0)))
            for help_ in outcome.helps:
                console.print(Text(filled(f"it would fit {help_}", console.width, 4), "dim"))
        console.print()


def _print_unplaced(console: Console, placements: Sequence[Placement], common: str, advice: Mapping[str, str]) -> None:
    groups: dict[tuple[str, tuple[Obstacle, ...]], list[Placement]] = {}
    for placement in placements:
        groups.setdefault((placement.pod.owner, placement.obstacles), []).append(placement)
    if groups:
        console.print(Text("NO NODE FOR", "bold"))
    for (owner, obstacles), members in groups.items():
        console.print(Text(filled(_names(members, owner, common), console.width, 0)))
        for nodes, alike in groupby(obstacles[:_OBSTACLES], key=lambda obstacle: obstacle.nodes):
            texts = list(alike)
            if not nodes or len(texts) == 1:
                lines = [filled(str(obstacle), console.width, 4) for obstacle in texts]
            else:
                lines = [filled(f"{texts[0].where}:", console.width, 4)]
                lines += [filled(obstacle.what, console.width, 8) for obstacle in texts]
            console.print(Text("\n".join(lines)))
        if len(obstacles) > _OBSTACLES:
            rest = obstacles[_OBSTACLES:]
            nodes = {name for obstacle in rest for name in obstacle.nodes}
            console.print(f"    ... {len(rest)} more reasons, on {counted(len(nodes), 'node')}")
        helps = advice.get(members[0].pod.pod.key)
        if helps is not None:
            who = "would fit" if len(members) == 1 else "the first of them would fit"
            console.print(Text(filled(f"{who} {helps}", console.width, 4), "dim"))
    if groups:
        console.print()


def filled(text: str, width: int, indent: int = 0) -> str:
    """The text in lines, those after the first further in."""
    return textwrap.fill(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4), break_on_hyphens=False
    )


def _names(members: Sequence[Placement], owner: str, common: str) -> str:
    first, last = members[0].pod.pod.key.removeprefix(common), members[-1].pod.pod.name
    if len(members) == 1:
        return first
    return (
        f"{first} to {last} ({len(members)} pods of {owner})" if owner else f"{first} to {last} ({len(members)} pods)"
    )
