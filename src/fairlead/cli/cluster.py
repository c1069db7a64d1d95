"""`fairlead cluster`: a synthetic cluster from a short spec, as manifests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from fairlead.cli.inputs import BadInputError
from fairlead.cli.options import read_stdin
from fairlead.resource import Problem
from fairlead.simulation import PROFILES, Part, SpecError, build, parse_line, read_spec, render, save, write_spec


def load_spec(text: str) -> Sequence[Part]:
    """The parts of what a user gave as SPEC: a file, `-`, or the spec itself.

    Raises:
        BadInputError: it is none.
    """
    try:
        if text == "-":
            return read_spec(_decoded(read_stdin(), "-"), "-")
        if "/" in text or text.endswith((".yaml", ".yml", ".json")):
            return read_spec(_decoded(Path(text).read_bytes(), text), text)
        return parse_line(text)
    except SpecError as error:
        raise BadInputError(error.problems, "the cluster spec cannot be used") from None


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError([Problem("", "", "the text is not UTF-8", source)]) from None


def _list_profiles(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    for profile in PROFILES.values():
        click.echo(f"{profile.name}: {profile.summary}")
        for field in profile.fields:
            more = f", one of {', '.join(field.choices)}" if field.choices else ""
            click.echo(f"    {field.name}={field.default}  {field.help}{more}")
    ctx.exit()


@click.command(short_help="Make a synthetic cluster from a short spec, as manifests.")
@click.argument("spec")
@click.option(
    "-o",
    "--format",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="YAML documents, or one JSON List.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write instead of stdout.")
@click.option(
    "--profiles",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_profiles,
    help="List the hardware profiles with their fields, and exit.",
)
def cluster(spec: str, form: Literal["yaml", "json"], output: Path | None) -> None:
    """Make Nodes, ResourceSlices and DeviceClasses of a synthetic cluster.

    SPEC is PROFILE[:FIELD=VALUE,...][;PROFILE...], or a YAML file of the same content (docs/simulation.md), or - for
    standard input. The same spec gives the same manifests in every run.

    Exit status: 0, or 2 when the spec cannot be used or the file cannot be written.

    \b
    Examples:
      fairlead cluster --profiles
      fairlead cluster 'h100:nodes=64,per-leaf=32;bluefield' --output cluster.yaml
      fairlead cluster gb200:racks=2 | fairlead plan -f - -f job.yaml
    """
    parts = load_spec(spec)
    objects = build(parts)
    title = f"Made by fairlead cluster from this spec:\n{write_spec(parts)}"
    if output is not None:
        save(objects, output, form, title)
    else:
        click.echo(render(objects, form, title), nl=False)
