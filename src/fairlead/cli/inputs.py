"""From paths to a cluster and pods, or to the problems that make an input unusable.

An input is used as a whole or not at all: one object that the API server would refuse, or a reference that leads
nowhere, and nothing is planned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from msgspec.structs import replace

from fairlead.cli.assumed import assumed_classes
from fairlead.cli.checks import one_line, problems_of
from fairlead.cli.options import LabelledNode, read_stdin
from fairlead.inventory import Features
from fairlead.placement import Cluster, ask_problems, assumed_node, named_nodes
from fairlead.placement.wiring import WishError, wishes
from fairlead.resource import (
    DeviceClass,
    Node,
    Objects,
    PlannedPod,
    Problem,
    ResourceClaim,
    bound_pods,
    expand,
    read_paths,
    suspended,
)

MAX_SHOWN = 25
MAX_WARNINGS = 5

_NOT_DECISIVE = ("status.reservedFor", "status.devices")
"""Fields of claims on which no decision rests. Recordings of clusters often had their UIDs removed."""


class BadInputError(click.ClickException):
    """The input cannot be planned: everything that is wrong with it, then what follows; exit status 2."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], message: str = "") -> None:
        count = f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}"
        super().__init__(message or f"{count} in the input, nothing was planned")
        self.problems = list(problems)

    def show(self, file: Any = None) -> None:
        """Prints the problems and the message on stderr."""
        for problem in self.problems[:MAX_SHOWN]:
            click.echo(one_line(problem), err=True)
        if len(self.problems) > MAX_SHOWN:
            click.echo(f"... and {len(self.problems) - MAX_SHOWN} more: fairlead validate shows all", err=True)
        click.echo(f"Error: {self.message}", err=True)


@dataclass(frozen=True, slots=True)
class Input:
    """What is to be planned, and on what.

    `notes` are things that were taken for granted. `left_out` says which workloads name claims or templates that are
    not there: in a cluster their pods would wait for those.
    """

    cluster: Cluster
    pods: Sequence[PlannedPod]
    notes: Sequence[str] = ()
    left_out: Sequence[Problem] = ()


def load(
    paths: Sequence[str],
    nodes: Sequence[LabelledNode] = (),
    *,
    assume_classes: bool = True,
    features: Features = Features(),  # noqa: B008 - an immutable value
) -> Input:
    """Reads, checks and expands an input.

    Args:
        paths: files, directories, or `-` for standard input.
        nodes: more nodes, by name and labels; a node that is there already gets the labels.
        assume_classes: whether the DeviceClasses that drivers are known to install need not be in the input.
        features: which parts of Dynamic Resource Allocation the cluster has.

    Raises:
        BadInputError: with everything that is wrong.
    """
    objects, problems = read_paths(list(paths), read_stdin)
    found = problems_of(objects)
    problems = [*problems, *(problem for problem in found if not problem.field.startswith(_NOT_DECISIVE))]
    if problems:
        raise BadInputError(problems)
    warnings = [f"warning: {one_line(warning)}" for warning in [*objects.warnings, *found]]
    notes = warnings[:MAX_WARNINGS]
    if len(warnings) > MAX_WARNINGS:
        notes.append(f"warning: ... and {len(warnings) - MAX_WARNINGS} more, fairlead validate shows all")
    offered = _offered(objects) if assume_classes else []
    objects = dataclasses.replace(objects, classes=[*objects.classes, *offered])
    known = _nodes(objects, nodes)
    if not known:
        raise BadInputError(
            [], "no node is known: the input holds no Node and no ResourceSlice that names one; --node NAME adds one"
        )
    names = dict.fromkeys(node.name for node in known)
    strangers = [node.name for node in named_nodes(objects.slices) if node.name not in names]
    if strangers:
        notes.append(
            f"note: {_listed(strangers)} named by ResourceSlices but not in the input as Nodes: not planned on"
        )
    notes += [f"note: {one_line(one)}" for one in suspended(objects)]
    pods, left_out = expand(objects, list(names))
    problems = [*_missing_classes(objects, pods), *ask_problems(pods)]
    if problems or (left_out and not pods):
        raise BadInputError([*left_out, *problems])
    used = {name for pod in pods for claim in pod.claims for _, name in _named_classes(claim.claim)}
    notes += [
        f"note: DeviceClass {device_class.name} is not in the input; assumed as its driver installs it"
        for device_class in offered
        if device_class.name in used
    ]
    problems = _bad_wishes(pods)
    if problems:
        raise BadInputError(problems)
    cluster = Cluster(
        nodes=known,
        slices=objects.slices,
        classes=objects.classes,
        claims=objects.claims,
        taint_rules=objects.taint_rules,
        pods=bound_pods(objects),
        budgets=objects.budgets,
        features=features,
    )
    return Input(cluster, pods, notes, left_out)


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"node {names[0]} is"
    shown = ", ".join(names[:3])
    return f"nodes {shown} {f'and {len(names) - 3} more ' if len(names) > 3 else ''}are"


def _nodes(objects: Objects, more: Iterable[LabelledNode]) -> list[Node]:
    known = {node.name: node for node in objects.nodes or named_nodes(objects.slices)}
    for name, labels in more:
        node = known.get(name) or assumed_node(name)
        meta = replace(node.metadata, labels={**node.metadata.labels, **labels})
        known[name] = replace(node, metadata=meta)
    return list(known.values())


def _offered(objects: Objects) -> list[DeviceClass]:
    present = {device_class.name for device_class in objects.classes}
    return [device_class for name, device_class in assumed_classes().items() if name not in present]


def _named_classes(claim: ResourceClaim) -> Iterator[tuple[str, str]]:
    """Where a claim names a class, below its spec, and which. A claim that has its devices needs no class."""
    if claim.status.allocation is not None:
        return
    for index, request in enumerate(claim.spec.devices.requests):
        path = f"devices.requests[{index}]"
        if request.exactly is not None:
            yield f"{path}.exactly.deviceClassName", request.exactly.device_class_name
        for number, alternative in enumerate(request.first_available):
            yield f"{path}.firstAvailable[{number}].deviceClassName", alternative.device_class_name


def _bad_wishes(pods: Sequence[PlannedPod]) -> list[Problem]:
    """What is wrong with annotations of ours; once for all pods of a workload."""
    found: dict[tuple[str, str, str], Problem] = {}
    for pod in pods:
        try:
            wishes(pod)
        except WishError as error:
            for problem in error.problems:
                found.setdefault((pod.owner, problem.field, problem.reason), problem)
    return list(found.values())


def _missing_classes(objects: Objects, pods: Sequence[PlannedPod]) -> list[Problem]:
    """Each place where a pod's claim names a class that is not there; once for all pods of a template."""
    present = {device_class.name for device_class in objects.classes}
    missing: dict[Problem, None] = {}
    for pod in pods:
        templates = {claim.name: claim.resource_claim_template_name for claim in pod.pod.spec.resource_claims}
        for used in pod.claims:
            kind, name, spec = "ResourceClaim", used.claim.name, "spec"
            if used.generated and (template := templates.get(used.name)):
                kind, name, spec = "ResourceClaimTemplate", template, "spec.spec"
            namespace = used.claim.namespace
            for path, device_class in _named_classes(used.claim):
                if device_class not in present:
                    reason = f'Not found: "{device_class}": no DeviceClass of that name in the input'
                    source = objects.sources.get((kind, namespace, name), "")
                    missing[Problem(f'{kind} "{namespace}/{name}"', f"{spec}.{path}", reason, source)] = None
    return list(missing)
