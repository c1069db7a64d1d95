"""`fairlead migrate`: workloads of device plugins, rewritten to claims."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

import click

from fairlead.cli.assumed import assumed_classes
from fairlead.cli.checks import one_line, problems_of
from fairlead.cli.inputs import BadInputError
from fairlead.cli.options import files_option, read_stdin
from fairlead.migration import RULES, Migration, Rule, RuleError, answers, read_rule
from fairlead.migration import migrate as rewrite
from fairlead.resource import Problem, read_documents, read_text, write_yaml_value

_LEFT: Final = 1
_MARKS: Final = {"changed": "", "look": "look at ", "left": "left: "}


def _rules(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[Rule]:
    try:
        return [read_rule(value) for value in values]
    except RuleError as error:
        raise click.BadParameter(str(error)) from None


@click.command(short_help="Rewrite workloads of device plugins to claims.")
@files_option
@click.option(
    "--to",
    "target",
    type=click.Choice(["claims", "extended-resources"]),
    default="claims",
    show_default=True,
    help="claims rewrites the workloads; extended-resources leaves them, and makes DeviceClasses that answer for their "
    "resources by name.",
)
@click.option(
    "--map",
    "rules",
    multiple=True,
    callback=_rules,
    metavar="RESOURCE=CLASS[,SELECTOR]",
    help="What becomes of a resource, before all that is built in; SELECTOR is CEL over device. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["diff", "yaml", "json"]),
    default="diff",
    show_default=True,
    help="diff shows what changes; yaml and json are all objects of the input as they become.",
)
def migrate(
    paths: tuple[str, ...],
    target: Literal["claims", "extended-resources"],
    rules: list[Rule],
    output: Literal["diff", "yaml", "json"],
) -> None:
    """Rewrite workloads that count the devices of a device plugin, so that they claim devices.

    Known are the resources of NVIDIA (GPUs, MIG, shared), AMD, AWS EFA, the RDMA plugin, SR-IOV networks by Multus
    annotation with their NetworkAttachmentDefinitions, and IBM's Spyre and Power plugins; --map adds others. Pod specs
    are found in objects of any kind. Quotas follow. What changes and why is told on stderr; comments of YAML files are
    lost. Nothing is written anywhere.

    Exit status: 0; 1 when something was left as it is; 2 when the input cannot be read.

    \b
    Examples:
      fairlead migrate -f deployment.yaml
      fairlead migrate -f manifests/ -o yaml > migrated.yaml
      fairlead migrate -f manifests/ --to extended-resources
      kubectl get deployments -A -o json | fairlead migrate -f - --map example.com/card=cards.example.com
    """
    read, problems = read_documents(list(paths), read_stdin)
    if problems:
        raise BadInputError(problems, "the input cannot be read")
    documents = [document for document, _ in read]
    classes = {
        name: one.spec.selectors[0].cel.expression
        for name, one in assumed_classes().items()
        if one.spec.selectors[0].cel
    }
    result = rewrite(documents, [*rules, *answers(documents), *RULES], classes, target)
    if output == "json":
        click.echo(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": result.documents}, indent=2, ensure_ascii=False)
        )
    elif output == "yaml":
        click.echo("---\n".join(map(write_yaml_value, result.documents)), nl=False)
    else:
        for line in _diff(read, result):
            click.secho(line, fg=_color(line))
    for note in result.notes:
        click.echo(f"{_MARKS[note.level]}{note}", err=True)
    invalid = _invalid(result)
    for problem in invalid:
        click.echo(f"left: {one_line(problem)}", err=True)
    left = sum(note.level == "left" for note in result.notes) + len(invalid)
    if not result.notes:
        click.echo("nothing in the input counts the devices of a device plugin", err=True)
    raise SystemExit(_LEFT if left else 0)


def _diff(read: Sequence[tuple[dict[str, Any], str]], result: Migration) -> Iterator[str]:
    for document, origin in zip(result.documents, result.origins, strict=True):
        metadata = document.get("metadata")
        name = f"{document.get('kind')} {metadata.get('name', '') if isinstance(metadata, dict) else ''}"
        before, source = ({}, "/dev/null") if origin is None else read[origin]
        old = write_yaml_value(before).splitlines() if before else []
        new = write_yaml_value(document).splitlines()
        yield from difflib.unified_diff(old, new, f"{source} ({name})" if before else source, name, lineterm="", n=2)


def _color(line: str) -> str | None:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])


def _invalid(result: Migration) -> list[Problem]:
    """What the API server would have against that which is new."""
    new = [document for document, origin in zip(result.documents, result.origins, strict=True) if origin is None]
    if not new:
        return []
    objects, problems = read_text("---\n".join(map(write_yaml_value, new)).encode(), "")
    return [*problems, *problems_of(objects)]
