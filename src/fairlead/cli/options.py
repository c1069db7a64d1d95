"""Options that several commands have, and what their values mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fairlead.inventory import Features
from fairlead.placement.wiring import DEVICE_POLICIES, DevicePolicy
from fairlead.topology import Rules, RulesError, default_rules, read_rules

_Command = TypeVar("_Command", bound=Callable[..., Any])

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


def files_option(command: _Command) -> _Command:
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


def cluster_options(command: _Command) -> _Command:
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


def parse_rules(ctx: click.Context, param: click.Parameter, value: str | None) -> Rules | None:
    """The path of a file with wiring rules, which come before those that are shipped; none where nothing is said."""
    if value is None:
        return None
    try:
        return read_rules(Path(value).read_text(encoding="utf-8"), value, default_rules())
    except RulesError as error:
        raise BadRulesError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRulesError(f"{value}: {error}") from None


class BadRulesError(click.ClickException):
    """Wiring rules that cannot be used; exit status 2."""

    exit_code = 2


def parse_devices(ctx: click.Context, param: click.Parameter, value: str | None) -> DevicePolicy | None:
    """The device policy of a name."""
    return DEVICE_POLICIES[value] if value is not None else None


def wiring_options(command: _Command) -> _Command:
    """`--devices` and `--topology`: which devices of a node are better, and what is known of its wiring."""
    command = click.option(
        "--topology",
        "rules",
        callback=parse_rules,
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="What attributes of devices say about wiring and what links carry, beside what is shipped.",
    )(command)
    return click.option(
        "--devices",
        callback=parse_devices,
        type=click.Choice(list(DEVICE_POLICIES)),
        help="Which devices of a node a pod gets, where it does not say so in an annotation: the first, as Kubernetes "
        "gives them; those that talk fastest; or those that are farthest apart. Also shows what they are worth. "
        "[default: first-fit]",
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
