"""`fairlead explain`: why one pod goes where it goes, or why it has no node and what would help."""

from __future__ import annotations

import difflib
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import click
import msgspec

from fairlead.cli.checks import one_line
from fairlead.cli.inputs import BadInputError, Input, load
from fairlead.cli.options import LabelledNode, cluster_options, files_option, nodes_option
from fairlead.cli.placing import wiring_options
from fairlead.cli.records import gang_record, record
from fairlead.inventory import Features
from fairlead.placement import Cluster, Diagnosis, Help, NodeDiagnosis, Obstacle, RequestTally, diagnose
from fairlead.placement.wiring import DevicePolicy
from fairlead.resource import PlannedPod
from fairlead.topology import Rules

NOT_PLACED: Final = 1
_NEAREST: Final = 4
"""Up to how many names are offered for one that is not there."""
_GROUPS: Final = 8
"""How many situations are shown; the rest are counted."""
_HELPS: Final = 8
"""How many changes are."""
_NAMED: Final = 4
"""Up to how many nodes are called by name."""
_HOLDERS: Final = 3
"""How many holders are."""


@click.command(short_help="Show why one pod gets the node it gets, or none, and what would help.")
@click.argument("pod", metavar="POD")
@files_option
@click.option(
    "--node",
    "only",
    multiple=True,
    metavar="NAME",
    help="Look at this node only, in detail; may be given several times.",
)
@click.option("--all-nodes", is_flag=True, help="Show every node in detail, not nodes in the same situation together.")
@nodes_option(
    "--add-node",
    "A node with room, as --node of fairlead plan. May be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json holds all reasons, with every device that a rule excludes, node by node.",
)
@wiring_options
@cluster_options
def explain(
    pod: str,
    paths: tuple[str, ...],
    only: tuple[str, ...],
    all_nodes: bool,
    nodes: list[LabelledNode],
    output: str,
    devices: DevicePolicy | None,
    rules: Rules | None,
    assume_classes: bool,
    features: Features,
) -> None:
    """Explain what a plan does with one pod.

    POD is a name as fairlead plan prints it: NAME or NAMESPACE/NAME. All pods before it are placed first, as the plan
    does, so what they hold is held. For a pod that fits nowhere, nodes in the same situation are shown together: every
    reason, and request by request how many devices each rule leaves out. Then what would help: the smallest changes
    after which the pod would fit, each of them tried.

    Exit status: 0 when the pod has a node, 1 when it has none, 2 when the input cannot be used or holds no such pod.

    \b
    Examples:
      fairlead explain train-3 -f cluster/ -f job.yaml
      fairlead explain ml/train-3 -f cluster/ -f job.yaml --node gpu-7
      fairlead explain ml/train-3 -f cluster/ -f job.yaml -o json | jq '.relaxations[0]'
    """
    given = load(paths, nodes, assume_classes=assume_classes, features=features)
    position = find(given, pod)
    known = sorted(node.name for node in given.cluster.nodes)
    for name in only:
        if name not in known:
            raise BadInputError([], f"no node {name} is known; {nearest(name, known)}")
    diagnosis = diagnose(given.cluster, given.pods, position, only=only, devices=devices, rules=rules)
    for note in given.notes:
        click.echo(note, err=True)
    if output == "json":
        click.echo(json.dumps(to_record(diagnosis), indent=2, ensure_ascii=False))
    else:
        from fairlead.cli.table import output_width  # rich takes a moment to import

        detailed = all_nodes or bool(only)
        click.echo(draw(diagnosis, given.cluster, output_width(), sys.stdout.isatty(), detailed), nl=False)
    if not diagnosis.placement.placed:
        raise SystemExit(NOT_PLACED)


