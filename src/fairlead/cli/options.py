"""Options that several commands have, and what their values mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from fairlead.inventory import Features

Command = TypeVar("Command", bound=Callable[..., Any])

LabelledNode = tuple[str, dict[str, str]]
"""Name and labels."""


def parse_nodes(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[LabelledNode]:
    """`NAME` or `NAME=key=value,key=value`, each a node and its labels."""
    return [_node(value) for value in values]


def parse_features(ctx: click.Context, param: click.Parameter, value: str | None) -> Features:
    """Names of features, exactly which are on; all where nothing is said."""
    if value is None:
        return Features()
    names = [name.strip() for name in value.split(",")]
    try:
        return Features.named(name for name in names if name and name != "none")
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def files_option(command: Command) -> Command:
    """`-f PATH`, at least once."""
    return click.option(
        "-f",
        "--file",
        "paths",
        type=click.Path(exists=True, readable=False, allow_dash=True),
        multiple=True,
        required=True,
        metavar="PATH",
        help="A file, a directory, or - for standard input; may be given several times.",
    )(command)


def cluster_options(command: Command) -> Command:
    """`--assume-classes` and `--features`: what is known of a cluster beside its objects."""
    command = click.option(
        "--features",
        callback=parse_features,
        metavar="NAME,...",
        help="Exactly these DRA features are on in the cluster, for example AdminAccess,PrioritizedList; or none. "
        "[default: all]",
    )(command)
    return click.option(
        "--assume-classes/--no-assume-classes",
        default=True,
        help="Whether DeviceClasses that well-known drivers install may be missing from the input. [default: they may]",
    )(command)


def nodes_option(flag: str, about: str) -> Callable[[Command], Command]:
    """More nodes, by name and labels, as the parameter `nodes`."""
    return click.option(flag, "nodes", callback=parse_nodes, multiple=True, metavar="NAME[=LABELS]", help=about)


def claims_output_option(command: Command) -> Command:
    """`-o` of commands whose records hold claims."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="json and yaml hold every claim's status as the cluster would.",
    )(command)


def read_stdin() -> bytes:
    """All of standard input."""
    return sys.stdin.buffer.read()


def _node(value: str) -> LabelledNode:
    name, _, rest = value.partition("=")
    labels = {}
    for pair in filter(None, rest.split(",")):
        key, separator, text = pair.partition("=")
        if not key or not separator:
            raise click.BadParameter(f"{value!r}: {pair!r} is no label, labels are key=value")
        labels[key] = text
    if not name:
        raise click.BadParameter(f"{value!r}: the node has no name")
    return name, labels
