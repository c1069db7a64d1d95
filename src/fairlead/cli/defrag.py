"""`fairlead defrag`: which running pods would have to move for a blocked workload to start."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import click
import yaml

from fairlead.cli.checks import one_line
from fairlead.cli.explain import nearest
from fairlead.cli.inputs import BadInputError, Input, load
from fairlead.cli.options import LabelledNode, claims_output_option, cluster_options, files_option, nodes_option
from fairlead.inventory import Features
from fairlead.placement.defrag import defragment
from fairlead.placement.planning import together
from fairlead.placement.words import counted
from fairlead.resource import PlannedPod

NO_PLAN: Final = 1
_NAMED: Final = 4
"""Up to how many names are listed."""


@click.command(short_help="Show the fewest moves of running pods that let a blocked workload start.")
@click.option(
    "--for",
    "workload",
    required=True,
    metavar="WORKLOAD",
    help="Who needs room: NAME, NAMESPACE/NAME or 'KIND NAMESPACE/NAME' of a workload, or the name of a pod.",
)
@files_option
@click.option("--max-moves", type=click.IntRange(min=0), metavar="N", help="Look for no plan with more moves.")
@nodes_option(
    "--node",
    "A node with room, as --node of fairlead plan. May be given several times.",
)
@claims_output_option
@cluster_options
def defrag(
    workload: str,
    paths: tuple[str, ...],
    max_moves: int | None,
    nodes: list[LabelledNode],
    output: str,
    assume_classes: bool,
    features: Features,
) -> None:
    """Plan the fewest moves of running pods that let a blocked workload start. Nothing is changed anywhere.

    The input is that of fairlead plan: running pods with their claims, and the workload among the pods that wait. Other
    waiting pods are not placed. A move means that a pod is evicted and made again by its controller in another place,
    which the plan names; every moved pod has one, and the workload is placed whole.

    Only pods move that a controller makes again, whose priority is not above the workload's, whose claims nobody else
    uses, which no DaemonSet ties to their node, and within PodDisruptionBudgets. The annotation
    fairlead.dev/move: never keeps a pod where it is. Of plans with equally few moves, the one that disrupts fewer
    workloads is taken, then the one that moves lower priorities.

    Exit status: 0 with a plan, also when no move is needed; 1 when there is none; 2 when the input cannot be used or
    holds no such workload.

    \b
    Examples:
      fairlead defrag --for train -f cluster/ -f job.yaml
      fairlead defrag --for 'Job ml/train' -f cluster/ -f job.yaml --max-moves 3
      fairlead defrag --for ml/train-0 -f dump.json -o json | jq '.moves[].pod'
    """
    given = load(paths, nodes, assume_classes=assume_classes, features=features)
    units = find_workload(given, workload)
    found = defragment(given.cluster, units, max_moves=max_moves)
    chosen = {pod.pod.key for unit in units for pod in unit}
    others = sum(planned.pod.key not in chosen for planned in given.pods)
    for note in given.notes:
        click.echo(note, err=True)
    if others:
        click.echo(
            f"note: {counted(others, 'other pod')} without a node {'is' if others == 1 else 'are'} not placed", err=True
        )
    for problem in given.left_out:
        click.echo(f"note: left out: {one_line(problem)}", err=True)
    title = title_of(units)
    if output == "table":
        from fairlead.cli.defrag_table import draw  # rich takes a moment to import
        from fairlead.cli.table import output_width

        click.echo(draw(title, found, given.cluster, output_width(), sys.stdout.isatty(), max_moves), nl=False)
    else:
        from fairlead.cli.defrag_record import to_record

        click.echo(_as_text(to_record(title, found), output), nl=False)
    if found.moves is None:
        raise SystemExit(NO_PLAN)


def find_workload(given: Input, name: str) -> list[list[PlannedPod]]:
    """The pods of the workload of that name: pods alone, and gangs as one.

    Raises:
        BadInputError: there is none, or there are several.
    """
    units = list(together(given.pods))
    for unit in units:
        if any(name in (planned.pod.key, planned.pod.name) for planned in unit):
            return _only(name, [unit], [one for one in units if any(name == planned.pod.name for planned in one)])
    titles = {title: None for unit in units for planned in unit for title in _titles(planned)}
    matching = [title for title in titles if name in (title, *_short(title))]
    if len(matching) > 1:
        # A gang may be known by the name of its workload and by its own: the workload is all of it.
        owners = {planned.owner for unit in units for planned in unit}
        matching = [title for title in matching if title in owners] or matching
    if len(matching) == 1:
        return [unit for unit in units if any(matching[0] in _titles(planned) for planned in unit)]
    if matching:
        raise BadInputError([], f"several workloads are called {name}: {', '.join(matching[:_NAMED])}")
    running = next((pod for pod in given.cluster.pods if name in (pod.key, pod.name)), None)
    if running is not None:
        raise BadInputError([], f"pod {running.key} is on node {running.spec.node_name} already, it needs no room")
    left_out = "".join(f"; left out: {one_line(problem)}" for problem in given.left_out)
    if not units:
        raise BadInputError([], f"the input holds no pod without a node, and nothing that makes pods{left_out}")
    known = [*(title for title in titles if not title.startswith("Pod ")), *(pod.pod.key for pod in given.pods)]
    raise BadInputError([], f"no workload or pod {name} waits for a node; {nearest(name, known)}{left_out}")


def title_of(units: Sequence[Sequence[PlannedPod]]) -> str:
    """What the workload is called: the gang, the owner of several pods, or the pod."""
    first = units[0][0]
    if len(units) == 1:
        return first.group or f"Pod {first.pod.key}"
    return first.owner


def _only(name: str, found: list[list[PlannedPod]], all_found: list[list[PlannedPod]]) -> list[list[PlannedPod]]:
    """The unit of a pod; several pods of the same name are an error, unless the namespace was said."""
    if "/" not in name and len(all_found) > 1:
        keys = [planned.pod.key for unit in all_found for planned in unit if planned.pod.name == name]
        raise BadInputError([], f"several pods are called {name}: {', '.join(keys[:_NAMED])}")
    return found


def _titles(planned: PlannedPod) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (planned.owner, planned.group))))


def _short(title: str) -> tuple[str, str]:
    """`ml/train` and `train` of `Job ml/train`."""
    key = title.partition(" ")[2]
    return key, key.rpartition("/")[2]


def _as_text(value: dict[str, Any], output: str) -> str:
    if output == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text
