"""`fairlead simulate`: policies compared, on pods that came to a real cluster or on days of jobs on a synthetic one."""

from __future__ import annotations

import errno
import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from fairlead.cli.inputs import BadInputError
from fairlead.placement.packing import DEFAULT, NODE_POLICIES
from fairlead.placement.wiring import DEVICE_POLICIES
from fairlead.simulation import (
    Fleet,
    JobsError,
    Setup,
    Trace,
    TraceError,
    build,
    line_of,
    page,
    read_jobs,
    read_nodes,
    read_pods,
    to_record,
    write_whole,
)

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


@click.command(short_help="Compare policies on a recorded cluster, or on days of jobs on a synthetic one.")
@click.option(
    "--cluster",
    "spec",
    metavar="SPEC",
    help="A synthetic cluster, as for fairlead cluster: jobs come and leave there for some hours.",
)
@click.option("--nodes", type=click.Path(), metavar="CSV", help="The nodes of a recorded cluster (openb columns).")
@click.option(
    "--trace", type=click.Path(), metavar="CSV", help="The pods that came to it; with --cluster, the jobs that come."
)
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
    "--devices",
    "device_policies",
    type=click.Choice(list(DEVICE_POLICIES)),
    multiple=True,
    default=["first-fit"],
    show_default=True,
    help="With --cluster: which devices of a node a pod gets; each is combined with each --policy.",
)
@click.option(
    "--hours",
    type=click.FloatRange(min=0.1, max=24 * 31),
    callback=_factor,
    default=24.0,
    show_default=True,
    help="With --cluster: how long jobs come, and what is measured over.",
)
@click.option(
    "--load",
    type=click.FloatRange(min=0.01, max=10),
    callback=_factor,
    default=0.9,
    show_default=True,
    metavar="X",
    help="With --cluster: GPU time that drawn jobs ask for, in parts of what there is.",
)
@click.option(
    "--warm-up",
    type=click.FloatRange(min=0, max=24 * 7),
    callback=_factor,
    default=12.0,
    show_default=True,
    metavar="HOURS",
    help="With --cluster: for how long drawn jobs come before anything is measured, so that the day begins busy.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="With --cluster: write a page with plots, one HTML file that needs nothing else.",
)
@click.option(
    "--seeds",
    callback=parse_seeds,
    default="42",
    show_default=True,
    metavar="N[-M],...",
    help="One run of each policy for each seed, which decides the order of pods and nodes, or which jobs come.",
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
@click.pass_context
def simulate(
    ctx: click.Context,
    spec: str | None,
    nodes: str | None,
    trace: str | None,
    policies: Sequence[str],
    device_policies: Sequence[str],
    hours: float,
    load: float,
    warm_up: float,
    report: Path | None,
    seeds: list[int],
    inflate: float,
    jobs: int | None,
    output: str,
) -> None:
    """Simulate a cluster, to compare policies.

    With --nodes and --trace, a recorded cluster is filled: pods come one after another, nobody leaves, what fits
    nowhere is dropped. With --cluster, jobs come to a synthetic cluster, wait in a queue with backfill, run and leave.
    The first --policy with the first --devices is what the others are compared with (docs/simulation.md).

    Every pod is placed by the planner, with its claims allocated as Kubernetes would. Of a recorded cluster, at the
    end, `allocated` is the part of all devices that claims hold, and `fragmentation` the part of the others that the
    typical pods of the trace could not use: too little CPU or memory beside them, too little left of a device, too few
    of them on one node.

    Nodes: sn,cpu_milli,memory_mib,gpu,model. Pods: name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]. Jobs:
    name,arrival_s,duration_s,kind,pods,gpus,nics.

    Exit status: 0 when the runs are done, 2 when the input cannot be used.

    \b
    Examples:
      fairlead simulate --nodes nodes.csv --trace pods.csv
      fairlead simulate --nodes nodes.csv --trace pods.csv --policy fgd --policy pack --seeds 42-51 --inflate 1.3
      fairlead simulate --nodes nodes.csv --trace pods.csv -o json | jq .policies.pack.allocated_percent.mean
      fairlead simulate --cluster h100:nodes=64 --devices first-fit --devices compact --seeds 1-3 --report day.html
    """
    _refuse_mixed(ctx, spec is not None)
    if spec is not None:
        setups = [(policy, devices) for policy in dict.fromkeys(policies) for devices in dict.fromkeys(device_policies)]
        _days(spec, trace, setups, seeds, hours, load, warm_up, jobs, output, report)
        return
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


_OF_DAYS = {
    "device_policies": "--devices",
    "hours": "--hours",
    "load": "--load",
    "warm_up": "--warm-up",
    "report": "--report",
}
_OF_RECORDINGS = {"nodes": "--nodes", "inflate": "--inflate"}


def _refuse_mixed(ctx: click.Context, days: bool) -> None:
    """Refuses options that have no meaning beside or without --cluster."""
    for name, option in (_OF_RECORDINGS if days else _OF_DAYS).items():
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} cannot be used {'with' if days else 'without'} --cluster.")
    for name in ("load", "warm_up") if days and ctx.params["trace"] else ():
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{_OF_DAYS[name]} cannot be used with --trace, whose jobs are as they are.")


def _days(
    spec: str,
    trace: str | None,
    names: Sequence[tuple[str, str]],
    seeds: list[int],
    hours: float,
    load: float,
    warm_up: float,
    jobs: int | None,
    output: str,
    report: Path | None,
) -> None:
    from fairlead.cli.cluster import load_spec
    from fairlead.cli.days import Course, compare
    from fairlead.cli.figures import to_json, to_yaml
    from fairlead.topology import default_rules

    if report is not None and not report.absolute().parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(report))
    parts = load_spec(spec)
    objects = build(parts)
    fleet = Fleet(objects, default_rules())
    if not fleet.classes.gpu:
        raise BadInputError([], "the cluster has no whole GPUs, and every job asks for some")
    try:
        recorded = read_jobs(_text(trace), trace) if trace is not None else []
    except JobsError as error:
        raise BadInputError(error.problems, "the jobs cannot be used") from None
    described = {"spec": line_of(parts), "nodes": len(objects.nodes), "gpus": fleet.gpus, "hours": hours}
    described |= {"trace": trace} if trace is not None else {"load": load, "warm_up": warm_up}
    described["seeds"] = seeds
    course = Course(parts, hours, load, 0.0 if recorded else warm_up, recorded)
    results = compare(course, [Setup(*name) for name in names], seeds, jobs)
    if report is not None:
        write_whole(report, page(described, results, shlex.join(["fairlead", *sys.argv[1:]])))
    if output == "table":
        from fairlead.cli.dayfigures import draw
        from fairlead.cli.table import output_width

        click.echo(draw(described, results, output_width(), sys.stdout.isatty()), nl=False)
        return
    record = to_record(described, results)
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
