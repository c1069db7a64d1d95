"""`fairlead plan`: where would these workloads go, and where not, why."""

from __future__ import annotations

import sys

import click

from fairlead.cli.checks import one_line
from fairlead.cli.inputs import BadInputError, load
from fairlead.cli.options import LabelledNode, claims_output_option, cluster_options, files_option, nodes_option
from fairlead.cli.placing import placement_options, wiring_options
from fairlead.inventory import Features
from fairlead.placement import Advisor
from fairlead.placement import plan as place
from fairlead.placement.packing import node_policy, typical_pods
from fairlead.placement.wiring import DevicePolicy
from fairlead.topology import Rules

SOME_UNPLACED = 1


@click.command(short_help="Show which devices on which nodes pods get, or why none.")
@files_option
@nodes_option(
    "--node",
    "A node with room, and its labels as key=value,key=value; for inputs that hold no Nodes. May be given "
    "several times.",
)
@claims_output_option
@placement_options
@wiring_options
@cluster_options
def plan(
    paths: tuple[str, ...],
    nodes: list[LabelledNode],
    output: str,
    policy: str | None,
    gangs: bool,
    devices: DevicePolicy | None,
    rules: Rules | None,
    assume_classes: bool,
    features: Features,
) -> None:
    """Plan workloads on a cluster's devices, offline.

    The input is any mix of manifests: ResourceSlices, DeviceClasses, ResourceClaims and their templates, Nodes, Pods
    and whatever makes pods (Deployments, Jobs, MPIJobs, ...). Claims that are allocated and pods that have a node
    count as they are; all other pods are placed one after another, the pods of a gang (Indexed Job, JobSet, MPIJob,
    LeaderWorkerSet, PodGroup) whole or not at all. Where the input holds no Nodes, the nodes that ResourceSlices name
    are taken to have room.

    Annotations of pods choose devices, join claims and say where gangs go: see docs/annotations.md.

    A workload that names a claim or template that is not there is left out, and said to be.

    Exit status: 0 when every pod has a node, 1 when one has none or was left out, 2 when the input cannot be used.

    \b
    Examples:
      fairlead plan -f slices.yaml -f classes.yaml -f job.yaml
      fairlead plan -f cluster/ -f job.yaml --node gpu-7=zone=a,rack=r2 -o yaml
      fairlead plan -f cluster/ -f job.yaml --devices compact --policy pack
      kubectl get resourceslices,deviceclasses,resourceclaims,nodes,pods -A -o json | fairlead plan -f - -f job.yaml
    """
    given = load(paths, nodes, assume_classes=assume_classes, features=features)
    if not given.pods:
        for note in given.notes:
            click.echo(note, err=True)
        raise BadInputError([], "nothing to place: the input holds no pod without a node, and nothing that makes pods")
    ranking = node_policy(policy, typical=typical_pods(given.pods), explain=True) if policy else None
    advisor = Advisor(given.cluster, ranking) if output == "table" else None
    chosen_by = advisor or ranking
    result = place(given.cluster, given.pods, chosen_by, devices=devices, rules=rules, gangs=gangs)
    why = {pod: str(choice) for pod, choice in ranking.choices.items()} if ranking is not None else {}
    if advisor is not None:
        from fairlead.cli.table import draw, output_width  # rich takes a moment to import

        advice = {pod: one.relaxation.text for pod, one in advisor.advice.items()}
        text = draw(result, given.cluster.slices, output_width(), sys.stdout.isatty(), advice, why)
    else:
        from fairlead.cli.records import to_json, to_yaml

        text = to_json(result, why) if output == "json" else to_yaml(result, why)
    for note in given.notes:
        click.echo(note, err=True)
    for contradiction in result.topology:
        click.echo(f"topology: {contradiction.text}", err=True)
    click.echo(text, nl=False)
    for problem in given.left_out:
        click.echo(f"left out: {one_line(problem)}", err=True)
    if given.left_out or not result.complete:
        raise SystemExit(SOME_UNPLACED)