def find(given: Input, name: str) -> int:
    """The place of a pod in the plan, by `name` or `namespace/name`.

    Raises:
        BadInputError: there is none, or there are several.
    """
    keys = [planned.pod.key for planned in given.pods]
    if name in keys:
        return keys.index(name)
    matching = [position for position, planned in enumerate(given.pods) if planned.pod.name == name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise BadInputError([], f"several pods are called {name}: {', '.join(keys[one] for one in matching)}")
    bound = next((pod for pod in given.cluster.pods if name in (pod.key, pod.name)), None)
    if bound is not None:
        raise BadInputError([], f"pod {bound.key} is on node {bound.spec.node_name} already, nothing is planned for it")
    left_out = "".join(f"; left out: {one_line(problem)}" for problem in given.left_out)
    if not keys:
        raise BadInputError([], f"the input holds no pod without a node, and nothing that makes pods{left_out}")
    made = [planned.pod.key for planned in given.pods if name in _owner_names(planned)]
    if made:
        shown = f"{', '.join(made[:_NEAREST])}{f' and {len(made) - _NEAREST} more' if len(made) > _NEAREST else ''}"
        raise BadInputError([], f"{name} is no pod, it makes pods: {shown}")
    raise BadInputError([], f"no pod {name} is in the input; {nearest(name, keys)}{left_out}")


def _owner_names(planned: PlannedPod) -> tuple[str, ...]:
    kind, _, key = planned.owner.partition(" ")
    return (planned.owner, key, key.rpartition("/")[2]) if key and kind != "Pod" else ()


def nearest(name: str, known: Sequence[str]) -> str:
    """Names that may have been meant, the most like first."""
    short = {key.rpartition("/")[2]: key for key in reversed(known)}
    like = difflib.get_close_matches(name, known, _NEAREST, 0.5)
    like += [short[one] for one in difflib.get_close_matches(name.rpartition("/")[2], list(short), _NEAREST, 0.5)]
    names = list(dict.fromkeys(like))[:_NEAREST]
    if names:
        return f"like it: {', '.join(names)}"
    return f"there are {', '.join(known[:_NEAREST])}{f' and {len(known) - _NEAREST} more' * (len(known) > _NEAREST)}"


def to_record(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis for programs: the pod as in `fairlead plan -o json`, then every node, then what would help."""
    made = record(diagnosis.placement)
    obstacles = made.pop("reasons")
    return {
        **made,
        "reasons": obstacles,
        "nodes": {one.node: _node_record(one) for one in diagnosis.nodes},
        "relaxations": [{**msgspec.to_builtins(one.relaxation), "nodes": list(one.nodes)} for one in diagnosis.help],
        "complete": diagnosis.complete,
        "gang": gang_record(diagnosis.gang) if diagnosis.gang is not None else None,
    }


def _node_record(node: NodeDiagnosis) -> dict[str, Any]:
    own = [] if node.reasons else node.obstacles
    return {
        "fits": node.fits,
        "reasons": [
            *({"kind": one.kind, "text": one.text} for one in own),
            *(msgspec.to_builtins(one) for one in node.reasons),
        ],
        "requests": [{**msgspec.to_builtins(one), "left": one.left} for one in node.tallies],
        "relaxations": [msgspec.to_builtins(one) for one in node.changes],
        "complete": node.relaxations.complete if node.relaxations is not None else None,
    }


def draw(diagnosis: Diagnosis, cluster: Cluster, width: int, colour: bool, detailed: bool) -> str:
    """The whole text.

    Args:
        diagnosis: what was found.
        cluster: the snapshot that it was found on.
        width: in columns.
        colour: whether to use colours.
        detailed: whether each node is shown by itself.
    """
    lines = list(_head(diagnosis, cluster, width, colour))
    failing = [node for node in diagnosis.nodes if not node.fits]
    if failing:
        lines += ["", _bold("WHAT STANDS IN THE WAY" + (" ELSEWHERE" if diagnosis.placement.placed else ""), colour)]
        order = [obstacle.text for obstacle in diagnosis.obstacles]
        lines += _each(failing, width) if detailed else _together(failing, order, width)
    if not diagnosis.placement.placed and diagnosis.nodes and not any(node.fits for node in diagnosis.nodes):
        lines += ["", _bold("WHAT WOULD HELP", colour), *_helps(diagnosis, width)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _bold(text: str, colour: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if colour else text


def _head(diagnosis: Diagnosis, cluster: Cluster, width: int, colour: bool) -> Iterator[str]:
    placement = diagnosis.placement
    owner = placement.pod.owner
    name = f"Pod {placement.pod.pod.key}{f' ({owner})' if owner and not owner.startswith('Pod ') else ''}"
    fitting = [node.node for node in diagnosis.nodes if node.fits]
    gang = diagnosis.gang
    if gang is not None and not placement.placed:
        yield from _filled(f"{name} waits for its gang: {gang.text}.", width, 0)
        for help_ in gang.helps:
            yield from _filled(f"it would fit {help_}", width, 4)
        if fitting:
            yield from _filled(f"By itself it fits on {_nodes(fitting)}.", width, 0)
        return
    if placement.placed:
        yield from _filled(f"{name} goes to {placement.node}.", width, 0)
        if any(used.claim.status.allocation is not None for used in placement.claims):
            from fairlead.cli.table import draw_placed

            yield ""
            yield from draw_placed(placement, cluster.slices, width, colour).splitlines()
            yield ""
        if gang is not None:
            yield from _filled(f"Its gang: {gang.text}. With the others of it in place:", width, 0)
        others = [node for node in fitting if node != placement.node]
        if placement.node not in fitting:
            return  # only some nodes were asked about
        if others and gang is not None:
            yield from _filled(f"It fits on {_nodes(fitting)}.", width, 0)
        elif others:
            yield from _filled(f"It fits on {_nodes(fitting)}: the first by name is taken.", width, 0)
        elif len(diagnosis.nodes) > 1:
            yield from _filled(f"Of {len(diagnosis.nodes)} nodes it fits on this one only.", width, 0)
        return
    if not diagnosis.nodes:
        yield from _filled(f"{name} fits nowhere:", width, 0)
        for obstacle in placement.obstacles:
            yield from _filled(obstacle.what, width, 4)
        return
    count = len(diagnosis.nodes)
    if count < len(cluster.nodes):
        yield from _filled(f"{name} fits on no node; looked at {_nodes([n.node for n in diagnosis.nodes])}.", width, 0)
    else:
        yield from _filled(f"{name} fits on {f'none of {count} nodes' if count > 1 else 'no node'}.", width, 0)


class _Said(NamedTuple):
    """One reason on one node."""

    text: str
    holders: tuple[str, ...]
    requests: tuple[str, ...] = ()


def _said(node: NodeDiagnosis) -> list[_Said]:
    if node.reasons:
        return [_Said(reason.text, reason.holders, reason.requests) for reason in node.reasons]
    return [_Said(obstacle.text, obstacle.holders) for obstacle in node.obstacles]


def _together(nodes: Sequence[NodeDiagnosis], order: Sequence[str], width: int) -> Iterator[str]:
    """Nodes with the same reasons as one, in the order in which the reasons are of use."""
    groups: dict[tuple[str, ...], list[NodeDiagnosis]] = {}
    for node in nodes:
        groups.setdefault(tuple(said.text for said in _said(node)), []).append(node)
    rank = {text: position for position, text in enumerate(order)}
    ordered = sorted(groups.items(), key=lambda item: min((rank.get(text, 0) for text in item[0]), default=0))
    for _, members in ordered[:_GROUPS]:
        yield from _filled(_nodes([node.node for node in members]), width, 0)
        yield from _reasons(members, width)
    if len(ordered) > _GROUPS:
        rest = sum(len(members) for _, members in ordered[_GROUPS:])
        yield f"... and {len(ordered) - _GROUPS} more situations on {_nodes_count(rest)}: --all-nodes shows all"


def _each(nodes: Sequence[NodeDiagnosis], width: int) -> Iterator[str]:
    for node in nodes:
        yield node.node
        yield from _reasons([node], width)
        for change in node.changes[:_HELPS]:
            yield from _filled(f"it would fit {change.text}", width, 4)
        if len(node.changes) > _HELPS:
            yield f"    ... or with {len(node.changes) - _HELPS} other changes"


def _reasons(members: Sequence[NodeDiagnosis], width: int) -> Iterator[str]:
    """The reasons, the same on each of the nodes, and under each the devices for the requests that it is about."""
    counted = [
        [node.tallies[number] for node in members if number < len(node.tallies)]
        for number in range(max(len(node.tallies) for node in members))
    ]
    for position, said in enumerate(_said(members[0])):
        holders: Counter[str] = Counter()
        for node in members:
            holders.update(_said(node)[position].holders)
        names = tuple(name for name, _ in holders.most_common())
        yield from _filled(Obstacle("", said.text, (), names).what, width, 4, 4)
        for tallies in [one for one in counted if one[0].request in said.requests]:
            counted.remove(tallies)
            if len(said.requests) > 1:
                yield f"      request {tallies[0].request}"
            yield from _tally(tallies, bool(names), width)
    for tallies in counted:
        yield f"      request {tallies[0].request}"
        yield from _tally(tallies, False, width)


def _tally(tallies: Sequence[RequestTally], holders_said: bool, width: int) -> Iterator[str]:
    """What every rule leaves out, over nodes in the same situation."""
    rules: dict[tuple[str, str], list[int]] = {}
    holders: Counter[str] = Counter()
    for tally in tallies:
        for excluded in tally.excluded:
            held = excluded.rule == "held"
            rules.setdefault((excluded.rule, "" if held else excluded.detail), []).append(excluded.count)
            if held and not holders_said:
                holders.update(excluded.detail.split(", "))
    names = [name for name, _ in holders.most_common() if name]
    reach = [tally.devices for tally in tallies]
    rows = [(_span(reach), "device reaches the node" if max(reach) == 1 else "devices reach the node")]
    for key, counts in rules.items():
        absent = [0] if len(counts) < len(tallies) else []
        rows.append((_span([*absent, *counts]), _rule(*key, names)))
    rows.append((_span([tally.left for tally in tallies]), f"left, {tallies[0].wanted or 'all'} wanted"))
    column = max(len(count) for count, _ in rows)
    for count, text in rows:
        yield from _filled(f"{count:>{column}}  {text}", width, 8, 10 + column)


def _rule(rule: str, detail: str, names: Sequence[str]) -> str:
    match rule:
        case "class":
            return f"not of class {detail}"
        case "selector":
            return f"not matching {detail}"
        case "node":
            return "for other nodes"
        case "taint":
            return f"with a taint that is not tolerated: {detail}"
        case "held":
            more = f" and {len(names) - _HOLDERS} more" if len(names) > _HOLDERS else ""
            return f"held by {', '.join(names[:_HOLDERS])}{more}" if names else "held"
        case "capacity":
            return f"without room for {detail}" if detail else "without room"
        case "counter":
            return f"partitions: {detail}"
        case _:
            return f"{rule}: {detail}"


def _helps(diagnosis: Diagnosis, width: int) -> Iterator[str]:
    several = len(diagnosis.nodes) > 1
    shown = [one for one in diagnosis.help if not _implied(one, diagnosis.help)]
    if shown:
        yield "It would fit"
    for one in shown[:_HELPS]:
        where = f"  [{_nodes(list(one.nodes), 2)}]" if several else ""
        yield from _filled(f"{one.relaxation.text}{where}", width, 4)
    if len(shown) > _HELPS:
        yield f"    ... or with {len(shown) - _HELPS} other changes: -o json has all"
    if not shown:
        asked = any(node.relaxations is not None for node in diagnosis.nodes)
        yield from _filled(
            "No single change does: no device that another claim lets go, no constraint dropped, no count lowered, no "
            "device taint tolerated; and no claims that let go together."
            if asked
            else "The nodes themselves refuse the pod; its claims are not what stands in the way.",
            width,
            0,
        )
    if not diagnosis.complete:
        yield from _filled("There may be more: the search ended after a bounded number of decisions.", width, 0)


def _implied(one: Help, helps: Sequence[Help]) -> bool:
    """Whether a claim that lets go of everything is shown with one of its devices already."""
    return one.relaxation.kind == "free-claim" and any(
        other.relaxation.kind == "free-device" and other.relaxation.holders == one.relaxation.holders for other in helps
    )


def _nodes(names: Sequence[str], named: int = _NAMED) -> str:
    """`12 nodes`, with their names where they are few."""
    shown = f" ({', '.join(names)})" if len(names) <= named else f" ({names[0]} to {names[-1]})"
    return names[0] if len(names) == 1 else f"{_nodes_count(len(names))}{shown}"


def _nodes_count(count: int) -> str:
    return f"{count} {'node' if count == 1 else 'nodes'}"


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low}-{high}"


def _filled(text: str, width: int, indent: int, hanging: int = -1) -> list[str]:
    """The text in lines, those after the first further in."""
    rest = hanging if hanging >= 0 else indent + 4
    padding = len(text) - len(text.lstrip())
    return textwrap.wrap(
        text.lstrip(),
        width,
        initial_indent=" " * (indent + padding),
        subsequent_indent=" " * rest,
        break_on_hyphens=False,
    )
