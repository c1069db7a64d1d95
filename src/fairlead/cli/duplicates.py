"""`fairlead duplicates`: which devices are held more often than there is room, and by whom."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import click
import yaml

from fairlead.cli.group import BAD_INPUT
from fairlead.cli.inputs import BadInputError
from fairlead.cli.options import read_stdin
from fairlead.cli.reach import access_options
from fairlead.controller.lock import Duplicate, Holder
from fairlead.controller.lock import duplicates as find
from fairlead.inventory import Inventory
from fairlead.resource import ResourceClaim, ResourceSlice, read_paths

FOUND: Final = 1
"""Exit status where there are some."""

_ADVICE: Final = """\
Evict one holder first, and keep the device from being given away meanwhile: docs/lock.md says how. Clearing a claim's
status by hand makes kube-scheduler take the device for free and give it to a third pod."""


@click.command(short_help="Show devices that are held twice, by whom, and what to do.")
@access_options
@click.option(
    "-f",
    "--file",
    "paths",
    type=click.Path(exists=True, readable=False, allow_dash=True),
    multiple=True,
    metavar="PATH",
    help="Read claims and slices from a file, a directory, or - for standard input; may be given several times.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="json and yaml: a list of {kind, what, problem, holders}.",
)
def duplicates(kubeconfig: str | None, context: str, paths: tuple[str, ...], output: str) -> None:
    """Show every device that several claims hold, and every shared capacity or counter of which more is taken than
    there is. There ought to be none; what is there is from before the lock was installed, or got around it.

    Nothing is changed.

    Exit status: 0 when there are none, 1 when there are some, 2 when the input cannot be used or the cluster not read.

    \b
    Examples:
      fairlead duplicates
      fairlead duplicates -o json | jq -r '.[].holders[].pods[]'
      kubectl get resourceclaims,resourceslices -A -o json | fairlead duplicates -f -
    """
    if paths and kubeconfig is not None:
        raise click.UsageError("--kubeconfig and -f exclude each other")
    slices, claims = _from_files(paths) if paths else _from_cluster(kubeconfig, context)
    found = find(Inventory(slices, claims))
    if output == "json":
        click.echo(json.dumps([_record(one) for one in found], indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(yaml.safe_dump([_record(one) for one in found], sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo("\n".join([*map(_text, found), _ADVICE]) if found else "nothing is held twice")
    if found:
        raise SystemExit(FOUND)


def _from_files(paths: Sequence[str]) -> tuple[Sequence[ResourceSlice], Sequence[ResourceClaim]]:
    objects, problems = read_paths(list(paths), read_stdin)
    if problems:
        raise BadInputError(problems, "the input cannot be used")
    return objects.slices, objects.claims


def _from_cluster(kubeconfig: str | None, context: str) -> tuple[Sequence[ResourceSlice], Sequence[ResourceClaim]]:
    from fairlead.controller.lock import fetch
    from fairlead.kubernetes import AccessError, ServerError, find_access

    try:
        return fetch(find_access(kubeconfig, context))
    except (AccessError, ServerError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(BAD_INPUT) from None


def _record(one: Duplicate) -> dict[str, Any]:
    holders = [{"claim": h.claim, "pods": list(h.pods), "allocated": h.since or None} for h in one.holders]
    return {"kind": one.kind, "what": one.what, "problem": one.problem, "holders": holders}


def _text(one: Duplicate) -> str:
    return "\n".join([f"{one.kind} {one.what} {one.problem}:", *(f"  {_line(holder)}" for holder in one.holders), ""])


def _line(holder: Holder) -> str:
    pods = f", pod{'s' if len(holder.pods) > 1 else ''} {', '.join(holder.pods)}" if holder.pods else ", no pod"
    return f"claim {holder.claim}{pods}{f', since {holder.since}' if holder.since else ''}"
