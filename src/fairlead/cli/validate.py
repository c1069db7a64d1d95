"""`fairlead validate`: does every object of an input pass what the API server checks?"""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from fairlead.cli.checks import all_objects, one_line, problems_of
from fairlead.cli.options import files_option, read_stdin
from fairlead.resource import read_paths

INVALID = 1


@click.command(short_help="Check manifests as the API server would.")
@files_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints a list of {source, object, field, reason}.",
)
def validate(paths: tuple[str, ...], output: str) -> None:
    """Check manifests with the rules, limits and wording of the API server, offline.

    One line an error: file, object, field, reason. Device selectors are compiled, type-checked and held against the
    cost limit. Objects of kinds that have no part in device allocation are skipped.

    Exit status: 0 when everything is valid, 1 when something is not, 2 for wrong usage.

    \b
    Examples:
      fairlead validate -f manifests/
      helm template my-driver | fairlead validate -f - -o json
    """
    objects, problems = read_paths(list(paths), read_stdin)
    problems = [*problems, *problems_of(objects)]
    for warning in objects.warnings:
        click.echo(f"warning: {warning}", err=True)
    if output == "json":
        click.echo(json.dumps([asdict(problem) for problem in problems], indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(one_line(problem))
    if problems:
        click.echo(f"{len(problems)} {'error' if len(problems) == 1 else 'errors'}", err=True)
        raise SystemExit(INVALID)
    if output == "text":
        count = sum(1 for _ in all_objects(objects))
        skipped = ", ".join(f"{number} {kind}" for kind, number in sorted(objects.skipped.items()))
        valid = f"{count} {'object is' if count == 1 else 'objects are'} valid"
        click.echo(f"{valid} (skipped: {skipped})" if skipped else valid)
