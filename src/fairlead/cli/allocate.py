"""`fairlead allocate`: the allocator as a function on JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
import msgspec

from fairlead.cli.cases import CaseError, parse_case, run_case

BAD_INPUT = 2


@click.command(short_help="Decide allocation cases given as JSON lines.")
@click.option("--cases", "source", required=True, metavar="FILE|-", help="JSON lines, one case each; - is stdin.")
@click.option(
    "--policy",
    type=click.Choice(["first-fit"]),
    default="first-fit",
    show_default=True,
    help="Which of the valid allocations to choose.",
)
@click.option(
    "--repeat", type=click.IntRange(min=1), default=1, metavar="N", help="Decide each case N times, for `micros`."
)
def allocate(source: str, policy: str, repeat: int) -> None:
    """Decide allocation cases: one JSON object in, one out.

    A case holds slices, classes, claims, what is allocated already, and a node, in resource.k8s.io/v1 JSON. The output
    has name, allocations (one AllocationResult a claim, or null), error, reasons, node, micros (the decision alone, in
    microseconds, best of N) and micros_first (the first decision, with selectors compiled and evaluated).

    Exit status: 0 when every line is a case, whatever its outcome; 2 when a line is not.

    \b
    Example:
      fairlead allocate --cases cases.jsonl --repeat 100 | jq -r '[.name, .micros] | @tsv'
    """
    bad = False
    try:
        with _open(source) as stream:
            for number, line in _lines(stream):
                try:
                    outcome = run_case(parse_case(line), repeat)
                except CaseError as error:
                    click.echo(f"{source}:{number}: {error}", err=True)
                    bad = True
                    continue
                sys.stdout.buffer.write(msgspec.json.encode(outcome, enc_hook=str) + b"\n")
                sys.stdout.buffer.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        click.echo(f"{source}: {error.strerror}", err=True)
        bad = True
    if bad:
        raise SystemExit(BAD_INPUT)


def _open(source: str) -> IO[bytes]:
    return sys.stdin.buffer if source == "-" else Path(source).open("rb")


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line
