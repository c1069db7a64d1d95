"""`fairlead simulate`: how full does a policy get a cluster, on pods that came to a real one."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from fairlead.cli.inputs import BadInputError
from fairlead.placement.packing import DEFAULT, NODE_POLICIES
from fairlead.simulation import Trace, TraceError, read_nodes, read_pods

MAX_SEEDS = 10_000


def parse_seeds(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """`42`, `42-51`, or several of them with commas between: the seeds in that order, each once."""
    found: dict[int, None] = {}
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        if not (_is_number(first) and (not dash or _is_number(last))):
            raise click.BadParameter(f"{part!r}: must be a number, or two with a dash between, for example 42-51")
        low, high = int(first), int(last or first)
        if high < low:
            raise click.BadParameter(f"{part!r}: the second number must not be less than the first")
        if high - low >= MAX_SEEDS:
            raise click.BadParameter(f"{part!r}: more than {MAX_SEEDS} seeds")
        found.update(dict.fromkeys(range(low, high + 1)))
    return list(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _factor(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number")
    return value


@click.command(short_help="Fill a recorded cluster with pods, and measure how full policies get it.")
@click.option("--nodes", type=click.Path(), metavar="CSV", help="The nodes of a recorded cluster (openb columns).")
@click.option("--trace", type=click.Path(), metavar="CSV", help="The pods that came to it.")
@click.option(
    "--policy",
    "policies",
    type=click.Choice(NODE_POLICIES),
    multiple=True,
    default=[DEFAULT],
    show_default=True,
    help="Which node takes a pod; may be given several times, to compare.",
)
@click.option(
    "--seeds",
    callback=parse_seeds,
    default="42",
    show_default=True,
    metavar="N[-M],...",
    help="One run of each policy for each seed, which decides the order of pods and nodes.",
)
@click.option(
    "--inflate",
    type=click.FloatRange(min=0, max=100),
    callback=_factor,
    default=0.0,
    metavar="X",
    help="Add pods drawn from the trace until X times the cluster's devices are asked for.  [default: add none]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs at a time, each in a process of its own.  [default: one for each core]",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="json and yaml hold the figures of every seed, and are the same for the same input.",
)
def simulate(
    nodes: str | None,
    trace: str | None,
    policies: Sequence[str],
    seeds: list[int],
    inflate: float,
    jobs: int | None,
    output: str,
) -> None:
    """Simulate a cluster: pods come one after another, nobody leaves, what fits nowhere is dropped.

    Every pod is placed by the planner, with its claims allocated as Kubernetes would. At the end, `allocated` is the
    part of all devices that claims hold, and `fragmentation` the part of the others that the typical pods of the trace
    could not use: too little CPU or memory beside them, too little left of a device, too few of them on one node.

    Nodes: sn,cpu_milli,memory_mib,gpu,model. Pods: name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec].

    Exit status: 0 when the runs are done, 2 when the input cannot be used.

    \b
    Examples:
      fairlead simulate --nodes nodes.csv --trace pods.csv
      fairlead simulate --nodes nodes.csv --trace pods.csv --policy fgd --policy pack --seeds 42-51 --inflate 1.3
      fairlead simulate --nodes nodes.csv --trace pods.csv -o json | jq .policies.pack.allocated_percent.mean
    """
    for option, path in (("--nodes", nodes), ("--trace", trace)):
        if path is None:
            raise click.UsageError(f"Missing option '{option}'.")
    assert nodes is not None
    assert trace is not None
    recorded = _read(nodes, trace)
    names = list(dict.fromkeys(policies))
    from fairlead.cli.runs import run_all

    results = run_all(recorded, names, seeds, inflate, jobs)
    from fairlead.cli.figures import draw, to_json, to_record, to_yaml

    if output == "table":
        from fairlead.cli.table import output_width

        click.echo(draw(recorded, inflate, results, output_width(), sys.stdout.isatty()), nl=False)
        return
    record = to_record(recorded, inflate, results)
    click.echo(to_json(record) if output == "json" else to_yaml(record), nl=False)


def _read(nodes: str, pods: str) -> Trace:
    try:
        trace = Trace(read_nodes(_text(nodes), nodes), read_pods(_text(pods), pods))
    except TraceError as error:
        raise BadInputError([], str(error)) from None
    for path, rows, what in ((nodes, trace.nodes, "node"), (pods, trace.pods, "pod")):
        if not rows:
            raise BadInputError([], f"{path}: there is no {what} in it")
    return trace


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInputError([], f"{path}: not UTF-8 text (byte {error.start})") from None
